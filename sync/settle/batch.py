"""The state of one batch: what the database said at its start, and on top of it what the batch has decided so far.

Everything an op can need is read beforehand (`prefetch`); what slips through is read one by one, so a miss costs time and
never correctness. Nothing is written before `flush`.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from metadata.access import Rules, TableRule, Term
from metadata.access_store import Access, access_at
from metadata.catalog import schema_of
from metadata.models import ObjectMetadata
from sync.channels.plans import plan_of
from sync.channels.sides import RecordTransition
from sync.conf import engine_settings
from sync.errors import OpRejected
from sync.log import changes
from sync.models import Conflict
from sync.records import rows
from sync.records.rows import Row, Table
from sync.settle.merge_base import RecordChange, step_of
from sync.settle.stored_documents import carry_document
from sync.wire.codes import Code
from sync.wire.ops import Actor
from tenants.locks import LockedTenant


@dataclass(slots=True)
class DeviceOps:
    """What is known of a device's earlier ops: `accepted` op_id → (version, cursor), `in_conflict` op_id → its conflict.

    No op above `highest` was ever accepted or in conflict.
    """

    pruned_op_id: int = 0
    newest_op_id: int = 0
    newest_conflict: int = 0
    highest: int = 0
    accepted: dict[int, tuple[int | None, int]] = field(default_factory=dict)
    in_conflict: dict[int, Conflict] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settlement:
    """A conflict to mark as settled: `at` in wire form, `told` when its device knows already."""

    conflict: Conflict
    resolution: str
    by: str
    at: str
    told: bool


class Batch:
    """A batch of pushes of one tenant, under its lock."""

    def __init__(self, locked: LockedTenant) -> None:
        self.locked = locked
        self.tenant_id = locked.id
        self.at = datetime.now(UTC)
        self.settings = engine_settings()
        self.schema = schema_of(locked.id, locked.schema_version)
        self.tables: dict[str, Table] = {}
        self.found: dict[tuple[Table, str], Row | None] = {}
        self.dirty: dict[tuple[Table, str], Row] = {}
        self.targets: defaultdict[str, dict[str, bool]] = defaultdict(dict)
        self.owners: defaultdict[tuple[Table, str], dict[Any, str | None]] = defaultdict(dict)
        self.takers: defaultdict[tuple[Table, str, Any], set[str]] = defaultdict(set)
        self.devices: dict[str, DeviceOps] = {}
        self.is_routed = plan_of(locked) is not None
        self._accesses: dict[int, Access] = {}
        # Of `settle.sight`: per hop which records were asked about and what passes beyond, per rule which were looked over.
        self.asked: defaultdict[Term, set[str]] = defaultdict(set)
        self.passing: defaultdict[Term, dict[str, set[str]]] = defaultdict(dict)
        self.looked_over: defaultdict[TableRule, set[str]] = defaultdict(set)
        self.conflicts: dict[str, Conflict] = {}
        self.entries: list[changes.Entry] = []
        self.new_conflicts: list[Conflict] = []
        self.settlements: list[Settlement] = []

    def rules_of(self, actor: Actor) -> Rules | None:
        """Return what an actor may see and do, None when nothing limits it. Raises `MoatError(forbidden)` for one who is no member."""
        if actor.user_id is None:
            return None
        found = self._accesses.get(actor.user_id)
        if found is None:
            locked = self.locked
            found = self._accesses[actor.user_id] = access_at(
                locked.id, actor.user_id, locked.access_version, locked.schema_version
            )
        return found.rules

    @property
    def cursor(self) -> int:
        """The cursor after what was decided so far."""
        return self.locked.cursor + len(self.entries)

    def table(self, name: str) -> Table | None:
        """Return a published table by its name on the wire."""
        found = self.tables.get(name)
        if found is None and (spec := self.schema.by_table.get(name)) is not None:
            found = self.tables[name] = rows.table_of(self.tenant_id, spec)
        return found

    def load(self, table: Table, ids: Iterable[str]) -> None:
        """Read records ahead of their use; ids must be valid ones."""
        found = self.found
        wanted = [i for i in ids if (table, i) not in found]
        if wanted:
            got = rows.records(self.tenant_id, table.spec, wanted)
            found.update({(table, i): got.get(i) for i in wanted})

    def row(self, table: Table, record_id: str) -> Row | None:
        """Return a record as the batch has it by now; None when it never existed."""
        key = (table, record_id)
        if key in self.dirty:
            return self.dirty[key]
        if key not in self.found:
            self.load(table, [record_id])
        return self.found[key]

    def append(self, row: Row, entry: changes.Entry, cursor: int) -> None:
        """Take in a record's next state and the change that led to it; `cursor` is the one after those taken in before."""
        key = (row.table, row.id)
        before = self.dirty.get(key) or self.found.get(key)
        entry.previous = before.cursor if before is not None else 0
        if entry.body is not None or (before is not None and before.entity_version is not None):
            carry_document(before, row, entry)
        if self.is_routed:
            entry.transition = _step(before, row)
        row.cursor = cursor
        self.dirty[key] = row
        self.entries.append(entry)

    def load_targets(self, table_name: str, ids: Iterable[str]) -> None:
        """Learn which targets of references exist; `table_name` may be of a retired type."""
        known = self.targets[table_name]
        if wanted := [i for i in ids if i not in known]:
            there = rows.existing_ids(self.tenant_id, table_name, wanted)
            known.update({i: i in there for i in wanted})

    def exists(self, table_name: str, record_id: str) -> bool:
        """Whether a record exists, deleted ones included."""
        table = self.table(table_name)
        if table is not None:
            key = (table, record_id)
            if key in self.dirty:
                return True
            if key in self.found:
                return self.found[key] is not None
        if record_id not in self.targets[table_name]:
            self.load_targets(table_name, [record_id])
        return self.targets[table_name][record_id]

    def load_owners(self, table: Table, name: str, values: Iterable[Any]) -> None:
        """Learn which live records have these values in a unique field."""
        known = self.owners[table, name]
        wanted = {key: value for value in values if (key := rows.unique_key(value)) not in known}
        if wanted:
            known.update(dict.fromkeys(wanted))
            known.update({rows.unique_key(value): i for value, i in rows.owners(table, name, list(wanted.values()))})

    def conflict(self, named: str) -> Conflict | None:
        """Return a conflict of the tenant by its id, if it was read ahead."""
        try:
            return self.conflicts.get(str(UUID(named)))
        except ValueError:
            return None

    def settle_conflict(self, settlement: Settlement) -> None:
        """Mark a conflict as settled; one that is settled already stays as it is."""
        conflict = settlement.conflict
        if conflict.state == Conflict.State.OPEN:
            conflict.state = Conflict.State.SETTLED
            self.settlements.append(settlement)

    def steps(self, row: Row) -> list[RecordChange]:
        """Return the newest changes of a record in order, those of this batch included."""
        name = row.table.spec.table_name
        lines = (
            changes.record_lines(self.tenant_id, row.raw[2], self.settings.base_lines) if row.raw is not None else []
        )
        steps = [step_of(line) for line in lines]
        steps += [
            RecordChange(e.version, e.op, e.payload, e.by, None, e.device)
            for e in self.entries
            if e.record_id == row.id and e.table == name
        ]
        return steps

    def unknown_field(self, table: Table, name: str) -> OpRejected:
        """Return the refusal of a field that is not published."""
        if name in ("id", "version"):
            return OpRejected(Code.READ_ONLY, f"{name} cannot be changed.", field=name)
        if (table.spec.table_name, name) in self._retired:
            return OpRejected(Code.RETIRED, f"The field {name} was retired.", field=name)
        return OpRejected(Code.UNKNOWN_FIELD, f"{table.spec.table_name} has no field {name[:60]!a}.", field=name[:60])

    def unknown_table(self, name: str) -> OpRejected:
        """Return the refusal of a table that is not published."""
        if (name, None) in self._retired:
            return OpRejected(Code.RETIRED, f"The table {name} was retired.")
        return OpRejected(Code.UNKNOWN_TABLE, f"There is no table {name[:60]!a}.")

    @cached_property
    def _retired(self) -> set[tuple[str, str | None]]:
        """Names of retired tables, and of (table, field) pairs; read only when an op names something unknown."""
        gone: set[tuple[str, str | None]] = set()
        types = ObjectMetadata.objects.filter(tenant_id=self.tenant_id, published__isnull=False)
        for table_name, retired_version, fields in types.values_list("table_name", "retired_version", "retired_fields"):
            if retired_version is not None:
                gone.add((table_name, None))
            gone.update((table_name, field["name"]) for field in fields)
        return gone


def _step(before: Row | None, after: Row) -> RecordTransition:
    """Return a change as filtered channels need to know it."""
    then = None if before is None else {"id": before.id, **before.values()}
    table = after.table.spec.table_name
    return RecordTransition(
        table,
        after.id,
        then,
        before is not None and not before.deleted,
        {"id": after.id, **after.values()},
        not after.deleted,
    )
