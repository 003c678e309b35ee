"""Choose how a client catches up: log lines, changed rows, or a snapshot, whichever is cheapest. See protocol.md §4.

Every function here blocks on the database. Call it in a thread.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from metadata.catalog import schema_of
from metadata.schema import TenantSchema
from sync.channels import channel_log
from sync.channels.channel import Channel
from sync.channels.projection import Side
from sync.conf import stream_settings
from sync.errors import AccessChanged, LogPruned, SyncError
from sync.fanout.channel_feed import ChannelFeed
from sync.fanout.framing import Segment, SharedFrame, encode
from sync.log import changes
from sync.log.commit import Commit
from sync.records import sql
from sync.records.columns import table_of
from sync.records.read_transaction import Reader, read_transaction
from sync.wire.codes import Code
from tenants.rows import TenantRow, read_tenant

Chain = Literal["ok", "new", "pruned", "mismatch", "ahead", "epoch", "switch"]
Mode = Literal["log", "rows", "snapshot", "repair"]


@dataclass(frozen=True, slots=True)
class Position:
    """The position a client reports."""

    schema_version: int
    cursor: int
    state_hash: bytes | None
    server_epoch: str | None
    channel: str | None = None

    def is_of(self, channel: Channel) -> bool:
        """Whether the client's replica holds this channel, or the client names none."""
        return self.channel is None or self.channel == channel.key


@dataclass(frozen=True, slots=True)
class Plan:
    """How a client catches up. `state` is the tenant as of the decision, `total` the number of rows in mode `rows`."""

    mode: Mode
    state: TenantRow
    total: int = 0


def tenant_state(reader: Reader, tenant_id: int) -> TenantRow:
    """Read a tenant's counters. Raises SyncError `forbidden` if the tenant no longer exists."""
    found = read_tenant(tenant_id, using=reader.all, schema=reader.schema)
    if found is None:
        raise SyncError(Code.FORBIDDEN, "This tenant no longer exists.")
    return found


class SchemaChanged(Exception):
    """A publish happened between two reads. Start the read again."""


def schema_at(state: TenantRow) -> TenantSchema:
    """Return the schema of a state. Raises `SchemaChanged` if the database already has a newer one (SQLite only)."""
    schema = schema_of(state.id, state.schema_version)
    if schema.schema_version != state.schema_version:
        raise SchemaChanged
    return schema


def channel_state(channel: Channel, tenant_id: int) -> TenantRow:
    """Return a tenant's counters with the channel's chain instead of the tenant's. Not inside a `read_transaction`."""
    with read_transaction() as reader:
        state = tenant_state(reader, tenant_id)
    return in_channel(channel, state)


def in_channel(channel: Channel, state: TenantRow) -> TenantRow:
    """Return a state with the channel's chain instead of the tenant's. Not inside a `read_transaction`.

    Raises `AccessChanged` if the channel was chosen under other access rules than those in force at that state.
    """
    if not channel.filtered:
        return state
    require_current(channel, state)
    state_hash = channel_log.hash_at(channel, state.cursor)
    if state_hash is None:  # pruned past its last checkpoint: the channel has to be created again
        channel_log.retire(channel)
        raise AccessChanged
    return replace(state, state_hash=state_hash)


def require_current(channel: Channel, state: TenantRow) -> None:
    """Raise `AccessChanged` if access changed since the channel was chosen."""
    if state.access_version != channel.access_version:
        raise AccessChanged


def check_filtered(channel: Channel, state: TenantRow, position: Position) -> Chain:
    """Compare a client's cursor and state hash with a filtered channel's chain. Not inside a `read_transaction`."""
    if position.server_epoch is not None and position.server_epoch != state.server_epoch:
        return "epoch"
    if position.cursor == 0:
        return "new"
    if position.cursor > state.cursor:
        return "ahead"
    known = channel_log.hash_at(channel, position.cursor)
    if known is None:
        return "pruned"
    return "ok" if known == position.state_hash else "mismatch"


def plan_filtered(channel: Channel, state: TenantRow, position: Position) -> Plan:
    """Choose how a client of a filtered channel catches up: by log if its chain can be compared, else by snapshot.

    A client that did not name its channel and whose chain differs may hold other columns, so it gets a snapshot.
    """
    chain = check_filtered(channel, state, position)
    _require_reachable(chain, state)
    if chain == "ok":
        return Plan("log", state)
    return Plan("repair" if chain == "mismatch" and position.channel == channel.key else "snapshot", state)


def _require_reachable(chain: Chain, state: TenantRow) -> None:
    if chain == "epoch":
        raise SyncError(Code.EPOCH, "The server has been restored or replaced since this replica was created.")
    if chain == "ahead":
        raise SyncError(Code.AHEAD, f"The replica is ahead of the server: the log ends at cursor {state.cursor}.")


def check_chain(reader: Reader, state: TenantRow, position: Position) -> Chain:
    """Compare a client's cursor and state hash with the log."""
    if position.server_epoch is not None and position.server_epoch != state.server_epoch:
        return "epoch"
    if position.cursor == 0:
        return "new"
    if position.cursor > state.cursor:
        return "ahead"
    if position.cursor == state.cursor:
        known = state.state_hash
    else:
        found = reader.all(
            "SELECT state_hash FROM changes WHERE tenant_id = %s AND cursor = %s", [state.id, position.cursor]
        )
        if not found:
            return "pruned"
        known = bytes(found[0][0])
    return "ok" if known == position.state_hash else "mismatch"


