"""What a subscriber may see. Clients with the same channel share one stream: its frames are projected and encoded once."""

from collections.abc import Sequence
from dataclasses import dataclass

from tenants.tokens import DeviceIdentity

FULL_ACCESS = "full"


@dataclass(frozen=True, slots=True)
class Channel:
    """A tenant's data as one security profile with one set of resolved parameters sees it; equal channels share a stream.

    A channel without a filter carries the log's own lines, so its chain is the tenant's (docs/spec/chain.md).
    """

    tenant_id: int
    tenant: str
    key: str = FULL_ACCESS

    def project(self, lines: Sequence[bytes]) -> Sequence[bytes]:
        """Return the lines as this channel sees them."""
        return lines


def channel_of(identity: DeviceIdentity) -> Channel:
    """Return the channel a device belongs to."""
    return Channel(identity.tenant_id, identity.tenant_slug)
