"""The overlays of a replica: add, show, confirm, reject, and park local edits.

Every function works inside the caller's transaction.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from moat_client.replica.catalog import read_records
from moat_client.replica.clock import now_text
from moat_client.replica.ddl import patched_name, quoted
from moat_client.replica.patched import OverlayOp, patched
from moat_client.replica.store import get_state, next_number, set_state
from moat_client.replica.tables import Catalog, Table
from moat_client.wire.codec import dumps, loads
from moat_client.wire.lines import PendingOp
from moat_client.wire.messages import OpResult

ACTIVE = ("pending", "acked")
PROBLEMS = ("conflict", "rejected", "parked")
_OP_ID_GAP = 1_000_000
Key = tuple[str, str]


def add_overlay(con: sqlite3.Connection, op: PendingOp, schema_version: int) -> None:
    """Store a new pending op, whose op_id comes from `next_op_id`."""
    con.execute(
        'INSERT INTO main."overlays" ("op_id", "tx", "table_name", "record_id", "op", "payload", "base_version", '
        '"schema_version", "created_at", "settles") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
        [
            op.op_id,
            op.tx,
            op.table,
            op.record_id,
            op.op,
            op.payload,
            op.base_version,
            schema_version,
            op.at,
            op.settles,
        ],
    )


def as_json(value: Any) -> str | None:
    """Return JSON text, or None for None."""
    return None if value is None else dumps(value).decode()


def next_op_id(con: sqlite3.Connection) -> int:
    """Return a new op_id, higher than any that this replica ever used under any device."""
    return next_number(con, "next_op_id")


def raise_op_ids(con: sqlite3.Connection, above: int) -> None:
    """Make sure that `next_op_id` returns no op_id up to `above`."""
    if int(get_state(con, "next_op_id", "1")) <= above:
        set_state(con, "next_op_id", above + 1)


def pending_ops(con: sqlite3.Connection, after: int, limit: int) -> list[PendingOp]:
    """Return pending ops with op_ids above `after`, in order; complete a tx that `limit` would split."""
    columns = '"op_id", "tx", "table_name", "record_id", "op", "base_version", "payload", "created_at", "settles"'
    select = f'SELECT {columns} FROM main."overlays" WHERE "state" = \'pending\' AND "op_id" > ?'
    ops = [PendingOp(*row) for row in con.execute(f'{select} ORDER BY "op_id" LIMIT ?', [after, limit])]
    if len(ops) == limit and ops[-1].tx is not None:
        rest = con.execute(f'{select} AND "tx" = ? ORDER BY "op_id"', [ops[-1].op_id, ops[-1].tx])
        ops += [PendingOp(*row) for row in rest]
    return ops


def repatch(con: sqlite3.Connection, catalog: Catalog, keys: Iterable[Key]) -> None:
    """Rewrite the patched rows of these records from their base rows and active overlays."""
    by_table: dict[str, set[str]] = defaultdict(set)
    for name, record_id in keys:
        by_table[name].add(record_id)
    for name, ids in by_table.items():
        if (table := catalog.tables.get(name)) is not None:
            _repatch_table(con, table, sorted(ids))


def _repatch_table(con: sqlite3.Connection, table: Table, ids: Sequence[str]) -> None:
    name = quoted(patched_name(table.name))
    con.executemany(f'DELETE FROM main.{name} WHERE "id" = ?', [(i,) for i in ids])
    overlaid = [i for i in ids if _has_active(con, table.name, i)]
    if not overlaid:
        return
    base = read_records(con, table, overlaid)
    shown = (patched(i, base.get(i), active_ops(con, table.name, i), table.columns) for i in overlaid)
    marks = ", ".join("?" * len(table.columns))
    con.executemany(
        f"INSERT INTO main.{name} ({table.column_list}) VALUES ({marks})",
        [table.row(r) for r in shown if r is not None],
    )


def _has_active(con: sqlite3.Connection, table: str, record_id: str) -> bool:
    sql = (
        'SELECT 1 FROM main."overlays" WHERE "table_name" = ? AND "record_id" = ? AND "state" IN (\'pending\', '
        "'acked') LIMIT 1"
    )
    return con.execute(sql, [table, record_id]).fetchone() is not None


def active_ops(con: sqlite3.Connection, table: str, record_id: str) -> list[OverlayOp]:
    """Return a record's active ops, in order."""
    rows = con.execute(
        'SELECT "op", "payload" FROM main."overlays" WHERE "table_name" = ? AND "record_id" = ? '
        "AND \"state\" IN ('pending', 'acked') "
        'ORDER BY "op_id"',
        [table, record_id],
    )
    return [OverlayOp(op, None if payload is None else loads(payload)) for op, payload in rows]


