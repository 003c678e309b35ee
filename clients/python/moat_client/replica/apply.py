"""Apply what the server sends.

Every function works inside the caller's transaction. It leaves base rows, overlays, and position consistent, or raises
and changes nothing.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from moat_client.errors import Diverged
from moat_client.replica.ddl import RECENT_LINES, command_sql, quoted
from moat_client.replica.fold import Folded, fold_changes
from moat_client.replica.overlays import (
    Key,
    all_active,
    drop_own,
    drop_reached,
    overlaid_keys,
    park_retired,
    remember_last_seen,
    repatch,
)
from moat_client.replica.store import get_state, read_position, set_state, write_position
from moat_client.replica.tables import Catalog, Table
from moat_client.wire import chain
from moat_client.wire.codec import loads, loads_lines
from moat_client.wire.lines import decode_change, decode_changes
from moat_client.wire.messages import Changes, Rows
from moat_client.wire.position import Position

Revisions = Sequence[tuple[int, Sequence[Mapping[str, Any]]]]


@dataclass(slots=True)
class Applying:
    """What applying needs: the connection, the current catalog, and the device IDs whose ops are this replica's."""

    con: sqlite3.Connection
    catalog: Callable[[], Catalog]
    devices: frozenset[str]


def apply_changes(work: Applying, frame: Changes, revisions: Revisions = ()) -> tuple[Position, set[str]]:
    """Apply the schema revisions a frame needs, then the frame; return the new position and the changed tables.

    Raise Diverged when the frame does not start at this replica's cursor, or when the chain does not match the
    server's.
    """
    before = read_position(work.con)
    if before.cursor != frame.start:
        raise Diverged(f"the frame starts at cursor {frame.start}, but the replica is at {before.cursor}")
    _check_chain(before, frame)
    changes = decode_changes(frame.lines)
    if any(not frame.start < change["cursor"] <= frame.to for change in changes):
        raise Diverged("a change line's cursor is outside its frame")
    keys = run_revisions(work, revisions)
    touched = {command["table"] for _, commands in revisions for command in commands}
    for table, folded in _fold(work, changes, before.cursor).items():
        keys |= write_folded(work, table, folded)
        touched.add(table)
    keys |= _drop_confirmed(work, changes, frame.to)
    repatch(work.con, work.catalog(), keys)
    after = replace(
        before,
        cursor=frame.to,
        state_hash=frame.state_hash,
        schema_version=max(before.schema_version, frame.schema_version),
    )
    write_position(work.con, after)
    keep_recent(work.con, frame)
    return after, touched | {table for table, _ in keys}


def keep_recent(con: sqlite3.Connection, frame: Changes) -> None:
    """Keep the newest lines for other processes that follow the file."""
    newest = frame.lines[-RECENT_LINES:]
    con.execute('DELETE FROM main."_recent" WHERE "cursor" <= ?', [frame.to - RECENT_LINES])
    cursors: Sequence[int] = range(frame.to - len(newest) + 1, frame.to + 1)
    if len(frame.lines) != frame.to - frame.start:  # a filtered channel skips cursors
        cursors = [decode_change(line).cursor for line in newest]
    con.executemany(
        'INSERT OR REPLACE INTO main."_recent" VALUES (?, ?)',
        [(c, line.decode()) for c, line in zip(cursors, newest, strict=True)],
    )


def _check_chain(before: Position, frame: Changes) -> None:
    if before.state_hash:
        starts = [bytes.fromhex(before.state_hash)]
    else:  # before the first contact: either the tenant's own chain or a filtered one
        starts = [
            chain.genesis(before.server_epoch, before.tenant),
            chain.genesis(before.server_epoch, before.tenant, before.channel),
        ]
    if not any(chain.fold(start, frame.lines).hex() == frame.state_hash for start in starts):
        raise Diverged(f"chain mismatch at cursor {frame.to}")


