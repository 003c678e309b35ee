"""One tx: its ops see each other's effects, and either all of them or none reach the batch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sync.errors import OpRejected
from sync.log.changes import Entry
from sync.models import Conflict
from sync.records.rows import Row, Table, unique_key
from sync.settle import rejections
from sync.settle.batch import Batch, Settlement
from sync.wire.codes import Code
from sync.wire.limits import Budget
from sync.wire.ops import Actor, Op, OpResult


def group_by_tx(ops: Sequence[Op]) -> Iterator[Sequence[Op]]:
    """Yield the ops of each tx, in order. An op without a tx is its own group."""
    start, count = 0, len(ops)
    while start < count:
        end, name = start + 1, ops[start].tx
        while name is not None and end < count and ops[end].tx == name:
            end += 1
        yield ops[start:end]
        start = end


class OpConflicted(Exception):
    """An op is in conflict, so its tx is not applied. `conflict` is not saved yet."""

    def __init__(self, conflict: Conflict) -> None:
        super().__init__()
        self.conflict = conflict


@dataclass(slots=True)
class Effect:
    """What an accepted op does: a record's new state, its change, and the op's result.

    `fields` holds what the op set. `resolved_conflict` is a conflict that the policy resolved for the server, stored
    so that the device's values stay readable.
    """

    row: Row
    entry: Entry
    fields: dict[str, Any]
    status: Literal["applied", "merged"] = "applied"
    kept: tuple[str, ...] = ()
    resolved_conflict: Conflict | None = None


class Tx:
    """The effects of the ops of one tx, before they reach the batch. `position` is the current op.

    `work` is the budget of the tx, `op_work` that of the current op.

    Created once per push and reset for each of its txs.
    """

    def __init__(self, batch: Batch, actor: Actor) -> None:
        self.batch = batch
        self.actor = actor
        self.rules = batch.rules_of(actor)
        self.device = None if actor.device_id is None else batch.devices[actor.device_id]
        self.position = 0
        self.work_limit = batch.settings.tx_work
        self.begin_work()
        self.overlay: dict[tuple[Table, str], Row] = {}
        self.effects: list[tuple[int, int, Effect]] = []
        self.settlements: list[Settlement] = []
        self.settle_ops: list[tuple[int, int]] = []
        self._new_owners: dict[tuple[Table, str, Any], set[str]] = {}

    def begin(self) -> None:
        """Start a tx: discard the previous one."""
        self.position = 0
        self.begin_work()
        self.overlay.clear()
        self.effects.clear()
        if self.settlements or self.settle_ops or self._new_owners:
            self.settlements.clear()
            self.settle_ops.clear()
            self._new_owners.clear()

    def begin_work(self) -> None:
        """Start the budgets of a tx."""
        self.work = Budget("tx_work", self.work_limit, self.batch.work)
        self.begin_op_work()

    def begin_op_work(self) -> None:
        """Start the budget of an op."""
        self.op_work = Budget("op_work", self.batch.settings.op_work, self.work)

    def row(self, table: Table, record_id: str) -> Row | None:
        """Return a record as the tx has it now; None if it never existed."""
        return self.overlay.get((table, record_id)) or self.batch.row(table, record_id)

    def add(self, op_id: int, effect: Effect) -> None:
        """Add the effect of the op at `position`."""
        row = effect.row
        self.overlay[row.table, row.id] = row
        self.effects.append((self.position, op_id, effect))
        for name in row.table.unique:
            if effect.fields.get(name) is not None:
                self._new_owners.setdefault((row.table, name, unique_key(effect.fields[name])), set()).add(row.id)

    def check(self) -> None:
        """Check references and unique values as the whole tx leaves them.

        Raises `OpRejected`; `position` is the offending op.
        """
        for position, _, effect in self.effects:
            table = effect.row.table
            if not table.watched or table.watched.keys().isdisjoint(effect.fields):
                continue
            self.position = position
            final = self.overlay[table, effect.row.id]
            for name, target in table.references:
                if name in effect.fields:  # tombstones too: they keep their values, and foreign keys apply to them
                    self._check_reference(name, target, final.get(name))
            for name in table.unique:
                if name in effect.fields and not final.deleted:
                    self._check_unique(final, name)

    def _check_reference(self, name: str, target: str, value: Any) -> None:
        if value is None:
            return
        table = self.batch.table(target)
        if (table is None or (table, value) not in self.overlay) and not self.batch.exists(target, value):
            raise rejections.missing_reference(name, value, target)

    def _check_unique(self, final: Row, name: str) -> None:
        value = final.get(name)
        if value is None:
            return
        batch, table, key = self.batch, final.table, unique_key(value)
        batch.load_owners(table, name, [value])
        owner = batch.owners[table, name][key]
        owners = (
            self._new_owners.get((table, name, key), set())
            | batch.new_owners[table, name, key]
            | ({owner} if owner is not None else set())
        )
        for other in owners - {final.id}:
            row = self.overlay.get((table, other)) or batch.dirty.get((table, other))
            if row is None or (not row.deleted and unique_key(row.get(name)) == key):
                raise OpRejected(
                    Code.UNIQUE, f"{name}: another record already has this value. Choose a different one.", field=name
                )

    def _visible_kept(self, effect: Effect) -> tuple[str, ...]:
        """Return the kept fields that the actor may see."""
        rule = self.rules.by_table[effect.entry.table] if self.rules is not None else None
        return effect.kept if rule is None else tuple(name for name in effect.kept if rule.can_read(name))

    def commit(self) -> dict[int, OpResult]:
        """Move the effects to the batch and return the results by position."""
        batch, device = self.batch, self.device
        results: dict[int, OpResult] = {}
        cursor = batch.cursor
        for position, op_id, effect in self.effects:
            cursor += 1
            row, entry = effect.row, effect.entry
            batch.append(row, entry, cursor)
            if effect.resolved_conflict is not None:
                batch.new_conflicts.append(effect.resolved_conflict)
            if device is not None:
                device.accepted[op_id] = (entry.version, cursor)
                device.highest = max(device.highest, op_id)
            kept = self._visible_kept(effect) if effect.kept else ()
            results[position] = OpResult(op_id, effect.status, entry.version, cursor, kept)
        for key, ids in self._new_owners.items():
            batch.new_owners[key] |= ids
        for settlement in self.settlements:
            batch.settle_conflict(settlement)
        for position, op_id in self.settle_ops:
            results[position] = OpResult(op_id, "applied", cursor=batch.cursor)
        return results
