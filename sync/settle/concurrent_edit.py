"""An op that meets others' changes: what its device knew, who changed what, and the conflict that may come of it."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

from sync.models import Conflict
from sync.records.rows import Row
from sync.settle import field_versions
from sync.settle.merge_base import RecordChange, device_base
from sync.settle.resolvers import EditConflict
from sync.settle.tx import Tx
from sync.wire.lines import wire_time
from sync.wire.ops import ConflictView, Op


class ConcurrentEdit:
    """The meeting of an op with a record that others may have changed since `base`. Reads the log only when asked."""

    def __init__(self, tx: Tx, op: Op, row: Row, base: int) -> None:
        self.tx = tx
        self.op = op
        self.row = row
        self.base = base
        #: Whether someone else changed the record since the base.
        self.moved = base < row.version and field_versions.any_foreign(row.versions, base, tx.actor.device_id)

    @cached_property
    def deleted_by_others(self) -> bool:
        """Whether someone else deleted the record since the base. Pruned tombstones no longer say who: others, then."""
        entry = self.row.versions.get(field_versions.ALL)
        if not self.row.deleted or self.base >= self.row.version:
            return False
        return entry is None or field_versions.is_foreign(entry, self.base, self.tx.actor.device_id)

    def concurrent(self, names: Iterable[str]) -> frozenset[str]:
        """Return which of the fields someone else changed since the base."""
        return frozenset(field_versions.foreign_among(self.row.versions, names, self.base, self.tx.actor.device_id))

    @cached_property
    def steps(self) -> list[RecordChange]:
        """The record's newest changes, oldest first."""
        return self.tx.batch.steps(self.row)

    @cached_property
    def known(self) -> dict[str, Any] | None:
        """The record as the op's device knew it; None when the log no longer says."""
        defaults = dict(self.row.table.defaults)
        return device_base(self.tx.actor.device_id, self.base, self.steps, self.row.values(), defaults)

    def document(self) -> dict[str, Any]:
        """Return the record that the op's patch was made for, as far as can be told."""
        return (self.known if self.moved or self.deleted_by_others else None) or self.row.values()

    def resolver_input(self, mine: Mapping[str, Any] | None, concurrent: Iterable[str]) -> EditConflict:
        """Return what a resolver is shown."""
        theirs = None if self.row.deleted else self.row.values()
        actor = self.tx.actor
        return EditConflict(
            self.op.table, self.op.id, mine, theirs, self.known, frozenset(concurrent), actor.by, actor.device_id
        )

    def conflict(self, fields: Iterable[str], mine: Mapping[str, Any] | None) -> Conflict:
        """Return the conflict to keep: all three sides of the fields the op sets, or of the whole record when one side deletes it."""
        actor, row, device = self.tx.actor, self.row, self.tx.actor.device_id
        names = row.table.fields if mine is None or row.deleted else tuple(mine)
        fields = list(fields)
        last = self._last_foreign(fields)
        return Conflict(
            tenant_id=actor.tenant_id,
            table_name=self.op.table,
            record_id=self.op.id,
            op=self.op.op,
            fields=fields,
            base=None if self.known is None else {name: self.known.get(name) for name in names},
            mine=None if mine is None else dict(mine),
            theirs=None if row.deleted else {name: row.get(name) for name in names},
            base_version=self.base,
            server_version=row.version,
            device_id=device,
            op_id=None if device is None else self.op.op_id,
            tx=self.op.tx,
            by=actor.by,
            theirs_by=last.by if last else "",
            theirs_at=(datetime.fromisoformat(last.at) if last.at else self.tx.batch.at) if last else None,
        )

    def _last_foreign(self, fields: list[str]) -> RecordChange | None:
        """Return the newest change by others since the base that touches one of the fields, else the newest change of all."""
        device = self.tx.actor.device_id
        for step in reversed(self.steps):
            others = step.version > self.base and (device is None or step.device != device)
            if others and (step.op != "update" or any(name in fields for name in step.fields())):
                return step
        return self.steps[-1] if self.steps else None


def conflict_view(conflict: Conflict) -> ConflictView:
    """Return a conflict as a device is told it."""
    return ConflictView(
        conflict=str(conflict.id),
        version=conflict.server_version,
        base=conflict.base,
        mine=conflict.mine,
        theirs=conflict.theirs,
        fields=tuple(conflict.fields),
        by=conflict.theirs_by,
        at=wire_time(conflict.theirs_at) if conflict.theirs_at else None,
    )