def _fold(work: Applying, changes: Sequence[Mapping[str, Any]], cursor: int) -> dict[str, Folded]:
    """Fold the lines by record. System tables come first, so that new field kinds are known when rows are written."""
    replaying = cursor < int(get_state(work.con, "replay_until", "0"))
    folded = fold_changes(changes, known=_versions(work) if replaying else None, current=_current_json(work))
    return dict(sorted(folded.items(), key=lambda item: item[0] not in work.catalog().system))


def _versions(work: Applying) -> Callable[[str, str], int | None]:
    def version_of(table: str, record_id: str) -> int | None:
        if work.catalog().synced(table) is None:
            return None
        found = work.con.execute(f'SELECT "version" FROM main.{quoted(table)} WHERE "id" = ?', [record_id]).fetchone()
        return int(found[0]) if found else None

    return version_of


def _current_json(work: Applying) -> Callable[[str, str, str], Any]:
    """Return a function that reads the json value a nested patch starts from.

    The function raises Diverged when the record is missing.
    """

    catalog = work.catalog()

    def value_of(table: str, record_id: str, field: str) -> Any:
        target = catalog.synced(table)
        if target is None or field not in target.columns:
            raise KeyError(field)
        found = work.con.execute(
            f'SELECT {quoted(field)} FROM main.{quoted(table)} WHERE "id" = ?', [record_id]
        ).fetchone()
        if found is None:
            raise Diverged(f"{table}/{record_id} was updated but is not in the replica")
        return None if found[0] is None else loads(found[0])

    return value_of


def write_folded(work: Applying, name: str, folded: Folded) -> set[Key]:
    """Write a table's folded changes in bulk; return its records that have overlays. Skip dropped tables."""
    table = work.catalog().synced(name)
    if table is None:
        return set()
    con = work.con
    overlaid = overlaid_keys(con, name, folded.ids) if name in work.catalog().tables and has_overlays(con) else set()
    if folded.gone:
        if overlaid:
            remember_last_seen(con, table, [i for _, i in overlaid if i in folded.gone])
        con.executemany(f'DELETE FROM main.{quoted(name)} WHERE "id" = ?', [(i,) for i in folded.gone])
    if folded.rows:
        con.executemany(table.upsert_sql, map(table.row, folded.rows.values()))
    if folded.patches:
        _update(con, table, folded.patches)
    return overlaid


def _update(con: sqlite3.Connection, table: Table, patches: Mapping[str, dict[str, Any]]) -> None:
    """Update only the changed columns, with one statement per set of columns."""
    known = frozenset(table.columns)
    groups: dict[tuple[str, ...], list[list[Any]]] = defaultdict(list)
    json_columns = {name for _, name in table.json_columns}
    for record_id, patch in patches.items():
        columns = tuple(patch)
        if not known.issuperset(columns):
            columns = tuple(c for c in columns if c in known)
        plain = json_columns.isdisjoint(columns)
        values = [patch[c] for c in columns] if plain else [table.value(c, patch[c]) for c in columns]
        values.append(record_id)
        groups[columns].append(values)
    for columns, rows in groups.items():
        sets = ", ".join(f"{quoted(c)} = ?" for c in columns)
        done = con.executemany(f'UPDATE main.{quoted(table.name)} SET {sets} WHERE "id" = ?', rows)
        if done.rowcount != len(rows):
            raise Diverged(f"{table.name}: {len(rows) - done.rowcount} updated records are not in the replica")


def has_overlays(con: sqlite3.Connection) -> bool:
    """Return whether there are any overlays."""
    return con.execute('SELECT 1 FROM main."overlays" LIMIT 1').fetchone() is not None


def _drop_confirmed(work: Applying, changes: Iterable[Mapping[str, Any]], cursor: int) -> set[Key]:
    devices = work.devices
    own = [(c["op_id"], c["table"], c["id"]) for c in changes if "op_id" in c and c.get("device") in devices]
    dropped = drop_own(work.con, own) if own else set()
    return dropped | drop_reached(work.con, cursor)


