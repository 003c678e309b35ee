"""Settle pushes of one tenant: decide every op in memory, then write all of it with a few statements.

Why it is built like this is told in docs/adr/0003-settle-in-memory.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sync.errors import OpRejected, PushRejected
from sync.log import changes
from sync.log.commit import Commit
from sync.models import Conflict
from sync.records import rows
from sync.settle import conflicts, guard, stored_documents
from sync.settle.batch import Batch, Settlement
from sync.settle.concurrent_edit import conflict_view
from sync.settle.decide import decide
from sync.settle.prefetch import load_devices, prefetch
from sync.settle.tx import OpConflicted, Tx
from sync.wire.codes import Code
from sync.wire.ops import Actor, Op, OpResult
from tenants.errors import MoatError
from tenants.locks import LockedTenant

__all__ = ["BatchResult", "Settlement", "conflict_view", "flush", "settle"]

PushResult = list[OpResult] | PushRejected


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What a batch came to: per push its results, or why it was refused as a whole; what to announce after COMMIT."""

    results: list[PushResult]
    commit: Commit
    settlements: list[Settlement]


def settle(locked: LockedTenant, pushes: Sequence[tuple[Actor, Sequence[Op]]]) -> BatchResult:
    """Settle pushes in order and write the outcome. The caller holds the tenant's lock, stores its counters and announces.

    Raises what the database raises; expected failures are results.
    """
    batch = Batch(locked)
    load_devices(batch, {actor.device_id for actor, _ in pushes if actor.device_id is not None})
    refused = [_refusal(batch, actor, ops) for actor, ops in pushes]
    prefetch(batch, [push for push, refusal in zip(pushes, refused, strict=True) if refusal is None])
    results: list[PushResult] = [
        refusal or _settle_push(batch, actor, ops) for (actor, ops), refusal in zip(pushes, refused, strict=True)
    ]
    return BatchResult(results, flush(batch), batch.settlements)


def _refusal(batch: Batch, actor: Actor, ops: Sequence[Op]) -> PushRejected | None:
    """Return why a push cannot be taken at all, if so."""
    try:
        batch.rules_of(actor)
    except MoatError as error:
        return PushRejected(Code.FORBIDDEN, error.message)
    if actor.device_id is None:
        return None
    if actor.device_id not in batch.devices:
        return PushRejected(Code.REVOKED, "This device may no longer write.")
    if len(ops) > batch.settings.push_ops:
        return PushRejected(Code.TOO_MANY_OPS, f"A push has at most {batch.settings.push_ops} ops.")
    last = 0
    closed: set[str] = set()
    tx: str | None = None
    for op in ops:
        if op.op_id <= last:
            return PushRejected(Code.OP_ORDER, "The op_ids of a push must rise.")
        last = op.op_id
        if op.tx != tx:
            if op.tx in closed:
                return PushRejected(Code.OP_ORDER, "The ops of one tx must stand next to each other.")
            if tx is not None:
                closed.add(tx)
            tx = op.tx
    return None


def _settle_push(batch: Batch, actor: Actor, ops: Sequence[Op]) -> list[OpResult]:
    results: list[OpResult] = []
    tx = Tx(batch, actor)
    start, count = 0, len(ops)
    while start < count:
        end, name = start + 1, ops[start].tx
        while name is not None and end < count and ops[end].tx == name:
            end += 1
        results.extend(_settle_tx(tx, ops[start:end]))
        start = end
    return results


def _settle_tx(tx: Tx, ops: Sequence[Op]) -> list[OpResult]:
    known = _known(tx, ops) if tx.device is not None and ops[0].op_id <= tx.device.highest else {}
    if known and _stays_refused(tx, ops, known):
        # A tx that ran into a conflict stays refused as a whole, however often it is sent.
        return [known.get(position) or _aborted(op) for position, op in enumerate(ops)]
    tx.begin()
    try:
        for position, op in enumerate(ops):
            if position not in known:
                tx.position = position
                _take(tx, op)
        guard.check_effects(tx)
        tx.check()
    except OpRejected as refused:
        error = guard.without_hidden(refused, tx.rules, ops[tx.position].table)
        known[tx.position] = OpResult(
            ops[tx.position].op_id, "rejected", code=error.code, message=error.message, field=error.field
        )
    except OpConflicted as clash:
        known[tx.position] = _keep_conflict(tx, ops[tx.position], clash.conflict)
    else:
        known.update(tx.commit())
    return [known.get(position) or _aborted(op) for position, op in enumerate(ops)]


