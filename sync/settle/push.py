"""The engine's write use-cases for synchronous callers: admin, REST, commands and tests. Sockets go through `sync.settle.writer`."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction

from sync.errors import PushRejected, SyncError
from sync.log import commit
from sync.models import Conflict
from sync.settle import BatchResult, settle, signals
from sync.wire.codes import Code
from sync.wire.ops import Actor, Op, OpResult
from tenants.locks import tenant_transaction


def push(actor: Actor, ops: Sequence[Op], schema_version: int | None = None) -> list[OpResult]:
    """Settle ops and return one result per op, in order; durable once the outermost transaction commits.

    Waits for the tenant's lock. Raises `PushRefused` when the push cannot be taken at all. `schema_version` is the one the
    ops were made under; ops are accepted under any, as long as their table and fields exist.
    """
    with tenant_transaction(actor.tenant_id) as locked:
        outcome = settle(locked, [(actor, ops)])
    transaction.on_commit(lambda: announce(outcome))
    result = outcome.results[0]
    if isinstance(result, PushRejected):
        raise result
    return result


def announce(outcome: BatchResult) -> None:
    """Tell this process what a batch came to. Only after COMMIT."""
    if outcome.commit.lines:
        commit.announce(outcome.commit)
    for settled in outcome.settlements:
        signals.send_conflict_settled(settled)


def resolve_conflict(
    conflict_id: Any, resolution: str, by: str, values: Mapping[str, Any] | None = None, *, user_id: int | None = None
) -> OpResult:
    """Settle a conflict for a person who may: `mine` writes what the device wanted, `edit` the given values, `theirs` nothing.

    Whatever others wrote since the conflict arose is overwritten in the fields concerned: the person saw it and decided.
    `user_id` names the member whose security profile limits what is written; None when nothing does.
    Raises `SyncError` (`unknown_conflict`, `bad_value`); a conflict that is settled already is left as it is.
    """
    conflict = Conflict.objects.filter(pk=conflict_id).first()
    if conflict is None:
        raise SyncError(Code.UNKNOWN_CONFLICT, "There is no such conflict.")
    if conflict.state == Conflict.State.SETTLED:
        raise SyncError(Code.UNKNOWN_CONFLICT, f"{conflict.settled_by or 'The policy'} settled this conflict already.")
    results = push(Actor(conflict.tenant_id, by, user_id=user_id), [_settling_op(conflict, resolution, values)])
    return results[0]


def _settling_op(conflict: Conflict, resolution: str, values: Mapping[str, Any] | None) -> Op:
    key = str(conflict.pk)
    table, record_id = conflict.table_name, conflict.record_id
    if resolution == "theirs":
        return Op(1, None, table, record_id, "settle", payload={"conflict": key, "resolution": "theirs"})
    if resolution not in ("mine", "edit") or (resolution == "edit" and values is None):
        raise SyncError(Code.BAD_VALUE, "resolution is mine, theirs, or edit with values.", field="resolution")
    wanted = conflict.mine if resolution == "mine" else {**(conflict.mine or {}), **(values or {})}
    if wanted is None:
        return Op(1, None, table, record_id, "delete", settles=key)
    if conflict.theirs is None:
        given = {name: value for name, value in wanted.items() if value is not None}
        return Op(1, None, table, record_id, "insert", payload=given, settles=key)
    patch = [{"op": "replace", "path": f"/{name}", "value": value} for name, value in wanted.items()]
    return Op(1, None, table, record_id, "update", payload=patch, settles=key)
