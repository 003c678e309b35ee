"""Resolve ops of CBOR clients whose version was too low, by the object type's policy, and store the conflicts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sync.entities import document
from sync.entities.document_view import DocumentView
from sync.entities.models import EntityConflict
from sync.entities.ops import EntityConflictView, EntityOp
from sync.errors import OpRejected
from sync.models import Conflict
from sync.records import sql
from sync.records.rows import Row
from sync.settle.batch import Batch
from sync.settle.entity_rights import kinds_for, values_for
from sync.settle.merge import FIELD_MERGE, LAST_WRITE_WINS, MANUAL, SERVER_WINS
from sync.settle.payloads import check_values, clean_field, read_insert
from sync.settle.resolvers import Accept, Ask, EditConflict, Merged, Reject, ask, resolver_of
from sync.settle.stored_documents import body_of, version_of
from sync.settle.tx import Tx
from sync.wire.lines import decode_line
from sync.wire.ops import Actor, Op

REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Resolution:
    """How an op is resolved: `accept` it as it is, `write` these values and bytes, or `keep` the server's state.

    With `keep` the client receives the conflict. `settled` names the policy that decided for the server; it is empty
    if a user has to decide.
    """

    kind: Literal["accept", "write", "keep"]
    values: Mapping[str, Any] = field(default_factory=dict)
    body: bytes = b""
    settled: str = ""


@dataclass(frozen=True, slots=True)
class ConflictedOp:
    """An op that was not applied, and the record it was for."""

    op: EntityOp
    engine_op: Op
    row: Row
    resolution: Resolution
    view: DocumentView


_ACCEPT = Resolution("accept")
_ASK_USER = Resolution("keep")
_SERVER = Resolution("keep", settled=SERVER_WINS)


def resolve(tx: Tx, op: EntityOp, engine_op: Op, row: Row, view: DocumentView, *, field_merge: bool) -> Resolution:
    """Resolve an op whose version is not above the record's."""
    policy = row.table.spec.conflict_policy
    if policy == LAST_WRITE_WINS:
        return _ACCEPT
    if policy == MANUAL:
        return _ASK_USER
    if policy == SERVER_WINS or (policy == FIELD_MERGE and not field_merge):
        return _SERVER
    return _merged(tx, op, row, view) if policy == FIELD_MERGE else _by_resolver(tx, op, engine_op, row, view)


def _merged(tx: Tx, op: EntityOp, row: Row, view: DocumentView) -> Resolution:
    """Merge what the op's user may see. Fields they may not write keep the server's value."""
    base = _before(tx, op, row)
    if op.body is None or row.deleted or base is None:
        return _ASK_USER
    stored = body_of(row)
    merged = document.merge(view.shown(base, dict), op.body, view.shown(stored, row.values))
    if merged is None:
        return _ASK_USER
    from_body = document.declared(merged, kinds_for(view, row.table))
    only = None if view.free else view.writable_fields()
    return Resolution(
        "write", read_insert(row.table, from_body, tx.batch.unknown_field, only), view.overlaid(stored, merged)
    )


def _before(tx: Tx, op: EntityOp, row: Row) -> bytes | None:
    """Return the record as its client last saw it, judging by the version the client proposes."""
    found = sql.fetch_one(
        "SELECT cbor FROM v1_changes WHERE tenant_id = %s AND table_name = %s AND record_id = %s "
        "AND entity_version < %s ORDER BY cursor DESC LIMIT 1",
        [tx.batch.tenant_id, row.table.spec.table_name, row.id, op.version],
    )
    return bytes(found[0]) if found is not None and found[0] is not None else None


def _by_resolver(tx: Tx, op: EntityOp, engine_op: Op, row: Row, view: DocumentView) -> Resolution:
    """Let the object type's own resolver decide."""
    mine = None if op.verb == "delete" else {**row.values(), **values_for(tx, view, engine_op, row)}
    theirs, policy = None if row.deleted else row.values(), row.table.spec.conflict_policy
    concurrent = frozenset(
        name for name in row.table.fields if mine is None or theirs is None or mine.get(name) != theirs.get(name)
    )
    resolver = resolver_of(policy)
    edit_conflict = EditConflict(
        op.collection, op.entity_id, mine, theirs, None, concurrent, tx.actor.by, tx.actor.device_id
    )
    answer = ask(resolver, edit_conflict) if resolver else Ask()
    if isinstance(answer, Accept):
        return _ACCEPT
    if isinstance(answer, Reject):
        return Resolution("keep", settled=REJECTED)
    if not isinstance(answer, Merged) or row.deleted:
        return _ASK_USER
    given = {name: clean_field(row.table, name, value, tx.batch.unknown_field) for name, value in answer.values.items()}
    check_values(row.table, given)
    return Resolution("write", given, document.edited(body_of(row), given, lambda: {**row.values(), **given}))


