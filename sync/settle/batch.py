"""The state of one batch: the database as it was at the start, and on top of it what the batch has decided so far.

`prefetch` reads everything an op can need. What it misses is read one by one, so a miss costs time, never correctness.
Nothing is written before `flush`.
"""

import sys
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
from sync.settle import rejections
from sync.settle.merge_base import RecordChange, read_change
from sync.settle.stored_documents import carry_document
from sync.wire.codes import Code
from sync.wire.limits import Budget
from sync.wire.ops import Actor
from tenants.locks import LockedTenant


@dataclass(slots=True)
class DeviceOps:
    """The earlier ops of a device: `accepted` op_id → (version, cursor), `in_conflict` op_id → its conflict.

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
    """A conflict to mark as resolved. `at` is in wire form; `device_notified`: its device already knows."""

    conflict: Conflict
    resolution: str
    by: str
    at: str
    device_notified: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """An op that failed unexpectedly and was rejected with `internal`."""

    op_id: int
    device_id: str | None
    error: Exception


class Batch:
    """A batch of pushes of one tenant, under its lock."""

    def __init__(self, locked: LockedTenant) -> None:
        self.locked = locked
        self.tenant_id = locked.id
        self.at = datetime.now(UTC)
        self.settings = engine_settings()
        #: Counts the work of the whole batch. It rejects nothing: it decides when the tenant's turn is over.
        self.work = Budget("turn_work", sys.maxsize)
        self.has_settled = False
        self.failures: list[Failure] = []
        self.schema = schema_of(locked.id, locked.schema_version)
        self.tables: dict[str, Table] = {}
        self.found: dict[tuple[Table, str], Row | None] = {}
        self.dirty: dict[tuple[Table, str], Row] = {}
        self.targets: defaultdict[str, dict[str, bool]] = defaultdict(dict)
        self.owners: defaultdict[tuple[Table, str], dict[Any, str | None]] = defaultdict(dict)
        self.new_owners: defaultdict[tuple[Table, str, Any], set[str]] = defaultdict(set)
        self.devices: dict[str, DeviceOps] = {}
        self.is_routed = plan_of(locked) is not None
        self._accesses: dict[int, Access] = {}
        # For `row_filter_check`: per hop, the records it was read for and the passing records at its far end; per rule,
        # the records whose hops were read.
        self.hop_read: defaultdict[Term, set[str]] = defaultdict(set)
        self.passing: defaultdict[Term, dict[str, set[str]]] = defaultdict(dict)
        self.hops_read: defaultdict[TableRule, set[str]] = defaultdict(set)
        self.conflicts: dict[str, Conflict] = {}
        self.entries: list[changes.Entry] = []
        self.new_conflicts: list[Conflict] = []
        self.settlements: list[Settlement] = []

    def rules_of(self, actor: Actor) -> Rules | None:
        """Return what an actor may see and do; None without limits. Raises `MoatError(forbidden)` for a non-member."""
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
        """The cursor after everything decided so far."""
        return self.locked.cursor + len(self.entries)

    def table(self, name: str) -> Table | None:
        """Return a published table by its wire name."""
        found = self.tables.get(name)
        if found is None and (spec := self.schema.by_table.get(name)) is not None:
            found = self.tables[name] = rows.table_of(self.tenant_id, spec)
        return found

    def load(self, table: Table, ids: Iterable[str]) -> None:
        """Read records ahead of their use. The IDs must be valid."""
        found = self.found
        wanted = [i for i in ids if (table, i) not in found]
        if wanted:
            got = rows.records(self.tenant_id, table.spec, wanted)
            found.update({(table, i): got.get(i) for i in wanted})

    def row(self, table: Table, record_id: str) -> Row | None:
        """Return a record as the batch has it now; None if it never existed."""
        key = (table, record_id)
        if key in self.dirty:
            return self.dirty[key]
        if key not in self.found:
            self.load(table, [record_id])
        return self.found[key]

    def append(self, row: Row, entry: changes.Entry, cursor: int) -> None:
        """Add a record's next state and the change that led to it. `cursor` is the change's cursor."""
        key = (row.table, row.id)
        before = self.dirty.get(key) or self.found.get(key)
        entry.previous = before.cursor if before is not None else 0
        if entry.body is not None or (before is not None and before.entity_version is not None):
            carry_document(before, row, entry)
        if self.is_routed:
            entry.transition = _transition(before, row)
        row.cursor = cursor
        self.dirty[key] = row
        self.entries.append(entry)

    def load_targets(self, table_name: str, ids: Iterable[str]) -> None:
        """Read which reference targets exist. `table_name` may belong to a retired type."""
        known = self.targets[table_name]
        if wanted := [i for i in ids if i not in known]:
            existing = rows.existing_ids(self.tenant_id, table_name, wanted)
            known.update({i: i in existing for i in wanted})

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
        """Read which live records have these values in a unique field."""
        known = self.owners[table, name]
        wanted = {key: value for value in values if (key := rows.unique_key(value)) not in known}
        if wanted:
            known.update(dict.fromkeys(wanted))
            known.update({rows.unique_key(value): i for value, i in rows.owners(table, name, list(wanted.values()))})

    def conflict(self, named: str) -> Conflict | None:
        """Return a conflict of the tenant by its ID; None if it was not read ahead."""
        try:
            return self.conflicts.get(str(UUID(named)))
        except ValueError:
            return None

    def settle_conflict(self, settlement: Settlement) -> None:
        """Mark a conflict as resolved. A resolved conflict stays as it is."""
        conflict = settlement.conflict
        if conflict.state == Conflict.State.OPEN:
            conflict.state = Conflict.State.SETTLED
            self.settlements.append(settlement)

    def changes_of(self, row: Row) -> list[RecordChange]:
        """Return the newest changes of a record, oldest first, including those of this batch."""
        name = row.table.spec.table_name
        lines = (
            changes.record_lines(
                self.tenant_id, row.raw[2], self.settings.base_lines, most_bytes=self.settings.base_bytes
            )
            if row.raw is not None
            else []
        )
        found = [read_change(line) for line in lines]
        found += [
            RecordChange(e.version, e.op, e.payload, e.by, None, e.device)
            for e in self.entries
            if e.record_id == row.id and e.table == name
        ]
        return found

    def unknown_field(self, table: Table, name: str) -> OpRejected:
        """Return the rejection of a field that is not published."""
        if name in ("id", "version"):
            return OpRejected(Code.READ_ONLY, f"{name} can't be changed.", field=name)
        if (table.spec.table_name, name) in self._retired:
            return OpRejected(Code.RETIRED, f"An administrator retired the field {name}.", field=name)
        return rejections.unknown_field(table.spec.table_name, name)

    def unknown_table(self, name: str) -> OpRejected:
        """Return the rejection of a table that is not published."""
        if (name, None) in self._retired:
            return OpRejected(Code.RETIRED, f"An administrator retired the table {name}.")
        return rejections.unknown_table(name)

    @cached_property
    def _retired(self) -> set[tuple[str, str | None]]:
        """The retired (table, None) and (table, field) pairs; read only if an op names something unknown."""
        retired: set[tuple[str, str | None]] = set()
        types = ObjectMetadata.objects.filter(tenant_id=self.tenant_id, published__isnull=False)
        for table_name, retired_version, fields in types.values_list("table_name", "retired_version", "retired_fields"):
            if retired_version is not None:
                retired.add((table_name, None))
            retired.update((table_name, field["name"]) for field in fields)
        return retired


def _transition(before: Row | None, after: Row) -> RecordTransition:
    """Return a change in the form that filtered channels need."""
    old_values = None if before is None else {"id": before.id, **before.values()}
    table = after.table.spec.table_name
    return RecordTransition(
        table,
        after.id,
        old_values,
        before is not None and not before.deleted,
        {"id": after.id, **after.values()},
        not after.deleted,
    )
