"""One tx: its ops see each other's effects, and either all of them reach the batch or none."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Literal

from sync.codes import Code
from sync.errors import OpRefused
from sync.log import Entry
from sync.models import Conflict
from sync.ops import Actor, OpResult
from sync.rows import Row, Table, unique_key
from sync.settle.batch import Batch, Settlement
from sync.sides import Step


class InConflict(Exception):
    """An op is a true conflict; its tx is not applied. `conflict` is not saved yet."""

    def __init__(self, conflict: Conflict) -> None:
        super().__init__()
        self.conflict = conflict


@dataclass(slots=True)
class Effect:
    """What an accepted op does: a record's new state, its change, and how it is answered.

    `fields` holds what it set. `loser` is a conflict the policy settled by itself, kept so that what lost stays readable.
    """

    row: Row
    entry: Entry
    fields: dict[str, Any]
    status: Literal["applied", "merged"] = "applied"
    kept: tuple[str, ...] = ()
    loser: Conflict | None = None


class Tx:
    """The effects of the ops of one tx, not in the batch yet. `position` is the op that is being looked at."""

    def __init__(self, batch: Batch, actor: Actor) -> None:
        self.batch = batch
        self.actor = actor
        self.rules = batch.rules_of(actor)
        self.position = 0
        self.overlay: dict[tuple[Table, str], Row] = {}
        self.effects: list[tuple[int, int, Effect]] = []
        self.settlements: list[Settlement] = []
        self.settle_ops: list[tuple[int, int]] = []
        self._takers: defaultdict[tuple[Table, str, Any], set[str]] = defaultdict(set)

    def row(self, table: Table, record_id: str) -> Row | None:
        """Return a record as the tx has it by now; None when it never existed."""
        return self.overlay.get((table, record_id)) or self.batch.row(table, record_id)

    def add(self, op_id: int, effect: Effect) -> None:
        """Take in the effect of the op at `position`."""
        row = effect.row
        self.overlay[row.table, row.id] = row
        self.effects.append((self.position, op_id, effect))
        for name in row.table.unique:
            if effect.fields.get(name) is not None:
                self._takers[row.table, name, unique_key(effect.fields[name])].add(row.id)

    def check(self) -> None:
        """Check references and unique values as the whole tx leaves them. Raises `OpRefused`; `position` is the op to blame."""
        for position, _, effect in self.effects:
            table = effect.row.table
            if not effect.fields or not (table.references or table.unique):
                continue
            self.position = position
            final = self.overlay[table, effect.row.id]
            if final.deleted:
                continue
            for name, target in table.references:
                if name in effect.fields:
                    self._check_reference(name, target, final.get(name))
            for name in table.unique:
                if name in effect.fields:
                    self._check_unique(final, name)

    def _check_reference(self, name: str, target: str, value: Any) -> None:
        if value is None:
            return
        table = self.batch.table(target)
        if (table is None or (table, value) not in self.overlay) and not self.batch.exists(target, value):
            raise OpRefused(Code.MISSING_REFERENCE, f"{name}: there is no record {value!a} in {target}.", field=name)

    def _check_unique(self, final: Row, name: str) -> None:
        value = final.get(name)
        if value is None:
            return
        batch, table, key = self.batch, final.table, unique_key(value)
        batch.load_owners(table, name, [value])
        owner = batch.owners[table, name][key]
        holders = self._takers[table, name, key] | batch.takers[table, name, key] | ({owner} if owner is not None else set())
        for holder in holders - {final.id}:
            row = self.overlay.get((table, holder)) or batch.dirty.get((table, holder))
            if row is None or (not row.deleted and unique_key(row.get(name)) == key):
                raise OpRefused(Code.UNIQUE, f"{name}: another record has this value already; choose another one.", field=name)

    def _told(self, effect: Effect) -> tuple[str, ...]:
        """Return the kept fields that the actor may see."""
        rule = self.rules.by_table[effect.entry.table] if self.rules is not None else None
        return effect.kept if rule is None else tuple(name for name in effect.kept if rule.can_read(name))

    def commit(self) -> dict[int, OpResult]:
        """Move the effects to the batch; return the results by position."""
        batch, device, results = self.batch, self.actor.device_id, {}
        for position, op_id, effect in self.effects:
            batch.entries.append(effect.entry)
            cursor, row, version = batch.cursor, effect.row, effect.entry.version
            if batch.is_routed:
                effect.entry.mark = _step(batch.dirty.get((row.table, row.id)) or batch.found.get((row.table, row.id)), row)
            row.cursor = cursor
            batch.dirty[row.table, row.id] = row
            if effect.loser is not None:
                batch.new_conflicts.append(effect.loser)
            if device is not None:
                batch.devices[device].accepted[op_id] = (version, cursor)
            results[position] = OpResult(op_id, effect.status, version, cursor, self._told(effect))
        for key, ids in self._takers.items():
            batch.takers[key] |= ids
        for settlement in self.settlements:
            batch.settle_conflict(settlement)
        for position, op_id in self.settle_ops:
            results[position] = OpResult(op_id, "applied", cursor=batch.cursor)
        return results


def _step(before: Row | None, after: Row) -> Step:
    """Return a change as filtered channels need to know it."""
    then = None if before is None else {"id": before.id, **before.values()}
    table = after.table.spec.table_name
    return Step(table, after.id, then, before is not None and not before.deleted, {"id": after.id, **after.values()}, not after.deleted)
