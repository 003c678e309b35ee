"""How a client gets from where it is to the head: the cheapest of log lines, changed rows and a snapshot. See docs/spec/protocol.md §4.

Every function here blocks on the database: call it in a thread.
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
from tenants.genesis import genesis

Chain = Literal["ok", "new", "pruned", "mismatch", "ahead", "epoch", "switch"]
Mode = Literal["log", "rows", "snapshot", "repair"]


@dataclass(frozen=True, slots=True)
class TenantState:
    """A tenant's counters in one state of the database."""

    id: int
    slug: str
    server_epoch: str
    schema_version: int
    cursor: int
    state_hash: bytes
    pruned_cursor: int
    access_version: int = 0

    @property
    def genesis(self) -> bytes:
        """The chain at cursor 0."""
        return genesis(self.server_epoch, self.slug)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a client says it is."""

    schema_version: int
    cursor: int
    state_hash: bytes | None
    server_epoch: str | None
    channel: str | None = None

    def is_of(self, channel: Channel) -> bool:
        """Whether the client's replica holds this channel, as far as it says."""
        return self.channel is None or self.channel == channel.key


@dataclass(frozen=True, slots=True)
class Plan:
    """How a client is to catch up; `state` is the tenant when that was decided, `total` the rows to come in mode `rows`."""

    mode: Mode
    state: TenantState
    total: int = 0


def tenant_state(reader: Reader, tenant_id: int) -> TenantState:
    """Read a tenant's counters; raises SyncError `forbidden` when it is gone."""
    found = reader.all(
        "SELECT id, slug, server_epoch, schema_version, cursor, state_hash, pruned_cursor, access_version "
        f"FROM {reader.schema}tenants_tenant WHERE id = %s",
        [tenant_id],
    )
    if not found:
        raise SyncError(Code.FORBIDDEN, "There is no such tenant any more.")
    pk, slug, epoch, schema_version, cursor, state_hash, pruned, access_version = found[0]
    return TenantState(pk, slug, epoch, schema_version, cursor, bytes(state_hash), pruned, access_version)


class SchemaChanged(Exception):
    """A publish slipped in between two reads; start the read again."""


def schema_at(state: TenantState) -> TenantSchema:
    """Return the schema of a state; raises SchemaMoved when the database has a newer one already (SQLite only)."""
    schema = schema_of(state.id, state.schema_version)
    if schema.schema_version != state.schema_version:
        raise SchemaChanged
    return schema


def channel_state(channel: Channel, tenant_id: int) -> TenantState:
    """Return a tenant's counters with the chain of the channel in place of the tenant's own. Not inside a `read_transaction`."""
    with read_transaction() as reader:
        state = tenant_state(reader, tenant_id)
    return in_channel(channel, state)


def in_channel(channel: Channel, state: TenantState) -> TenantState:
    """Return a state with the chain of the channel in place of the tenant's own. Not inside a `read_transaction`.

    Raises `AccessMoved` when the channel is not the one of the rights in force at that state.
    """
    if not channel.filtered:
        return state
    require_current(channel, state)
    state_hash = channel_log.hash_at(channel, state.cursor)
    if state_hash is None:  # pruned past its last checkpoint: it has to be born again
        channel_log.retire(channel)
        raise AccessChanged
    return replace(state, state_hash=state_hash)


def require_current(channel: Channel, state: TenantState) -> None:
    """Raise `AccessMoved` when rights changed since the channel was chosen."""
    if state.access_version != channel.access_version:
        raise AccessChanged


def check_filtered(channel: Channel, state: TenantState, position: Position) -> Chain:
    """Compare a client's cursor and state hash with the chain of a filtered channel. Not inside a `read_transaction`."""
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


def plan_filtered(channel: Channel, state: TenantState, position: Position) -> Plan:
    """Choose how a client of a filtered channel catches up: by the log where its chain is there to compare, else by a snapshot.

    A client that never said which channel it holds, and whose chain differs, may hold other columns: it starts from a snapshot.
    """
    chain = check_filtered(channel, state, position)
    _refuse(chain, state)
    if chain == "ok":
        return Plan("log", state)
    return Plan("repair" if chain == "mismatch" and position.channel == channel.key else "snapshot", state)


def _refuse(chain: Chain, state: TenantState) -> None:
    if chain == "epoch":
        raise SyncError(Code.EPOCH, "The server was restored or replaced since this replica was made.")
    if chain == "ahead":
        raise SyncError(Code.AHEAD, f"The log ends at cursor {state.cursor}.")


def check_chain(reader: Reader, state: TenantState, position: Position) -> Chain:
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