def plan(reader: Reader, state: TenantRow, position: Position, *, may_count: bool = True) -> Plan | None:
    """Choose how a client catches up. Without `may_count`, return None if this requires counting records.

    Raises SyncError `ahead`, `epoch`, or `schema_behind`.
    """
    chain = check_chain(reader, state, position)
    _require_reachable(chain, state)
    if chain == "mismatch":
        return Plan("repair", state)
    settings = stream_settings()
    missed = state.cursor - position.cursor
    has_log = position.cursor >= state.pruned_cursor
    if position.cursor == 0:
        return Plan("log" if has_log and missed <= settings.snapshot_rows // 10 else "snapshot", state)
    if has_log and missed <= settings.log_always:
        return Plan("log", state)
    if not may_count:
        return None
    schema = schema_at(state)
    rows = sum(changed_counts(reader, schema, position.cursor).values())
    if has_log and rows * 2 >= missed:
        return Plan("log", state)
    if rows > settings.snapshot_rows and rows * 2 > _total(reader, schema):
        return Plan("snapshot", state)
    if position.schema_version != state.schema_version:
        raise SyncError(Code.SCHEMA_BEHIND, f"Upgrade to schema version {state.schema_version} first.")
    return Plan("rows", state, rows)


def changed_counts(reader: Reader, schema: TenantSchema, since: int) -> dict[str, int]:
    """Count the records of each type table that changed after a cursor, including tombstones."""
    return {
        spec.table_name: reader.all(
            f'SELECT count(*) FROM {table_of(schema.tenant_id, spec)} WHERE "_cursor" > %s', [since]
        )[0][0]
        for spec in schema.objects
    }


def _total(reader: Reader, schema: TenantSchema) -> int:
    return sum(reader.all(f"SELECT count(*) FROM {table_of(schema.tenant_id, spec)}")[0][0] for spec in schema.objects)


def read_log(tenant_id: int, after: int, limit: int) -> list[Commit]:
    """Read one chunk of the log after a cursor, at most `limit` lines, as commits. Raises `LogPruned`."""
    settings = stream_settings()
    chunk = changes.read(tenant_id, after, min(limit, settings.chunk_lines), settings.chunk_bytes)
    if chunk.to_cursor == after and _is_pruned(tenant_id, after):
        raise LogPruned
    commits, start = [], after
    sides, access_version = _sides(tenant_id, after, chunk.to_cursor)
    for segment in chunk.segments:
        lines = [(segment.schema_version, line) for line in segment.lines]
        commits.append(Commit(tenant_id, start, segment.to_cursor, lines, segment.state_hash, sides, access_version))
        start = segment.to_cursor
    return commits


def _sides(tenant_id: int, after: int, up_to: int) -> tuple[dict[int, Side], int]:
    """Return the sides of a chunk of the log, and an access version that is not older than any of its lines."""
    between = "SELECT cursor, side FROM change_side WHERE tenant_id = %s AND cursor > %s AND cursor <= %s"
    sides = {cursor: Side.decode(side) for cursor, side in sql.fetch(between, [tenant_id, after, up_to])}
    tenant = read_tenant(tenant_id, using=sql.fetch)
    return sides, tenant.access_version if tenant else 0


def read_frames(channel: Channel, after: int, state_hash: bytes, up_to: int | None) -> list[SharedFrame]:
    """Read a chunk of a channel's log after a cursor, up to `up_to`, as frames; none if there is nothing newer.

    Raises `LogPruned`, and `AccessChanged` if access changed since the channel was chosen. Then nothing that was read
    may be sent.
    """
    limit = stream_settings().chunk_lines
    if channel.filtered:
        return _filtered_frames(channel, channel_log.read(channel, after, limit, up_to=up_to), state_hash)
    commits = read_log(channel.tenant_id, after, limit if up_to is None else min(limit, up_to - after))
    if commits and commits[-1].access_version != channel.access_version:
        raise AccessChanged
    return log_frames(channel, commits)


def _filtered_frames(channel: Channel, chunk: channel_log.Routed, state_hash: bytes) -> list[SharedFrame]:
    if chunk.to_cursor == chunk.from_cursor:
        return []
    feed = ChannelFeed(channel, chunk.from_cursor)
    feed.start(state_hash, chunk.schema_version)
    for one in chunk.lines:
        feed.add(one.cursor, one.schema_version, one.line)
    return list(feed.emit(chunk.to_cursor, empty=True))


def _is_pruned(tenant_id: int, after: int) -> bool:
    """Whether the log was pruned past a cursor, so that an empty chunk does not mean its end."""
    tenant = read_tenant(tenant_id, using=sql.fetch)
    return tenant is not None and tenant.pruned_cursor > after


def log_frames(channel: Channel, commits: Iterable[Commit]) -> list[SharedFrame]:
    """Encode commits from `read_log` as `changes` frames, one per commit."""
    return [
        encode(
            channel,
            Segment(
                commit.lines[0][0],
                [line for _, line in commit.lines],
                commit.from_cursor,
                commit.to_cursor,
                commit.state_hash,
            ),
        )
        for commit in commits
    ]
