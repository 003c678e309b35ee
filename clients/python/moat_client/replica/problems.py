"""Ops the server did not apply as sent: list them, and carry out the user's decision about each."""

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from moat_client.errors import InvalidEdit, MoatError
from moat_client.replica.catalog import read_records
from moat_client.replica.checks import check_required, clean_values
from moat_client.replica.overlays import Key, add_overlay, as_json, new_pending, next_op_id, repatch
from moat_client.replica.store import Store, Writing, read_position
from moat_client.wire.codec import loads
from moat_client.wire.messages import Settled
from moat_client.wire.patch import split_pointer

_COLUMNS = (
    '"op_id", "tx", "table_name", "record_id", "op", "payload", "base_version", "state", "code", "message", '
    '"details", "created_at"'
)
_NOT_FIELDS = ("id", "version")


@dataclass(frozen=True, slots=True)
class Problem:
    """An op that needs a decision. `n` is its number for people; `state` is conflict, rejected, or parked.

    For a conflict: `base` is the common start, `mine` and `theirs` are the two results (None: deleted), `fields` are
    the conflicting fields, and `by` and `at` are the author and time of theirs.
    """

    n: int
    op_id: int
    tx: str | None
    table: str
    id: str
    op: str
    payload: Any
    base_version: int
    state: str
    code: str
    message: str
    made_at: str
    conflict: str | None = None
    version: int | None = None
    base: dict[str, Any] | None = None
    mine: dict[str, Any] | None = None
    theirs: dict[str, Any] | None = None
    fields: tuple[str, ...] = ()
    by: str | None = None
    at: str | None = None
    last: dict[str, Any] | None = None

    @property
    def key(self) -> Key:
        """The (table, ID) of its record."""
        return self.table, self.id


def _problem(row: tuple[Any, ...]) -> Problem:
    op_id, tx, table, record_id, op, payload, base_version, state, code, message, details, made_at = row
    more = loads(details) if details else {}
    return Problem(
        n=int(more.get("n") or 0),
        op_id=op_id,
        tx=tx,
        table=table,
        id=record_id,
        op=op,
        payload=None if payload is None else loads(payload),
        base_version=base_version,
        state=state,
        code=code or "",
        message=message or "",
        made_at=made_at,
        fields=tuple(more.get("fields") or ()),
        **{k: more.get(k) for k in ("conflict", "version", "base", "mine", "theirs", "by", "at", "last")},
    )


def list_problems(con: sqlite3.Connection) -> list[Problem]:
    """Return every op that needs a decision, in the order they were made."""
    sql = (
        f"SELECT {_COLUMNS} FROM main.\"overlays\" WHERE \"state\" IN ('conflict', 'rejected', 'parked') "
        'ORDER BY "op_id"'
    )
    return [_problem(row) for row in con.execute(sql)]


def find_problem(con: sqlite3.Connection, n: int) -> Problem:
    """Return the problem with this number; raise MoatError."""
    for problem in list_problems(con):
        if problem.n == n:
            return problem
    raise MoatError(f"No problem number {n}. Run moat conflicts to list them.", code="no_problem")


def resolve(
    store: Store, writing: Writing, problem: Problem, resolution: str, edit: Mapping[str, Any] | None = None
) -> None:
    """Resolve a conflict: `mine` keeps my change, `theirs` discards it, `edit` keeps mine with other values.

    The new op replaces the conflict; if the record has changed again, it becomes a new conflict. If this was the only
    conflict of its transaction, the other ops, which were not applied because of it, are sent again with it.
    """
    if problem.state != "conflict" or problem.conflict is None:
        raise MoatError(f"Number {problem.n} is not a conflict. Retry or discard it instead.", code="no_conflict")
    con = writing.con
    siblings = _aborted_siblings(con, problem) if resolution != "theirs" else []
    con.execute('DELETE FROM main."overlays" WHERE "op_id" = ?', [problem.op_id])
    if resolution == "theirs":
        _queue(
            writing, problem.key, "settle", {"conflict": problem.conflict, "resolution": "theirs"}, problem.base_version
        )
    else:
        _write_again(store, writing, problem, edit or {}, tx=problem.tx if siblings else None)
    for sibling in siblings:
        _requeue(con, sibling)
    _done(store, writing, [problem.key, *(s.key for s in siblings)])


def _write_again(store: Store, writing: Writing, problem: Problem, edit: Mapping[str, Any], tx: str | None) -> None:
    values = _checked(store, problem.table, edit)
    more = {"settles": problem.conflict, "tx": tx}
    version = problem.version if problem.version is not None else problem.base_version
    base_is_gone = problem.theirs is None
    if problem.op == "delete" and not values:
        _queue(writing, problem.key, "delete", None, version, **more)
    elif base_is_gone:
        whole = _writable(problem.last or {}) | _writable(problem.base or {}) | _mine(problem) | values
        whole = {k: v for k, v in whole.items() if v is not None}
        _queue(writing, problem.key, "insert", whole, version, **more)
    elif problem.op == "update":
        kept = [step for step in problem.payload if split_pointer(step["path"])[0] not in values]
        _queue(writing, problem.key, "update", kept + _replacements(values), version, **more)
    else:  # an insert of an ID that exists, or a deletion that became an edit
        mine = _mine(problem) if problem.op == "insert" else {}
        _queue(writing, problem.key, "update", _replacements(mine | values), version, **more)