def run_revisions(work: Applying, revisions: Revisions) -> set[Key]:
    """Run schema commands; return the records whose overlays were parked or became visible again."""
    keys: set[Key] = set()
    for _, commands in revisions:
        for command in commands:
            keys |= run_command(work, command)
    return keys


def run_command(work: Applying, command: Mapping[str, Any]) -> set[Key]:
    """Run one schema command, and park or show the overlays it affects."""
    keys: set[Key] = set()
    kind, table = command["command"], str(command["table"])
    if kind == "retire_column":
        keys = park_retired(work.con, table, str(command["field"]))
    elif kind == "retire_table":
        keys = park_retired(work.con, table, None)
    try:
        for sql in command_sql(command):
            work.con.execute(sql)
    except (ValueError, sqlite3.OperationalError) as problem:
        raise Diverged(f"schema command {kind} on {table}: {problem}") from problem
    if kind == "create_table":
        keys = {key for key in all_active(work.con) if key[0] == table}
    return keys


@dataclass(frozen=True, slots=True)
class RowSet:
    """The position that applying rows leads to. `revisions` run first."""

    to: int
    state_hash: str
    schema_version: int
    revisions: Revisions = ()


def apply_rows(work: Applying, frames: Iterable[Rows], end: RowSet) -> tuple[Position, set[str]]:
    """Apply all rows that changed since the cursor; rows of system tables must come first."""
    keys = run_revisions(work, end.revisions)
    touched = {command["table"] for _, commands in end.revisions for command in commands}
    for rows in frames:
        keys |= write_rows(work, rows)
        touched.add(rows.table)
    before = read_position(work.con)
    after = replace(
        before, cursor=end.to, state_hash=end.state_hash, schema_version=max(before.schema_version, end.schema_version)
    )
    return _finish(work, after, keys), touched | {table for table, _ in keys}


def write_rows(work: Applying, rows: Rows) -> set[Key]:
    """Write one frame of records and deletions."""
    records = (dict(zip(rows.columns, values, strict=True)) for values in loads_lines(rows.lines))
    folded = Folded(rows={r["id"]: r for r in records}, gone=set(rows.deleted))
    return write_folded(work, rows.table, folded)


def apply_repair(work: Applying, table: str, span: tuple[str | None, str | None], frames: Sequence[Rows]) -> set[str]:
    """Replace every record of an ID range with the server's."""
    if work.catalog().synced(table) is None:
        return set()
    keys: set[Key] = set()
    kept = {values[rows.columns.index("id")] for rows in frames for values in loads_lines(rows.lines)}
    where, bounds = range_where(span)
    here = work.con.execute(f'SELECT "id" FROM main.{quoted(table)} WHERE {where}', bounds).fetchall()
    keys |= write_folded(work, table, Folded(gone={i for (i,) in here if i not in kept}))
    for rows in frames:
        keys |= write_rows(work, replace(rows, table=table, deleted=()))
    repatch(work.con, work.catalog(), keys)
    return {table}


def range_where(span: tuple[str | None, str | None]) -> tuple[str, list[str]]:
    """Return the SQL condition of an inclusive ID range; None is an open end."""
    low, high = span
    parts, bounds = ["1"], []
    if low is not None:
        parts.append('"id" >= ?')
        bounds.append(low)
    if high is not None:
        parts.append('"id" <= ?')
        bounds.append(high)
    return " AND ".join(parts), bounds


def adopt(work: Applying, position: Position, replay_until: int) -> Position:
    """Adopt a position after a repair; lines up to `replay_until` may already be applied."""
    set_state(work.con, "replay_until", replay_until)
    return _finish(work, position, set())


def _finish(work: Applying, position: Position, keys: set[Key]) -> Position:
    keys |= drop_reached(work.con, position.cursor)
    repatch(work.con, work.catalog(), keys)
    write_position(work.con, position)
    return position
