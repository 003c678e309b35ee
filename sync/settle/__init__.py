"""Settle pushes of one tenant: decide every op in memory, then write all of it with a few statements.

docs/adr/0003-settle-in-memory.md explains why.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from django.db import Error as DatabaseFailure

from sync import metrics
from sync.errors import OpRejected, PushRejected
from sync.log import changes
from sync.log.commit import Commit
from sync.models import Conflict
from sync.records import rows
from sync.settle import conflicts, guard, stored_documents
from sync.settle.batch import Batch, Failure, Settlement
from sync.settle.concurrent_edit import conflict_view
from sync.settle.decide import decide
from sync.settle.prefetch import load_devices, prefetch
from sync.settle.turn import Turn
from sync.settle.tx import OpConflicted, Tx, group_by_tx
from sync.wire.codes import Code
from sync.wire.limits import OverBudget
from sync.wire.op_check import checked
from sync.wire.ops import Actor, Op, OpResult
from tenants.errors import MoatError
from tenants.locks import LockedTenant

__all__ = ["BatchResult", "Settlement", "conflict_view", "flush", "settle"]

PushResult = list[OpResult] | PushRejected
_INTERNAL = "The server couldn't process this edit. Details are in the server log."


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The result of a batch: per push its results or its rejection, and what to announce after COMMIT.

    A push has fewer results than ops if the turn ended before. `failures` are ops that failed unexpectedly.
    """

    results: list[PushResult]
    commit: Commit
    settlements: list[Settlement]
    failures: list[Failure] = field(default_factory=list)


def settle(locked: LockedTenant, pushes: Sequence[tuple[Actor, Sequence[Op]]], turn: Turn | None = None) -> BatchResult:
    """Settle pushes in order and write the result.

    The caller holds the tenant's lock, stores the tenant's counters, and announces the commit. Once `turn` is over, the
    txs that follow are left out, but never the first one. An op that fails unexpectedly is rejected with `internal`.
    Raises database errors only; expected failures are results.
    """
    batch = Batch(locked)
    load_devices(batch, {actor.device_id for actor, _ in pushes if actor.device_id is not None})
    rejections = [_rejection(batch, actor, ops) for actor, ops in pushes]
    prefetch(batch, [push for push, rejection in zip(pushes, rejections, strict=True) if rejection is None])
    results: list[PushResult] = [
        rejection or _settle_push(batch, actor, ops, turn)
        for (actor, ops), rejection in zip(pushes, rejections, strict=True)
    ]
    return BatchResult(results, flush(batch), batch.settlements, batch.failures)


def _rejection(batch: Batch, actor: Actor, ops: Sequence[Op]) -> PushRejected | None:
    """Return why the whole push is rejected; None if it is not."""
    try:
        batch.rules_of(actor)
    except MoatError as error:
        return PushRejected(Code.FORBIDDEN, error.message)
    if actor.device_id is None:
        return None
    if actor.device_id not in batch.devices:
        return PushRejected(Code.REVOKED, "This device has been revoked.")
    if len(ops) > batch.settings.push_ops:
        return PushRejected(Code.TOO_MANY_OPS, f"A push can have at most {batch.settings.push_ops} ops.")
    last = 0
    closed: set[str] = set()
    tx: str | None = None
    for op in ops:
        if op.op_id <= last:
            return PushRejected(Code.OP_ORDER, "The op_ids in a push must be strictly increasing.")
        last = op.op_id
        if op.tx != tx:
            if op.tx in closed:
                return PushRejected(Code.OP_ORDER, "Ops of the same tx must be adjacent.")
            if tx is not None:
                closed.add(tx)
            tx = op.tx
    return None


def _settle_push(batch: Batch, actor: Actor, ops: Sequence[Op], turn: Turn | None) -> list[OpResult]:
    tx = Tx(batch, actor)
    results: list[OpResult] = []
    for group in group_by_tx(ops):
        if turn is not None and batch.has_settled and turn.is_over(batch.work.spent):
            break
        batch.has_settled = True
        results += _settle_tx(tx, group)
    return results


