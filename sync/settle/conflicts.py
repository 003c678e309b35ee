"""Resolve conflicts by ops: by a new op that `settles` one, or by a `settle` op."""

from typing import Any

from sync.errors import OpRejected
from sync.models import Conflict
from sync.settle.batch import Settlement
from sync.settle.guard import is_visible
from sync.settle.tx import Effect, Tx
from sync.wire.codes import Code
from sync.wire.lines import wire_time
from sync.wire.ops import Op
from sync.wire.patch import same

SUPERSEDED = "superseded"


def find(tx: Tx, named: Any) -> Conflict:
    """Return a conflict that the actor may resolve.

    A device may resolve those of its own user, a limited user also those of visible records, the server any of the
    tenant.
    """
    conflict = tx.batch.conflict(named) if isinstance(named, str) else None
    if conflict is None or not _may_resolve(tx, conflict):
        raise OpRejected(Code.UNKNOWN_CONFLICT, "The conflict doesn't exist, or you can't resolve it.", field="settles")
    return conflict


def _may_resolve(tx: Tx, conflict: Conflict) -> bool:
    if conflict.by == tx.actor.by:
        return True
    return tx.actor.device_id is None and is_visible(tx, conflict.table_name, conflict.record_id)


def settle_by_op(tx: Tx, op: Op, effect: Effect) -> None:
    """Mark the conflict an accepted op resolves: `mine` if the record now has the device's values, else `edit`."""
    conflict = settled_by(tx, op)
    resolution = "mine" if _as_wanted(conflict, op, effect) else "edit"
    tx.settlements.append(_settlement(tx, conflict, resolution))


def settled_by(tx: Tx, op: Op) -> Conflict:
    """Return the conflict an op resolves. Raises `OpRejected` if it is not the actor's, or is about another record."""
    conflict = find(tx, op.settles)
    if (conflict.table_name, conflict.record_id) != (op.table, op.id):
        raise OpRejected(Code.UNKNOWN_CONFLICT, "The conflict is about another record.", field="settles")
    return conflict


def supersede(tx: Tx, op: Op) -> None:
    """Mark the conflict an op should have resolved; the op caused a new conflict, which holds its latest values."""
    tx.batch.settle_conflict(_settlement(tx, settled_by(tx, op), SUPERSEDED))


def settle_theirs(tx: Tx, op: Op) -> None:
    """Apply a `settle` op. Marking a resolved conflict again changes nothing."""
    payload = op.payload if isinstance(op.payload, dict) else {}
    if payload.get("resolution") != "theirs":
        raise OpRejected(
            Code.BAD_OP,
            'The payload of a settle op must be {"conflict": id, "resolution": "theirs"}.',
            field="resolution",
        )
    tx.settlements.append(_settlement(tx, find(tx, payload.get("conflict")), "theirs"))
    tx.settle_ops.append((tx.position, op.op_id))


def _settlement(tx: Tx, conflict: Conflict, resolution: str) -> Settlement:
    """Return a conflict's resolution by the tx's actor. A device that resolves its own conflict is not notified."""
    device = tx.actor.device_id
    device_notified = device is not None and conflict.device_id == device
    return Settlement(conflict, resolution, tx.actor.by, wire_time(tx.batch.at), device_notified)


def _as_wanted(conflict: Conflict, op: Op, effect: Effect) -> bool:
    if conflict.mine is None:
        return op.op == "delete"
    wanted: dict[str, Any] = conflict.mine
    return op.op != "delete" and all(same(effect.row.get(name), value) for name, value in wanted.items())