def visible(con: sqlite3.Connection, table: Table, record_id: str) -> dict[str, Any] | None:
    """Return a record as the user sees it, within the writing transaction."""
    source = patched_name(table.name) if _has_active(con, table.name, record_id) else None
    return read_records(con, table, [record_id], source=source).get(record_id)


def overlaid_keys(con: sqlite3.Connection, table: str, ids: Iterable[str]) -> set[Key]:
    """Return which of these records have active overlays."""
    wanted = ids if isinstance(ids, set | frozenset | dict) else set(ids)
    if len(wanted) < 200:
        return {(table, i) for i in wanted if _has_active(con, table, i)}
    rows = con.execute(
        'SELECT DISTINCT "record_id" FROM main."overlays" WHERE "table_name" = ? AND "state" IN (\'pending\', '
        "'acked')",
        [table],
    )
    return {(table, i) for (i,) in rows if i in wanted}


def drop_reached(con: sqlite3.Connection, cursor: int) -> set[Key]:
    """Delete the overlays whose accepted change the base rows now hold; return their records."""
    rows = con.execute(
        'DELETE FROM main."overlays" WHERE "state" = \'acked\' AND "acked_cursor" <= ? RETURNING "table_name", '
        '"record_id"',
        [cursor],
    ).fetchall()
    return set(rows)


def drop_own(con: sqlite3.Connection, own: Sequence[tuple[int, str, str]]) -> set[Key]:
    """Delete the overlays whose own lines (op_id, table, id) were just applied; return their records.

    If an op_id belongs to a different op here, this replica was restored from a copy older than the device's last push.
    The op here keeps its place and gets a new op_id.
    """
    dropped: set[Key] = set()
    raise_op_ids(con, max(op_id for op_id, *_ in own))
    for op_id, table, record_id in own:
        found = con.execute(
            'SELECT "table_name", "record_id" FROM main."overlays" WHERE "op_id" = ?', [op_id]
        ).fetchone()
        if found == (table, record_id):
            con.execute('DELETE FROM main."overlays" WHERE "op_id" = ?', [op_id])
            dropped.add((table, record_id))
        elif found is not None:
            renumber(con, op_id)
    return dropped


def renumber(con: sqlite3.Connection, start: int) -> None:
    """Assign new op_ids to the pending ops from `start` on, in order."""
    waiting = con.execute(
        'SELECT "op_id" FROM main."overlays" WHERE "op_id" >= ? AND "state" = \'pending\' ORDER BY "op_id"', [start]
    ).fetchall()
    for (op_id,) in waiting:
        con.execute('UPDATE main."overlays" SET "op_id" = ? WHERE "op_id" = ?', [next_op_id(con), op_id])


def record_results(
    con: sqlite3.Connection, catalog: Catalog, results: Iterable[OpResult], *, cursor: int, fresh_after: int
) -> set[Key]:
    """Record the results of a push: confirm, drop, or keep each op as a problem. Return the affected records.

    `cursor` is the replica's; ops with op_ids above `fresh_after` had not been sent before.
    """
    keys: set[Key] = set()
    for result in results:
        found = con.execute(
            'SELECT "table_name", "record_id", "op" FROM main."overlays" WHERE "op_id" = ?', [result.op_id]
        ).fetchone()
        if found is None:  # its change line came first, or the user discarded it
            continue
        table, record_id, op = found
        keys.add((table, record_id))
        if result.status in ("applied", "merged", "duplicate"):
            _confirm(con, catalog, result, (table, record_id), op, cursor=cursor, fresh_after=fresh_after)
        elif op == "settle" and result.wire.get("code") == "unknown_conflict":
            con.execute('DELETE FROM main."overlays" WHERE "op_id" = ?', [result.op_id])
        else:
            _keep_problem(con, result)
    repatch(con, catalog, keys)
    return keys


def _confirm(
    con: sqlite3.Connection, catalog: Catalog, result: OpResult, key: Key, op: str, *, cursor: int, fresh_after: int
) -> None:
    reached = result.wire.get("cursor")
    fresh = op != "settle" and result.op_id > fresh_after
    if fresh and result.status == "duplicate" and not _shows_already(con, catalog, key):
        raise_op_ids(con, result.op_id + _OP_ID_GAP)
        text = (
            "The server already accepted a different op with this number, so this replica is an old copy. "
            "Retry or discard the edit."
        )
        set_problem(con, result.op_id, "rejected", "op_id_reused", text, result.wire)
    elif op == "settle" or reached is None or reached <= cursor:
        con.execute('DELETE FROM main."overlays" WHERE "op_id" = ?', [result.op_id])
    else:
        sql = (
            'UPDATE main."overlays" SET "state" = \'acked\', "acked_cursor" = ?, "code" = NULL, "message" = NULL '
            'WHERE "op_id" = ?'
        )
        con.execute(sql, [reached, result.op_id])