def _mine(problem: Problem) -> dict[str, Any]:
    if problem.op == "insert":
        return dict(problem.payload)
    return _writable(problem.mine or {})


def _writable(record: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in record.items() if k not in _NOT_FIELDS}


def _replacements(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"op": "replace", "path": f"/{name}", "value": value} for name, value in values.items()]


def _checked(store: Store, table: str, values: Mapping[str, Any]) -> dict[str, Any]:
    found = store.catalog().tables.get(table)
    if not values:
        return {}
    if found is None or found.object_type is None:
        raise InvalidEdit(f"The table {table} no longer exists.", code="unknown_table")
    cleaned = clean_values(found.object_type, values)
    check_required(found.object_type, cleaned, only=cleaned.keys())
    return cleaned


def _aborted_siblings(con: sqlite3.Connection, problem: Problem) -> list[Problem]:
    """Return the ops of the same tx that failed only because of this one; empty if the tx has other problems."""
    rest = [p for p in list_problems(con) if p.tx is not None and p.tx == problem.tx and p.op_id != problem.op_id]
    return rest if all(p.code == "tx_aborted" for p in rest) else []


def _requeue(
    con: sqlite3.Connection, problem: Problem, *, payload: Any = None, base_version: int | None = None
) -> None:
    """Make a rejected op pending again, under a new op_id."""
    con.execute(
        'UPDATE main."overlays" SET "op_id" = ?, "state" = \'pending\', "code" = NULL, "message" = NULL, '
        '"details" = NULL, '
        '"payload" = ?, "base_version" = ? WHERE "op_id" = ?',
        [
            next_op_id(con),
            as_json(problem.payload if payload is None else payload),
            problem.base_version if base_version is None else base_version,
            problem.op_id,
        ],
    )


def retry(store: Store, writing: Writing, problem: Problem, edit: Mapping[str, Any] | None = None) -> None:
    """Resend a rejected or parked op with its whole tx, in order; `edit` first replaces values of this op."""
    if problem.state == "conflict":
        raise MoatError(f"Number {problem.n} is a conflict. Resolve it instead.", code="is_conflict")
    con = writing.con
    values = _checked(store, problem.table, edit or {})
    group = [
        p for p in list_problems(con) if p.op_id == problem.op_id or (problem.tx is not None and p.tx == problem.tx)
    ]
    if any(p.state == "conflict" for p in group):
        raise MoatError("Another edit in the same transaction is in conflict. Resolve it first.", code="is_conflict")
    for each in group:
        payload = _edited(each, values) if each.op_id == problem.op_id and values else each.payload
        current = _base_version(store, con, each)
        _requeue(con, each, payload=payload, base_version=each.base_version if current is None else current)
    _done(store, writing, [p.key for p in group])


def _base_version(store: Store, con: sqlite3.Connection, problem: Problem) -> int | None:
    table = store.catalog().tables.get(problem.table)
    base = read_records(con, table, [problem.id]).get(problem.id) if table else None
    return None if base is None else int(base["version"])


def _edited(problem: Problem, values: Mapping[str, Any]) -> Any:
    if problem.op == "insert":
        return {k: v for k, v in (problem.payload | values).items() if v is not None}
    if problem.op == "update":
        kept = [step for step in problem.payload if split_pointer(step["path"])[0] not in values]
        return kept + _replacements(values)
    raise MoatError("A deletion has no values to edit.", code="bad_edit")


def discard(store: Store, writing: Writing, problem: Problem) -> None:
    """Discard an op with the rest of its rejected tx. A conflict is resolved as `theirs`."""
    if problem.state == "conflict":
        resolve(store, writing, problem, "theirs")
        return
    con = writing.con
    group = [
        p for p in list_problems(con) if p.op_id == problem.op_id or (problem.tx is not None and p.tx == problem.tx)
    ]
    for each in group:
        if each.state != "conflict":
            con.execute('DELETE FROM main."overlays" WHERE "op_id" = ?', [each.op_id])
    _done(store, writing, [p.key for p in group])


def settled_elsewhere(store: Store, writing: Writing, notes: Iterable[Settled]) -> list[Problem]:
    """Drop conflicts that were resolved elsewhere; return them."""
    by_conflict = {p.conflict: p for p in list_problems(writing.con) if p.conflict}
    gone = [by_conflict[note.conflict] for note in notes if note.conflict in by_conflict]
    for problem in gone:
        writing.con.execute('DELETE FROM main."overlays" WHERE "op_id" = ?', [problem.op_id])
    _done(store, writing, [p.key for p in gone])
    return gone


def _queue(writing: Writing, key: Key, op: str, payload: Any, version: int, **more: Any) -> None:
    pending = new_pending(writing.con, key, op, payload, base_version=version, **more)
    add_overlay(writing.con, pending, read_position(writing.con).schema_version)


def _done(store: Store, writing: Writing, keys: list[Key]) -> None:
    repatch(writing.con, store.catalog(), keys)
    writing.touched.update(table for table, _ in keys)
    writing.new_ops = True
