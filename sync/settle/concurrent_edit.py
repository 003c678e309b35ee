"""An op with concurrent changes, and the conflict it may cause."""

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
    """An op on a record that others may have changed since `base`. Reads the log only when needed."""

    def __init__(self, tx: Tx, op: Op, row: Row, base: int) -> None:
        self.tx = tx
        self.op = op
        self.row = row
        self.base = base
        #: Whether someone else changed the record since the base.
        self.moved = base < row.version and field_versions.any_foreign(row.versions, base, tx.actor.device_id)

    @cached_property
    def deleted_by_others(self) -> bool:
        """Whether someone else deleted the record since the base; also true for pruned tombstones, which do not say."""
        entry = self.row.versions.get(field_versions.ALL)
        if not self.row.deleted or self.base >= self.row.version:
            return False
        return entry is None or field_versions.is_foreign(entry, self.base, self.tx.actor.device_id)

    def concurrent(self, names: Iterable[str]) -> frozenset[str]:
        """Return which of the fields someone else changed since the base."""
        return frozenset(field_versions.foreign_among(self.row.versions, names, self.base, self.tx.actor.device_id))

    @cached_property
    def changes(self) -> list[RecordChange]:
        """The record's newest changes, oldest first."""
        return self.tx.batch.changes_of(self.row)

    @cached_property
    def known(self) -> dict[str, Any] | None:
        """The record as the op's device knew it; None if the log has been pruned."""
        defaults = dict(self.row.table.defaults)
        return device_base(self.tx.actor.device_id, self.base, self.changes, self.row.values(), defaults)

    def document(self) -> dict[str, Any]:
        """Return the record that the op's patch was made for, or the current record if that is unknown."""
        return (self.known if self.moved or self.deleted_by_others else None) or self.row.values()

    def resolver_input(self, mine: Mapping[str, Any] | None, concurrent: Iterable[str]) -> EditConflict:
        """Return the conflict as a resolver receives it."""
        theirs = None if self.row.deleted else self.row.values()
        actor = self.tx.actor
        return EditConflict(
            self.op.table, self.op.id, mine, theirs, self.known, frozenset(concurrent), actor.by, actor.device_id
        )

    def conflict(self, fields: Iterable[str], mine: Mapping[str, Any] | None) -> Conflict:
        """Return the conflict to keep.

        It holds base, mine, and theirs of the fields the op sets, or of the whole record if one of them deletes it.
        """
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
        """Return the newest change by others since the base that sets one of the fields, else the newest change."""
        device = self.tx.actor.device_id
        for change in reversed(self.changes):
            others = change.version > self.base and (device is None or change.device != device)
            if others and (change.op != "update" or any(name in fields for name in change.fields())):
                return change
        return self.changes[-1] if self.changes else None


def conflict_view(conflict: Conflict) -> ConflictView:
    """Return a conflict as it is sent to a device."""
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
