"""Pure: a channel, which is what a subscriber may see. Subscribers of equal channels share one encoded stream."""

from dataclasses import dataclass, field

from metadata.access import FULL_CHANNEL, Rules

FULL_ACCESS = FULL_CHANNEL


@dataclass(frozen=True, slots=True)
class Channel:
    """A tenant's data as seen by one security profile with one set of resolved parameters.

    A channel without a filter carries the log's own lines, so its chain is the tenant's (docs/spec/chain.md). `rules`,
    `row_id`, and `born_cursor` belong to filtered channels only (docs/spec/channels.md). `access_version` is the
    tenant's when the channel was chosen. Under a later version, the subscriber may belong to another channel.
    """

    tenant_id: int
    tenant: str
    key: str = FULL_ACCESS
    rules: Rules | None = field(default=None, compare=False, repr=False)
    row_id: int | None = field(default=None, compare=False)
    born_cursor: int = field(default=0, compare=False)
    access_version: int = field(default=0, compare=False)

    @property
    def filtered(self) -> bool:
        """Whether its lines are a projection of the log's lines."""
        return self.rules is not None


@dataclass(frozen=True, slots=True)
class ChainPosition:
    """A channel's chain value at a cursor, and the schema version in force there."""

    state_hash: bytes
    schema_version: int


@dataclass(frozen=True, slots=True)
class ChannelAssignments:
    """The channel key of each member, as of one `access_version` of the tenant."""

    access_version: int
    channels: dict[int, str]
