"""Write use-cases for synchronous callers: admin, REST, commands, and tests. Sockets use `sync.settle.writer`."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction

from sync.conf import engine_settings
from sync.errors import PushRejected, SyncError
from sync.log import commit
from sync.models import Conflict
from sync.settle import BatchResult, settle, signals
from sync.settle.quiet_log import QuietLog
from sync.settle.turn import Turn
from sync.wire.codes import Code
from sync.wire.op_check import checked
from sync.wire.ops import Actor, Op, OpResult
from tenants.locks import tenant_transaction


def push(actor: Actor, ops: Sequence[Op], schema_version: int | None = None) -> list[OpResult]:
    """Settle ops and return one result per op, in order. They are durable once the outermost transaction commits.

    Waits for the tenant's lock. Raises `PushRejected` if the whole push is rejected. `schema_version` is the one the
    ops were made under. Any version is accepted as long as the ops' tables and fields exist.
    """
    for op in ops:
        checked(op)
    results = _push_turn(actor, ops)
    while len(results) < len(ops):
        results += _push_turn(actor, ops[len(results) :])
    return results


def _push_turn(actor: Actor, ops: Sequence[Op]) -> list[OpResult]:
    """Settle ops until the turn is over.

    Inside the caller's transaction there is only one turn, because no one else can write.
    """
    turn = None if transaction.get_connection().in_atomic_block else Turn(engine_settings())
    with tenant_transaction(actor.tenant_id) as locked:
        batch = settle(locked, [(actor, ops)], turn)
    transaction.on_commit(lambda: announce(batch))
    log_failures(batch)
    result = batch.results[0]
    if isinstance(result, PushRejected):
        raise result
    return result


_log = QuietLog()


def log_failures(batch: BatchResult) -> None:
    """Log the ops of a batch that failed unexpectedly, without their values."""
    for failure in batch.failures:
        _log.failed("op_failed", failure.error, device=failure.device_id, op_id=failure.op_id)


def announce(batch: BatchResult) -> None:
    """Announce the result of a batch in this process. Call it only after COMMIT."""
    if batch.commit.lines:
        commit.announce(batch.commit)
    for settlement in batch.settlements:
        signals.send_conflict_settled(settlement)


def resolve_conflict(
    conflict_id: Any, resolution: str, by: str, values: Mapping[str, Any] | None = None, *, user_id: int | None = None
) -> OpResult:
    """Resolve a conflict: `mine` writes the device's values, `edit` the given ones, `theirs` nothing.

    In the fields concerned this overwrites what others wrote since the conflict arose: the user saw it and decided.
    `user_id` names the member whose security profile limits the write; None for no limits. Raises `SyncError`
    (`unknown_conflict`, `bad_value`). A resolved conflict stays as it is.
    """
    conflict = Conflict.objects.filter(pk=conflict_id).first()
    if conflict is None:
        raise SyncError(Code.UNKNOWN_CONFLICT, "Conflict not found.")
    if conflict.state == Conflict.State.SETTLED:
        resolver = conflict.settled_by or "The policy"
        raise SyncError(Code.UNKNOWN_CONFLICT, f"{resolver} already resolved this conflict.")
    results = push(Actor(conflict.tenant_id, by, user_id=user_id), [_settling_op(conflict, resolution, values)])
    return results[0]


def _settling_op(conflict: Conflict, resolution: str, values: Mapping[str, Any] | None) -> Op:
    key = str(conflict.pk)
    table, record_id = conflict.table_name, conflict.record_id
    if resolution == "theirs":
        return Op(1, None, table, record_id, "settle", payload={"conflict": key, "resolution": "theirs"})
    if resolution not in ("mine", "edit") or (resolution == "edit" and values is None):
        raise SyncError(Code.BAD_VALUE, "resolution must be mine, theirs, or edit with values.", field="resolution")
    wanted = conflict.mine if resolution == "mine" else {**(conflict.mine or {}), **(values or {})}
    if wanted is None:
        return Op(1, None, table, record_id, "delete", settles=key)
    if conflict.theirs is None:
        given = {name: value for name, value in wanted.items() if value is not None}
        return Op(1, None, table, record_id, "insert", payload=given, settles=key)
    patch = [{"op": "replace", "path": f"/{name}", "value": value} for name, value in wanted.items()]
    return Op(1, None, table, record_id, "update", payload=patch, settles=key)
