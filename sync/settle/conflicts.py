"""Conflicts that ops settle: by a new op that `settles` one, or by a `settle` op."""

from typing import Any

from sync.errors import OpRejected
from sync.models import Conflict
from sync.settle.batch import Settlement
from sync.settle.tx import Effect, Tx
from sync.wire.codes import Code
from sync.wire.lines import wire_time
from sync.wire.ops import Op
from sync.wire.patch import same

SUPERSEDED = "superseded"


def find(tx: Tx, named: Any) -> Conflict:
    """Return a conflict of the tenant that the actor may settle: a device, those of its own user; the server, any."""
    conflict = tx.batch.conflict(named) if isinstance(named, str) else None
    if conflict is None or (tx.actor.device_id is not None and conflict.by != tx.actor.by):
        raise OpRejected(
            Code.UNKNOWN_CONFLICT, "There is no such conflict, or it is not yours to settle.", field="settles"
        )
    return conflict


def settle_by_op(tx: Tx, op: Op, effect: Effect) -> None:
    """Mark the conflict an accepted op settles: `mine` when the record now is what its device wanted, else `edit`."""
    conflict = settled_by(tx, op)
    resolution = "mine" if _as_wanted(conflict, op, effect) else "edit"
    tx.settlements.append(_settlement(tx, conflict, resolution))


def settled_by(tx: Tx, op: Op) -> Conflict:
    """Return the conflict an op settles. Raises `OpRefused` when it is not the actor's, or about another record."""
    conflict = find(tx, op.settles)
    if (conflict.table_name, conflict.record_id) != (op.table, op.id):
        raise OpRejected(Code.UNKNOWN_CONFLICT, "The conflict is about another record.", field="settles")
    return conflict


def supersede(tx: Tx, op: Op) -> None:
    """Mark the conflict that an op meant to settle when the op ran into a new one: the new one holds what the person wants now."""
    tx.batch.settle_conflict(_settlement(tx, settled_by(tx, op), SUPERSEDED))


def settle_theirs(tx: Tx, op: Op) -> None:
    """Take a `settle` op in; marking a settled conflict again changes nothing."""
    payload = op.payload if isinstance(op.payload, dict) else {}
    if payload.get("resolution") != "theirs":
        raise OpRejected(
            Code.BAD_OP, 'A settle op settles with {"conflict": id, "resolution": "theirs"}.', field="resolution"
        )
    tx.settlements.append(_settlement(tx, find(tx, payload.get("conflict")), "theirs"))
    tx.settle_ops.append((tx.position, op.op_id))


def _settlement(tx: Tx, conflict: Conflict, resolution: str) -> Settlement:
    """Return the settlement of a conflict by the tx's actor. The device that settles its own conflict need not be told."""
    device = tx.actor.device_id
    told = device is not None and conflict.device_id == device
    return Settlement(conflict, resolution, tx.actor.by, wire_time(tx.batch.at), told)


def _as_wanted(conflict: Conflict, op: Op, effect: Effect) -> bool:
    if conflict.mine is None:
        return op.op == "delete"
    wanted: dict[str, Any] = conflict.mine
    return op.op != "delete" and all(same(effect.row.get(name), value) for name, value in wanted.items())