def _known(tx: Tx, ops: Sequence[Op]) -> dict[int, OpResult]:
    """Return the results of ops that were answered before, by position."""
    known: dict[int, OpResult] = {}
    if (state := tx.device) is None:
        return known
    for position, op in enumerate(ops):
        if (before := state.accepted.get(op.op_id)) is not None:
            known[position] = OpResult(op.op_id, "duplicate", before[0], before[1])
        elif (conflict := state.in_conflict.get(op.op_id)) is not None:
            if conflict.state == Conflict.State.OPEN:
                known[position] = _conflict_result(tx, op, conflict)
            else:
                # A person decided meanwhile, and the log has the outcome: the op is dealt with.
                known[position] = OpResult(op.op_id, "duplicate", cursor=tx.batch.cursor)
    return known


def _stays_refused(tx: Tx, ops: Sequence[Op], known: dict[int, OpResult]) -> bool:
    """Whether a tx that is sent again ran into a conflict before, be it open or settled by now."""
    if any(result.status == "conflict" for result in known.values()):
        return True
    state = tx.device
    return state is not None and any(op.op_id in state.in_conflict and op.op_id not in state.accepted for op in ops)


def _take(tx: Tx, op: Op) -> None:
    if op.op == "settle":
        conflicts.settle_theirs(tx, op)
        return
    if op.settles is not None:
        conflicts.settled_by(tx, op)
    effect = decide(tx, op)
    if op.settles is not None:
        conflicts.settle_by_op(tx, op, effect)
    tx.add(op.op_id, effect)


def _keep_conflict(tx: Tx, op: Op, conflict: Conflict) -> OpResult:
    batch, device = tx.batch, tx.device
    batch.new_conflicts.append(conflict)
    if device is not None:
        device.in_conflict[op.op_id] = conflict
        device.highest = max(device.highest, op.op_id)
    if op.settles is not None:
        conflicts.supersede(tx, op)
    return _conflict_result(tx, op, conflict)


def _conflict_result(tx: Tx, op: Op, conflict: Conflict) -> OpResult:
    view = guard.readable_view(
        conflict_view(conflict),
        tx.rules,
        conflict.table_name,
        in_sight=guard.in_sight(tx, conflict.table_name, conflict.record_id),
    )
    return OpResult(op.op_id, "conflict", cursor=tx.batch.cursor, conflict=view)


def _aborted(op: Op) -> OpResult:
    message = "Not applied, because another op of its tx was refused or is in conflict."
    return OpResult(op.op_id, "rejected", code=Code.TX_ABORTED, message=message)


def flush(batch: Batch) -> Commit:
    """Write what a batch decided: records, the log, conflicts. The caller stores the tenant's counters."""
    # The log first: filtered channels need the records as they were.
    commit = changes.append_without_saving_tenant(batch.locked, batch.entries, batch.at)
    stored_documents.store(batch.tenant_id, commit.from_cursor, batch.entries)
    for table_name, record_id, version, cursor in commit.rerouted:
        if (table := batch.table(table_name)) is not None and (row := batch.dirty.get((table, record_id))) is not None:
            row.version, row.cursor = version, cursor
    rows.write(batch.dirty.values())
    if batch.new_conflicts:
        Conflict.objects.bulk_create(batch.new_conflicts)
    for settled in batch.settlements:
        Conflict.objects.filter(pk=settled.conflict.pk).update(
            state=Conflict.State.SETTLED,
            resolution=settled.resolution,
            settled_by=settled.by,
            settled_at=batch.at,
            told_device=settled.told,
        )
    return commit