def keep(
    batch: Batch, actor: Actor, conflicted: Sequence[ConflictedOp], room: int
) -> tuple[tuple[EntityConflictView, ...], int | None]:
    """Store conflicts. Return those to send, and the op_id of the first one that `room` bytes leave out, if any.

    Call it after the records and the log were written. A conflict that is left out is sent when its op is sent again.
    """
    times = _times(batch, {each.row.cursor for each in conflicted})
    for each in conflicted:
        _store(batch, actor, each)
    views: list[EntityConflictView] = []
    for each in sorted(conflicted, key=lambda one: one.op.op_id):
        state = _state(each)
        room -= len(state) + len(each.op.body or b"")
        if room < 0 and views:
            return tuple(views), each.op.op_id
        views.append(
            EntityConflictView(each.op, version_of(each.row), state, times.get(each.row.cursor), each.row.deleted)
        )
    return tuple(views), None


def _state(conflicted: ConflictedOp) -> bytes:
    """Return the server's version of a conflict as the op's user may see it."""
    row = conflicted.row
    return b"" if row.deleted else conflicted.view.shown(body_of(row), row.values)


def _times(batch: Batch, cursors: set[int]) -> dict[int, int]:
    found = sql.fetch_in(
        "SELECT cursor, line FROM changes WHERE tenant_id = %s AND cursor IN", sorted(cursors), [batch.tenant_id]
    )
    return {cursor: round(datetime.fromisoformat(decode_line(line)["at"]).timestamp() * 1000) for cursor, line in found}


def _store(batch: Batch, actor: Actor, conflicted: ConflictedOp) -> None:
    op, row, device = conflicted.op, conflicted.row, batch.devices[actor.device_id or ""]
    conflict = device.in_conflict.get(op.op_id)
    if conflict is not None and _is_same(conflict, op):
        return
    if conflict is None:
        conflict = Conflict(tenant_id=batch.tenant_id, device_id=actor.device_id, op_id=op.op_id)
        device.in_conflict[op.op_id] = conflict
    mine = _mine(batch, conflicted)
    theirs = None if row.deleted else row.values()
    concurrent = mine or row.table.fields
    names = sorted(name for name in concurrent if (mine or {}).get(name) != (theirs or {}).get(name))
    settled = conflicted.resolution.settled
    known = {name: value for name, value in mine.items() if name in names or row.deleted} if mine is not None else None
    for name, value in {
        "table_name": op.collection,
        "record_id": op.entity_id,
        "op": "delete" if op.verb == "delete" else "update",
        "fields": names,
        "base": None,
        "mine": known,
        "theirs": None if theirs is None else {name: theirs[name] for name in (known if known is not None else theirs)},
        "base_version": min(max(op.version - 1, 0), row.version),
        "server_version": row.version,
        "by": actor.by,
        "state": Conflict.State.SETTLED if settled else Conflict.State.OPEN,
        "resolution": settled,
        "settled_at": batch.at if settled else None,
        "told_device": True,
    }.items():
        setattr(conflict, name, value)
    conflict.save()
    EntityConflict.objects.update_or_create(
        conflict=conflict, defaults={"op_type": op.verb, "entity_version": op.version, "cbor": op.body}
    )


def _is_same(conflict: Conflict, op: EntityOp) -> bool:
    """Whether the conflict was already stored for an identical op, sent again because its response was lost."""
    kept = EntityConflict.objects.filter(conflict_id=conflict.pk).first()
    return (
        kept is not None
        and (kept.op_type, kept.entity_version) == (op.verb, op.version)
        and _bytes(kept.cbor) == op.body
    )


def _bytes(value: bytes | memoryview | None) -> bytes | None:
    return None if value is None else bytes(value)


def _mine(batch: Batch, conflicted: ConflictedOp) -> dict[str, Any] | None:
    """Return the op's values of the fields its user may write. Resolving the conflict as `mine` writes only these."""
    if conflicted.op.verb == "delete":
        return None
    row, view = conflicted.row, conflicted.view
    only = None if view.free else view.readable_fields() if row.deleted else view.writable_fields()
    try:
        return read_insert(row.table, conflicted.engine_op.payload, batch.unknown_field, only)
    except OpRejected:
        # The op could not have been applied anyway. Its document is stored as sent.
        return {}