def _settle_tx(tx: Tx, ops: Sequence[Op]) -> list[OpResult]:
    known = _known(tx, ops) if tx.device is not None and ops[0].op_id <= tx.device.highest else {}
    if known and _stays_rejected(tx, ops, known):
        # A tx with a conflict stays rejected as a whole, however often it is sent.
        return [known.get(position) or _aborted(op) for position, op in enumerate(ops)]
    tx.begin()
    try:
        for position, op in enumerate(ops):
            if position not in known:
                tx.position = position
                _apply(tx, op)
        guard.check_effects(tx)
        tx.check()
    except OpRejected as rejection:
        known[tx.position] = _rejected(tx, ops[tx.position], rejection)
    except OverBudget as over:
        known[tx.position] = _rejected(tx, ops[tx.position], over_budget(over))
    except OpConflicted as conflicted:
        known[tx.position] = _keep_conflict(tx, ops[tx.position], conflicted.conflict)
    except DatabaseFailure:
        raise  # the transaction is no longer usable
    except Exception as error:
        # Nothing of the tx is in the batch yet, so the others go on.
        tx.batch.failures.append(Failure(ops[tx.position].op_id, tx.actor.device_id, error))
        known[tx.position] = _rejected(tx, ops[tx.position], OpRejected(Code.INTERNAL, _INTERNAL))
    else:
        known.update(tx.commit())
    return [known.get(position) or _aborted(op) for position, op in enumerate(ops)]


def _rejected(tx: Tx, op: Op, refused: OpRejected) -> OpResult:
    error = guard.without_hidden(refused, tx.rules, op.table)
    return OpResult(op.op_id, "rejected", code=error.code, message=error.message, field=error.field)


def over_budget(over: OverBudget) -> OpRejected:
    """Return the rejection of an op that needs more work than allowed, and count it."""
    metrics.limit_rejections.labels(over.limit).inc()
    whose = "This op" if over.limit == "op_work" else "The transaction"
    return OpRejected(
        Code.TOO_LARGE,
        f"{whose} copies and produces more than limits.{over.limit} allows ({over.most})."
        " Split it, or send whole values.",
    )


def _known(tx: Tx, ops: Sequence[Op]) -> dict[int, OpResult]:
    """Return the results of ops that were decided before, by position."""
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
                # A user has resolved the conflict meanwhile, and the log has the result.
                known[position] = OpResult(op.op_id, "duplicate", cursor=tx.batch.cursor)
    return known


def _stays_rejected(tx: Tx, ops: Sequence[Op], known: dict[int, OpResult]) -> bool:
    """Whether a tx that is sent again had a conflict before, open or resolved."""
    if any(result.status == "conflict" for result in known.values()):
        return True
    state = tx.device
    return state is not None and any(op.op_id in state.in_conflict and op.op_id not in state.accepted for op in ops)


def _apply(tx: Tx, op: Op) -> None:
    tx.begin_op_work()
    if not op.checked:
        checked(op)
    if op.problem is not None:
        raise OpRejected(op.problem.code, op.problem.message, field=op.problem.field)
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
        visible=guard.is_visible(tx, conflict.table_name, conflict.record_id),
    )
    return OpResult(op.op_id, "conflict", cursor=tx.batch.cursor, conflict=view)


def _aborted(op: Op) -> OpResult:
    message = "Not applied because another edit in the same transaction was rejected or is in conflict."
    return OpResult(op.op_id, "rejected", code=Code.TX_ABORTED, message=message)


def flush(batch: Batch) -> Commit:
    """Write what a batch decided: the log, records, and conflicts. The caller stores the tenant's counters."""
    # The log comes first: filtered channels need the records as they were before.
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
            told_device=settled.device_notified,
        )
    return commit