def plan(reader: Reader, state: TenantState, position: Position) -> Plan:
    """Choose how a client catches up; raises SyncError `ahead`, `epoch` or `schema_behind`."""
    chain = check_chain(reader, state, position)
    _refuse(chain, state)
    if chain == "mismatch":
        return Plan("repair", state)
    settings = stream_settings()
    missed = state.cursor - position.cursor
    has_log = position.cursor >= state.pruned_cursor
    if position.cursor == 0:
        return Plan("log" if has_log and missed <= settings.snapshot_rows // 10 else "snapshot", state)
    if has_log and missed <= settings.log_always:
        return Plan("log", state)
    schema = schema_at(state)
    rows = sum(changed_counts(reader, schema, position.cursor).values())
    if has_log and rows * 2 >= missed:
        return Plan("log", state)
    if rows > settings.snapshot_rows and rows * 2 > _total(reader, schema):
        return Plan("snapshot", state)
    if position.schema_version != state.schema_version:
        raise SyncError(Code.SCHEMA_BEHIND, f"Bring the schema to version {state.schema_version} first.")
    return Plan("rows", state, rows)


def changed_counts(reader: Reader, schema: TenantSchema, since: int) -> dict[str, int]:
    """Count the records of each type table, tombstones included, that changed after a cursor."""
    return {
        spec.table_name: reader.all(
            f'SELECT count(*) FROM {table_of(schema.tenant_id, spec)} WHERE "_cursor" > %s', [since]
        )[0][0]
        for spec in schema.objects
    }


def _total(reader: Reader, schema: TenantSchema) -> int:
    return sum(reader.all(f"SELECT count(*) FROM {table_of(schema.tenant_id, spec)}")[0][0] for spec in schema.objects)


def read_log(tenant_id: int, after: int, limit: int) -> list[Commit]:
    """Read one chunk of the log after a cursor, `limit` lines at most, as commits; raises LogPruned."""
    settings = stream_settings()
    piece = changes.read(tenant_id, after, min(limit, settings.chunk_lines), settings.chunk_bytes)
    if piece.to_cursor == after and _is_pruned(tenant_id, after):
        raise LogPruned
    commits, start = [], after
    sides, access_version = _beside(tenant_id, after, piece.to_cursor)
    for run in piece.segments:
        lines = [(run.schema_version, line) for line in run.lines]
        commits.append(Commit(tenant_id, start, run.to_cursor, lines, run.state_hash, sides, access_version))
        start = run.to_cursor
    return commits


def _beside(tenant_id: int, after: int, up_to: int) -> tuple[dict[int, Side], int]:
    """Return the sides of a piece of the log, and an access version that is not older than any line in it."""
    between = "SELECT cursor, side FROM change_side WHERE tenant_id = %s AND cursor > %s AND cursor <= %s"
    sides = {cursor: Side.decode(side) for cursor, side in sql.fetch(between, [tenant_id, after, up_to])}
    row = sql.fetch_one("SELECT access_version FROM tenants_tenant WHERE id = %s", [tenant_id])
    return sides, row[0] if row else 0


def read_frames(channel: Channel, after: int, state_hash: bytes, up_to: int | None) -> list[SharedFrame]:
    """Read a chunk of a channel's log after a cursor, no further than `up_to`, as frames; none when there is nothing newer.

    Raises LogPruned, and AccessMoved when rights changed since the channel was chosen: nothing of what was read may be sent then.
    """
    most = stream_settings().chunk_lines
    if channel.filtered:
        return _filtered_frames(channel, channel_log.read(channel, after, most, up_to=up_to), state_hash)
    commits = read_log(channel.tenant_id, after, most if up_to is None else min(most, up_to - after))
    if commits and commits[-1].access_version != channel.access_version:
        raise AccessChanged
    return log_frames(channel, commits)


def _filtered_frames(channel: Channel, piece: channel_log.Routed, state_hash: bytes) -> list[SharedFrame]:
    if piece.to_cursor == piece.from_cursor:
        return []
    feed = ChannelFeed(channel, piece.from_cursor)
    feed.start(state_hash, piece.schema_version)
    for one in piece.lines:
        feed.add(one.cursor, one.schema_version, one.line)
    return list(feed.emit(piece.to_cursor, empty=True))


def _is_pruned(tenant_id: int, after: int) -> bool:
    """Whether an empty answer of the log means that everything after a cursor was pruned."""
    return bool(sql.fetch_one("SELECT 1 FROM tenants_tenant WHERE id = %s AND pruned_cursor > %s", [tenant_id, after]))


def log_frames(channel: Channel, commits: Iterable[Commit]) -> list[SharedFrame]:
    """Encode a chunk of the log, as `read_log` returns it, as one `changes` frame for each schema version in it."""
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
