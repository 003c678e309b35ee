"""Write published object types and layouts to the log, in the publisher's transaction.

They become changes of `object_metadata` and `layout_definition`.
"""

from functools import partial
from typing import Any

from django.db import transaction
from django.dispatch import receiver

from layouts.signals import layout_changed
from metadata.signals import object_types_published
from sync.channels.projection import Side
from sync.channels.view import image_of
from sync.log.changes import Entry, append_without_saving_tenant
from sync.log.commit import announce
from sync.models import SystemRecord
from sync.wire.patch import flat_patch
from sync.wire.system_tables import LAYOUT_DEFINITION, OBJECT_METADATA
from tenants.locks import LockedTenant

Record = dict[str, Any]


@receiver(object_types_published, dispatch_uid="sync.object_types")
def object_types_published_to_log(
    sender: object, *, locked: LockedTenant, changes: list[tuple[str, Record | None, Record | None]], by: str, **_: Any
) -> None:
    """Write a change for each object type that was published or retired."""
    _write(locked, OBJECT_METADATA, [(name, new) for name, _old, new in changes], by)


@receiver(layout_changed, dispatch_uid="sync.layouts")
def layout_changed_to_log(
    sender: object, *, locked: LockedTenant, layout_id: str, new: Record | None, by: str, **_: Any
) -> None:
    """Write a change for a layout that was saved or deleted."""
    _write(locked, LAYOUT_DEFINITION, [(layout_id, new)], by)


def _write(locked: LockedTenant, table: str, wanted: list[tuple[str, Record | None]], by: str) -> None:
    """Set the system records to the wanted ones (None: deleted), and append a change for each."""
    found = SystemRecord.objects.filter(
        tenant_id=locked.id, table_name=table, record_id__in=[name for name, _ in wanted]
    )
    known = {row.record_id: row for row in found}
    rows: list[SystemRecord] = []
    entries: list[Entry] = []
    for record_id, record in wanted:
        row = known.get(record_id) or SystemRecord(
            tenant_id=locked.id, table_name=table, record_id=record_id, version=0, deleted=True
        )
        entry = _change(row, record, by)
        if entry is not None:
            entry.previous = row.cursor or 0
            row.cursor = locked.cursor + len(entries) + 1
            rows.append(row)
            entries.append(entry)
    for row in rows:
        row.save()
    commit = append_without_saving_tenant(locked, entries)
    if commit.lines:
        transaction.on_commit(partial(announce, commit))


def _change(row: SystemRecord, record: Record | None, by: str) -> Entry | None:
    """Update a row to a record and return the change; None if a deleted record is deleted again."""
    op: str
    payload: Any
    before = None if row.deleted else image_of(row.table_name, row.record_id, row.data)
    if record is None:
        if row.deleted:
            return None
        op, payload, row.deleted = "delete", None, True
    elif row.deleted:
        op, payload, row.deleted = "insert", {name: value for name, value in record.items() if value is not None}, False
        row.data = record
    else:
        op, payload = "update", flat_patch(row.data, record)
        row.data = record
    row.version += 1
    after = None if row.deleted else image_of(row.table_name, row.record_id, row.data)
    return Entry(row.table_name, row.record_id, op, row.version, payload, by, transition=Side(before, after))