def _shows_already(con: sqlite3.Connection, catalog: Catalog, key: Key) -> bool:
    """Return whether the base row equals what the user sees, so that dropping its overlays changes nothing."""
    table = catalog.tables.get(key[0])
    if table is None:
        return True
    return read_records(con, table, [key[1]]).get(key[1]) == visible(con, table, key[1])


def _keep_problem(con: sqlite3.Connection, result: OpResult) -> None:
    code = "conflict" if result.status == "conflict" else str(result.wire.get("code") or result.status)
    state = "conflict" if result.status == "conflict" else "parked" if code == "retired" else "rejected"
    message = (
        "Someone else changed the same fields."
        if state == "conflict"
        else str(result.wire.get("message") or "The server rejected this edit.")
    )
    set_problem(con, result.op_id, state, code, message, result.wire)


def set_problem(
    con: sqlite3.Connection, op_id: int, state: str, code: str, message: str, details: dict[str, Any] | None = None
) -> None:
    """Keep an op as a problem for a person to decide, under a number that never changes."""
    found = con.execute('SELECT "details" FROM main."overlays" WHERE "op_id" = ?', [op_id]).fetchone()
    known = loads(found[0]) if found and found[0] else {}
    merged = known | (details or {})
    merged["n"] = known.get("n") or next_number(con, "next_problem")
    sql = (
        'UPDATE main."overlays" SET "state" = ?, "code" = ?, "message" = ?, "details" = ?, "acked_cursor" = NULL '
        'WHERE "op_id" = ?'
    )
    con.execute(sql, [state, code, message, as_json(merged), op_id])


def remember_last_seen(
    con: sqlite3.Connection, table: Table, ids: Iterable[str], *, source: sqlite3.Connection | None = None
) -> None:
    """Store the last values of records about to be deleted with their ops: "mine" may restore the records.

    Read the records from `source`, if that is another file.
    """
    for record_id, record in read_records(source or con, table, ids).items():
        rows = con.execute(
            'SELECT "op_id", "details" FROM main."overlays" WHERE "table_name" = ? AND "record_id" = ?',
            [table.name, record_id],
        )
        for op_id, details in rows.fetchall():
            known = loads(details) if details else {}
            if "last" not in known:
                con.execute(
                    'UPDATE main."overlays" SET "details" = ? WHERE "op_id" = ?',
                    [as_json(known | {"last": record}), op_id],
                )


def park_retired(con: sqlite3.Connection, table: str, field: str | None) -> set[Key]:
    """Park the pending ops on a retired field or table, with the rest of their tx; return their records."""
    rows = con.execute(
        'SELECT "op_id", "tx", "record_id", "op", "payload" FROM main."overlays" WHERE "table_name" = ? '
        "AND \"state\" = 'pending'",
        [table],
    ).fetchall()
    hit = [row for row in rows if row[3] != "settle" and (field is None or touches(row[3], row[4], field))]
    what = f"{table}.{field}" if field else table
    keys: set[Key] = set()
    for op_id, tx, record_id, *_ in hit:
        set_problem(con, op_id, "parked", "retired", f"{what} was retired by an admin.")
        keys.add((table, record_id))
        if tx is not None:
            keys |= _park_siblings(con, tx, what)
    return keys


def _park_siblings(con: sqlite3.Connection, tx: str, what: str) -> set[Key]:
    rows = con.execute(
        'SELECT "op_id", "table_name", "record_id" FROM main."overlays" WHERE "tx" = ? AND "state" = \'pending\'', [tx]
    ).fetchall()
    for op_id, *_ in rows:
        set_problem(
            con,
            op_id,
            "parked",
            "tx_aborted",
            f"This edit is part of a transaction that changes {what}, which was retired by an admin.",
        )
    return {(table, record_id) for _, table, record_id in rows}


def touches(op: str, payload: str | None, field: str) -> bool:
    """Return whether an op writes a field."""
    data = loads(payload) if payload else None
    if op == "insert" and isinstance(data, dict):
        return data.get(field) is not None
    if op == "update" and isinstance(data, list):
        return any(str(step.get("path")).split("/")[1:2] == [field] for step in data)
    return False


def all_active(con: sqlite3.Connection) -> set[Key]:
    """Return every record that has active overlays."""
    return set(
        con.execute(
            'SELECT DISTINCT "table_name", "record_id" FROM main."overlays" WHERE "state" IN (\'pending\', \'acked\')'
        )
    )


def new_pending(
    con: sqlite3.Connection, key: Key, op: str, payload: Any, *, base_version: int, **more: Any
) -> PendingOp:
    """Create a pending op with a new op_id and the current time; `more` is `tx` and `settles`."""
    return PendingOp(
        next_op_id(con), more.get("tx"), *key, op, base_version, as_json(payload), now_text(), more.get("settles")
    )
