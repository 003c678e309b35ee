"""The log of changes: append under the tenant's lock, read after a cursor.

Only this module writes lines to the table `changes`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, Final

from sync.channels import record_sides
from sync.channels.plans import plan_of
from sync.channels.projection import Side
from sync.channels.record_sides import Recorded
from sync.channels.routing import RoutePlan
from sync.channels.sides import RecordTransition
from sync.entities.document import StoredDocument
from sync.errors import LogPruned
from sync.log.commit import Commit
from sync.records import sql
from sync.wire.chain import link
from sync.wire.lines import encode_change, wire_time
from tenants.genesis import genesis
from tenants.locks import LockedTenant

_NO_VERSION: Final = 2**62
_COLUMNS: Final = (
    sql.Column("tenant_id", "bigint"),
    sql.Column("cursor", "bigint"),
    sql.Column("schema_version", "bigint"),
    sql.Column("table_name", "text"),
    sql.Column("record_id", "text"),
    sql.Column("version", "bigint"),
    sql.Column("device_id", "text"),
    sql.Column("op_id", "bigint"),
    sql.Column("at", "timestamptz"),
    sql.Column("previous", "bigint"),
    sql.Column("line", "bytea"),
    sql.Column("state_hash", "bytea"),
)


@dataclass(slots=True)
class Entry:
    """A change to append.

    `payload` is as in the spec; `device` and `op_id` are both given or both None; `made_at` is in wire form.
    `transition` is for filtered channels: the `RecordTransition` of a type table (only if
    `sync.channels.plans.plan_of` returns a plan), or the `Side` of a system table. `previous` is the cursor of the
    record's previous change, 0 for its first. `body` is the document that CBOR clients receive.
    """

    table: str
    record_id: str
    op: str
    version: int
    payload: Any
    by: str
    device: str | None = None
    op_id: int | None = None
    made_at: str | None = None
    transition: RecordTransition | Side | None = None
    previous: int = 0
    body: StoredDocument | None = None


def append_without_saving_tenant(locked: LockedTenant, entries: Iterable[Entry], at: datetime | None = None) -> Commit:
    """Append changes in order, and advance the locked tenant's cursor and chain in memory only.

    The caller must do the rest: write the changed records in the same transaction *after* this call, save the tenant
    (`tenants.locks.store`), and announce the commit afterwards. `at` is when the server accepted the changes: aware, by
    default now. With filtered profiles, records that the changes move through a hop get a change and a version too: see
    `Commit.rerouted`.
    """
    plan = plan_of(locked)
    entries, recorded = (entries, None) if plan is None else _with_reroutes(plan, locked, list(entries))
    at = at or datetime.now(UTC)
    at_wire, at_stored = wire_time(at), sql.time_binder()(at)
    start, cursor, state, schema_version, tenant = (
        locked.cursor,
        locked.cursor,
        locked.state_hash,
        locked.schema_version,
        locked.id,
    )
    rows: list[tuple[Any, ...]] = []
    lines: list[tuple[int, bytes]] = []
    for e in entries:
        cursor += 1
        line = encode_change(
            cursor,
            schema_version,
            e.table,
            e.record_id,
            e.op,
            e.version,
            e.payload,
            at_wire,
            e.by,
            e.device,
            e.op_id,
            e.made_at,
        )
        state = link(state, line)
        lines.append((schema_version, line))
        rows.append(
            (
                tenant,
                cursor,
                schema_version,
                e.table,
                e.record_id,
                e.version,
                e.device,
                e.op_id,
                at_stored,
                e.previous or None,
                line,
                state,
            )
        )
    if rows:
        sql.insert_many("changes", _COLUMNS, rows)
    locked.cursor, locked.state_hash = cursor, state
    commit = Commit(tenant, start, cursor, lines, state, access_version=locked.access_version)
    return commit if plan is None or recorded is None else _keep_sides(plan, locked, commit, recorded, rows)


def _with_reroutes(plan: RoutePlan, locked: LockedTenant, entries: list[Entry]) -> tuple[list[Entry], Recorded]:
    versions = {(e.table, e.record_id): e.version for e in entries}
    recorded = record_sides.record(plan, locked, [(e.table, e.transition) for e in entries], versions)
    last = recorded.cursors | {(e.table, e.record_id): locked.cursor + n for n, e in enumerate(entries, 1)}
    for r in recorded.reroutes:
        key = (r.table, r.record_id)
        entries.append(Entry(*key, "update", recorded.versions[key], [], "", previous=last[key]))
    return entries, recorded


def _keep_sides(
    plan: RoutePlan, locked: LockedTenant, commit: Commit, recorded: Recorded, rows: Sequence[tuple[Any, ...]]
) -> Commit:
    """Store the sides and routes of the changes, and write the versions of rerouted records, which no caller knows."""
    changes = [(row[1], row[3], side) for row, side in zip(rows, recorded.sides, strict=True)]
    record_sides.store(plan, locked.id, changes)
    count = len(recorded.reroutes)
    rerouted = tuple((row[3], row[4], row[5], row[1]) for row in rows[len(rows) - count :])
    record_sides.move_rows(locked, rerouted)
    return replace(commit, sides={cursor: side for cursor, _, side in changes if side is not None}, rerouted=rerouted)


@dataclass(frozen=True, slots=True)
class LogSegment:
    """Consecutive lines of one `schema_version`; `state_hash` is the chain value at `to_cursor`."""

    schema_version: int
    lines: list[bytes]
    to_cursor: int
    state_hash: bytes


@dataclass(frozen=True, slots=True)
class LogSlice:
    """Lines with cursors in (`from_cursor`, `to_cursor`], in segments. Both cursors are equal if nothing is newer."""

    from_cursor: int
    to_cursor: int
    segments: list[LogSegment]


def read(tenant_id: int, after: int, limit_lines: int = 2000, limit_bytes: int = 1_048_576) -> LogSlice:
    """Read the log after a cursor, within both limits; the first line may exceed `limit_bytes`.

    Raises `LogPruned` when the log starts later.
    """
    rows = sql.fetch(
        "SELECT cursor, schema_version, line, state_hash FROM changes "
        "WHERE tenant_id = %s AND cursor > %s ORDER BY cursor LIMIT %s",
        [tenant_id, after, limit_lines],
    )
    if rows and rows[0][0] != after + 1:
        raise LogPruned(f"The log has been pruned: it starts at cursor {rows[0][0]}.")
    segments: list[LogSegment] = []
    size = 0
    for cursor, schema_version, line, state_hash in rows:
        size += len(line)
        if size > limit_bytes and segments:
            break
        lines = segments.pop().lines if segments and segments[-1].schema_version == schema_version else []
        lines.append(bytes(line))
        segments.append(LogSegment(schema_version, lines, cursor, bytes(state_hash)))
    return LogSlice(after, segments[-1].to_cursor if segments else after, segments)


def hash_at(tenant_id: int, cursor: int) -> bytes | None:
    """Return the chain value at a cursor; None if the log lacks that cursor (pruned, or past the head)."""
    if cursor == 0:
        row = sql.fetch_one("SELECT server_epoch, slug FROM tenants_tenant WHERE id = %s", [tenant_id])
        return genesis(*row) if row else None
    row = sql.fetch_one("SELECT state_hash FROM changes WHERE tenant_id = %s AND cursor = %s", [tenant_id, cursor])
    return bytes(row[0]) if row else None


def record_lines(
    tenant_id: int, cursor: int, limit: int, *, before: int | None = None, most_bytes: int = _NO_VERSION
) -> list[bytes]:
    """Return a record's newest lines, oldest first, at most `limit`; `cursor` is that of its last change.

    `before` excludes that version and later ones. Pruned changes are missing. Lines after `most_bytes` of newer ones
    are left out.
    """
    rows = sql.fetch(
        "WITH RECURSIVE past (version, line, previous, size) AS ("
        "SELECT version, line, previous, CAST(LENGTH(line) AS BIGINT) FROM changes "
        "WHERE tenant_id = %s AND cursor = %s "
        "UNION ALL SELECT c.version, c.line, c.previous, past.size + LENGTH(c.line) FROM past "
        "JOIN changes c ON c.tenant_id = %s AND c.cursor = past.previous WHERE past.size < %s) "
        "SELECT version, line FROM past WHERE version < %s LIMIT %s",
        [tenant_id, cursor, tenant_id, most_bytes, _NO_VERSION if before is None else before, limit],
    )
    return [bytes(line) for _, line in sorted(rows, key=itemgetter(0))]


def find_accepted(device_id: str, op_ids: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Return those of a device's ops that are in the log: {op_id: (version, cursor)}."""
    found = sql.fetch_in(
        "SELECT op_id, version, cursor FROM changes WHERE device_id = %s AND op_id IN", op_ids, [device_id]
    )
    return {op_id: (version, cursor) for op_id, version, cursor in found}


def newest_op_of(device_id: str) -> int:
    """Return the highest op_id ever processed for a device, including pruned ops and conflicts; 0 for a new device."""
    found = sql.fetch_one(
        "SELECT d.pruned_op_id, (SELECT MAX(c.op_id) FROM changes c WHERE c.device_id = d.id), "
        "(SELECT MAX(k.op_id) FROM sync_conflict k WHERE k.device_id = d.id) FROM tenants_device d WHERE d.id = %s",
        [device_id],
    )
    return max((each or 0 for each in found), default=0) if found else 0
