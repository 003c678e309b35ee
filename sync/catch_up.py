"""How a client gets from where it is to the head: the cheapest of log lines, changed rows and a snapshot. See docs/spec/protocol.md §4.

Every function here blocks on the database: call it in a thread.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from metadata.catalog import schema_of
from metadata.schema import TenantSchema
from sync import log, sql
from sync.channels import Channel
from sync.codes import Code
from sync.columns import table_of
from sync.commits import Commit
from sync.conf import stream_knobs
from sync.errors import LogPruned, SyncError
from sync.framing import Piece, SharedFrame, encode
from sync.reading import Reader
from tenants.genesis import genesis

Chain = Literal["ok", "new", "pruned", "mismatch", "ahead", "epoch"]
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


@dataclass(frozen=True, slots=True)
class Plan:
    """How a client is to catch up; `state` is the tenant when that was decided, `total` the rows to come in mode `rows`."""

    mode: Mode
    state: TenantState
    total: int = 0


def tenant_state(reader: Reader, tenant_id: int) -> TenantState:
    """Read a tenant's counters; raises SyncError `forbidden` when it is gone."""
    found = reader.all(
        f"SELECT id, slug, server_epoch, schema_version, cursor, state_hash, pruned_cursor FROM {reader.schema}tenants_tenant WHERE id = %s",
        [tenant_id],
    )
    if not found:
        raise SyncError(Code.FORBIDDEN, "There is no such tenant any more.")
    pk, slug, epoch, schema_version, cursor, state_hash, pruned = found[0]
    return TenantState(pk, slug, epoch, schema_version, cursor, bytes(state_hash), pruned)


class SchemaMoved(Exception):
    """A publish slipped in between two reads; start the read again."""


def schema_at(state: TenantState) -> TenantSchema:
    """Return the schema of a state; raises SchemaMoved when the database has a newer one already (SQLite only)."""
    schema = schema_of(state.id, state.schema_version)
    if schema.schema_version != state.schema_version:
        raise SchemaMoved
    return schema


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
        found = reader.all("SELECT state_hash FROM changes WHERE tenant_id = %s AND cursor = %s", [state.id, position.cursor])
        if not found:
            return "pruned"
        known = bytes(found[0][0])
    return "ok" if known == position.state_hash else "mismatch"


def plan(reader: Reader, state: TenantState, position: Position) -> Plan:
    """Choose how a client catches up; raises SyncError `ahead`, `epoch` or `schema_behind`."""
    chain = check_chain(reader, state, position)
    if chain == "epoch":
        raise SyncError(Code.EPOCH, "The server was restored or replaced since this replica was made.")
    if chain == "ahead":
        raise SyncError(Code.AHEAD, f"The log ends at cursor {state.cursor}.")
    if chain == "mismatch":
        return Plan("repair", state)
    knobs = stream_knobs()
    missed = state.cursor - position.cursor
    has_log = position.cursor >= state.pruned_cursor
    if position.cursor == 0:
        return Plan("log" if has_log and missed <= knobs.snapshot_rows // 10 else "snapshot", state)
    if has_log and missed <= knobs.log_always:
        return Plan("log", state)
    schema = schema_at(state)
    rows = sum(changed_counts(reader, schema, position.cursor).values())
    if has_log and rows * 2 >= missed:
        return Plan("log", state)
    if rows > knobs.snapshot_rows and rows * 2 > _total(reader, schema):
        return Plan("snapshot", state)
    if position.schema_version != state.schema_version:
        raise SyncError(Code.SCHEMA_BEHIND, f"Bring the schema to version {state.schema_version} first.")
    return Plan("rows", state, rows)


def changed_counts(reader: Reader, schema: TenantSchema, since: int) -> dict[str, int]:
    """Count the records of each type table, tombstones included, that changed after a cursor."""
    return {
        spec.table_name: reader.all(f'SELECT count(*) FROM {table_of(schema.tenant_id, spec)} WHERE "_cursor" > %s', [since])[0][0]
        for spec in schema.objects
    }


def _total(reader: Reader, schema: TenantSchema) -> int:
    return sum(reader.all(f"SELECT count(*) FROM {table_of(schema.tenant_id, spec)}")[0][0] for spec in schema.objects)


def read_log(tenant_id: int, after: int, limit: int) -> list[Commit]:
    """Read one chunk of the log after a cursor, `limit` lines at most, as commits; raises LogPruned."""
    knobs = stream_knobs()
    piece = log.read(tenant_id, after, min(limit, knobs.chunk_lines), knobs.chunk_bytes)
    if piece.to_cursor == after and _is_pruned(tenant_id, after):
        raise LogPruned
    commits, start = [], after
    for run in piece.runs:
        commits.append(Commit(tenant_id, start, run.to_cursor, [(run.schema_version, line) for line in run.lines], run.state_hash))
        start = run.to_cursor
    return commits


def _is_pruned(tenant_id: int, after: int) -> bool:
    """Whether an empty answer of the log means that everything after a cursor was pruned."""
    return bool(sql.fetch_one("SELECT 1 FROM tenants_tenant WHERE id = %s AND pruned_cursor > %s", [tenant_id, after]))


def log_frames(channel: Channel, commits: Iterable[Commit]) -> list[SharedFrame]:
    """Encode a chunk of the log, as `read_log` returns it, as one `changes` frame for each schema version in it."""
    return [
        encode(
            channel, Piece(commit.lines[0][0], [line for _, line in commit.lines], commit.from_cursor, commit.to_cursor, commit.state_hash)
        )
        for commit in commits
    ]
