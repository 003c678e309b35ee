"""Settle one push of a CBOR client (docs/spec/syncprotocol-v1.md). Clients choose the versions, and a push is one tx.

Ops become the same effects as ops of WebSocket clients, and the same `flush` writes them, so live clients receive
ordinary changes. The access rules are those in force at the commit (`sync.settle.entity_rights`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sync.entities import document
from sync.entities.document import StoredDocument
from sync.entities.document_view import DocumentView
from sync.entities.ops import EntityOp, Pushed
from sync.errors import OpRejected, PushRejected
from sync.log.commit import Commit
from sync.models import Conflict, PrunedOps
from sync.records import sql
from sync.records.rows import Row, Table
from sync.settle import BatchResult, flush, guard, over_budget
from sync.settle import entity_rights as rights
from sync.settle.batch import Batch, Settlement
from sync.settle.conflicts import SUPERSEDED
from sync.settle.decide import remove, table_for, write_fields, write_whole
from sync.settle.entity_conflicts import ConflictedOp, Resolution, keep, resolve
from sync.settle.payloads import read_insert
from sync.settle.prefetch import load_devices, prefetch
from sync.settle.stored_documents import body_of, version_of
from sync.settle.tx import Effect, Tx
from sync.wire.codes import Code
from sync.wire.limits import V1_PUSH_WORK, OverBudget
from sync.wire.lines import wire_time
from sync.wire.ops import Actor, Op
from tenants.errors import MoatError
from tenants.locks import LockedTenant

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS = 253_402_300_799_000
_FAR = 2**62
_NEAR = 2**20
"""How far above the record's version a client's version may be, once it is above `_FAR`."""


class EntityRejected(Exception):
    """An op of a push cannot be applied, so nothing of the push is. `position` counts from 0."""

    def __init__(self, position: int, error: OpRejected) -> None:
        super().__init__(error.message)
        self.position = position
        self.error = error


@dataclass(slots=True)
class _Push:
    tx: Tx
    field_merge: bool
    settled: set[int] = field(default_factory=set)
    unchanged: list[int] = field(default_factory=list)
    conflicted: list[ConflictedOp] = field(default_factory=list)


def settle_entities(
    locked: LockedTenant, actor: Actor, ops: Sequence[EntityOp], *, field_merge: bool, room: int
) -> tuple[Pushed, BatchResult]:
    """Settle a push and write the result.

    The caller holds the tenant's lock, stores the tenant's counters, and announces the commit. The result reports
    conflicts with at most `room` bytes of documents, but at least one, and acknowledges no op after the last reported
    conflict. Raises `EntityRejected` if an op cannot be applied and `PushRejected` if the device or its user may not
    write. Then nothing is written.
    """
    batch = Batch(locked)
    device = actor.device_id or ""
    load_devices(batch, {device})
    if device not in batch.devices:
        raise PushRejected(Code.REVOKED, "This device has been revoked.")
    tx = _tx(batch, actor)
    plain = [_prepared(tx, op) for op in ops]
    prefetch(batch, [(actor, sorted((one.op for one in plain), key=lambda op: op.op_id))])
    push = _Push(tx, field_merge)
    tx.work_limit = V1_PUSH_WORK
    tx.begin()
    try:
        for position, (op, prepared) in enumerate(zip(ops, plain, strict=True)):
            tx.position = position
            _apply(push, op, prepared)
        guard.check_effects(tx)
        tx.check()
    except OverBudget as over:
        raise EntityRejected(tx.position, over_budget(over)) from None
    except OpRejected as error:
        visible = guard.without_hidden(error, tx.rules, ops[tx.position].collection)
        raise EntityRejected(tx.position, visible) from None
    tx.commit()
    commit = flush(batch)
    views, unreported = keep(batch, actor, push.conflicted, room)
    _remember(device, push.unchanged, commit)
    acknowledged = max(push.settled, default=0) if unreported is None else unreported - 1
    return Pushed(acknowledged, views), BatchResult([], commit, batch.settlements)


def _tx(batch: Batch, actor: Actor) -> Tx:
    """Return the push's tx, under the actor's access rules as of this transaction."""
    try:
        return Tx(batch, actor)
    except MoatError as error:
        raise PushRejected(Code.FORBIDDEN, error.message) from None


@dataclass(frozen=True, slots=True)
class _Prepared:
    """An op as the engine has it: an insert with the declared fields, or a delete.

    `problem` is the rejection of its document, if any.
    """

    op: Op
    problem: OpRejected | None = None


def _prepared(tx: Tx, op: EntityOp) -> _Prepared:
    made_at = None
    if op.timestamp_ms is not None and 0 < op.timestamp_ms < _LAST_MS:
        made_at = (_EPOCH + timedelta(milliseconds=op.timestamp_ms)).isoformat()
    if op.verb == "delete":
        return _Prepared(Op(op.op_id, None, op.collection, op.entity_id, "delete", at=made_at))
    payload: dict[str, Any] = {}
    problem: OpRejected | None = None
    table = tx.batch.table(op.collection)
    if table is not None and (tx.rules is None or op.collection in tx.rules.by_table):
        view = rights.view_for(tx, table)
        try:
            rights.require_known(view, table, op.body or b"")
            payload = document.declared(op.body or b"", rights.kinds_for(view, table))
        except OpRejected as error:
            problem = error
        except document.NotPlain as error:
            name, reason = error.args
            problem = OpRejected(Code.BAD_VALUE, f"{name}: {reason}.", field=name)
    return _Prepared(Op(op.op_id, None, op.collection, op.entity_id, "insert", payload=payload, at=made_at), problem)


def _apply(push: _Push, op: EntityOp, prepared: _Prepared) -> None:
    tx, engine_op = push.tx, prepared.op
    if op.op_id in push.settled or (tx.device is not None and op.op_id in tx.device.accepted):
        push.settled.add(op.op_id)
        return
    if prepared.problem is not None:
        raise prepared.problem
    guard.require_table(tx.rules, engine_op)
    table = table_for(tx, engine_op)
    row = tx.row(table, op.entity_id)
    push.settled.add(op.op_id)
    view = rights.view_for(tx, table)
    if row is not None and _changes_nothing(view, row, op) and guard.is_visible(tx, op.collection, op.entity_id):
        push.unchanged.append(op.op_id)
        _settle_earlier(tx, op)
        return
    rights.permit(tx, engine_op, table, row)
    _require_near(op, row)
    is_newer = row is None or op.version > version_of(row)
    if op.body is not None and (is_newer or row is None or row.deleted):
        rights.require_unlocked(tx, view, engine_op, row, op.body)
    if is_newer or row is None:
        tx.add(op.op_id, _applied(tx, op, engine_op, table, row, op.version))
        _settle_earlier(tx, op)
        return
    resolution = resolve(tx, op, engine_op, row, view, field_merge=push.field_merge)
    if resolution.kind == "keep":
        push.conflicted.append(ConflictedOp(op, engine_op, row, resolution, view))
    else:
        tx.add(op.op_id, _resolved(tx, op, engine_op, row, resolution))
        _settle_earlier(tx, op)


def _require_near(op: EntityOp, row: Row | None) -> None:
    """Reject a version so high that the next editor has no room above it. Nanosecond clocks are well below."""
    if op.version > _FAR and op.version > _NEAR + (0 if row is None else version_of(row)):
        raise OpRejected(Code.BAD_VALUE, f"entityVersion must be at most {_FAR}.", field="entityVersion")


def _changes_nothing(view: DocumentView, row: Row, op: EntityOp) -> bool:
    if op.body is None:
        return row.deleted
    return not row.deleted and view.equals(op.body, body_of(row), row.values)


def _applied(tx: Tx, op: EntityOp, engine_op: Op, table: Table, row: Row | None, version: int) -> Effect:
    """Return the effect of an accepted op: the record as its client has it, under this version.

    Fields that the client may not write keep the server's value.
    """
    body = op.body
    if body is None:
        effect = _tombstone(tx, engine_op, table) if row is None else remove(tx, engine_op, row)
    elif row is None or row.deleted:
        new = Row(table, None, op.entity_id) if row is None else row.copy()
        effect = write_whole(tx, engine_op, new, read_insert(table, engine_op.payload, tx.batch.unknown_field))
    else:
        view = rights.view_for(tx, table)
        effect = write_fields(tx, engine_op, row, rights.values_for(tx, view, engine_op, row))
        body = view.overlaid(body_of(row), body)
    return _with_body(effect, StoredDocument(version, body, op.timestamp_ms))


def _tombstone(tx: Tx, op: Op, table: Table) -> Effect:
    """Delete a record that the server never had, so that an older upsert arriving later does not restore it."""
    new = Row(table, None, op.id)
    new.changed = dict.fromkeys(table.fields)
    return remove(tx, op, new)


def _with_body(effect: Effect, body: StoredDocument) -> Effect:
    effect.entry.body = body
    row = effect.row
    row.entity_version, row.entity_cbor, row.entity_changed = body.version, body.cbor, True
    return effect


def _resolved(tx: Tx, op: EntityOp, engine_op: Op, row: Row, resolution: Resolution) -> Effect:
    """Return the effect of an op whose version was too low but which the object type's policy accepts."""
    table, version = row.table, document.next_version(version_of(row))
    if resolution.kind == "accept":
        return _applied(tx, op, engine_op, table, row, version)
    effect = write_fields(tx, engine_op, row, resolution.values)
    return _with_body(effect, StoredDocument(version, resolution.body, op.timestamp_ms))


def _settle_earlier(tx: Tx, op: EntityOp) -> None:
    """Resolve the open conflict of an op that was sent again and accepted."""
    earlier = tx.device.in_conflict.get(op.op_id) if tx.device is not None else None
    if earlier is not None and earlier.state == Conflict.State.OPEN:
        at = wire_time(tx.batch.at)
        tx.batch.settle_conflict(Settlement(earlier, SUPERSEDED, tx.actor.by, at, device_notified=True))


def _remember(device: str, op_ids: Sequence[int], commit: Commit) -> None:
    """Store the op_ids that were acknowledged without a change, so that they count as duplicates when sent again."""
    for op_id in sorted(op_ids):
        if PrunedOps.objects.filter(device_id=device, low__lte=op_id, high__gte=op_id).exists():
            continue
        if not PrunedOps.objects.filter(device_id=device, high=op_id - 1).update(high=op_id):
            PrunedOps.objects.create(device_id=device, low=op_id, high=op_id, cursor=commit.to_cursor)
    if op_ids:
        sql.run(
            "UPDATE tenants_device SET pruned_op_id = %s WHERE id = %s AND pruned_op_id < %s",
            [max(op_ids), device, max(op_ids)],
        )
