"""Who changed a record, when and how: its change lines, read back from the log."""

from typing import Any

from metadata.schema import ObjectSpec
from sync.lines import decode_line
from sync.log import record_lines
from sync.rows import records


def changes_of(tenant_id: int, spec: ObjectSpec, record_id: str, *, limit: int = 200, before: int | None = None) -> list[dict[str, Any]]:
    """Return a record's newest changes as decoded lines, newest first, as far back as the log reaches.

    `before` leaves out that version and later ones: the last version of a page starts the next. Deleted records have a
    history too; a record that never existed has none.
    """
    row = records(tenant_id, spec, [record_id]).get(record_id)
    if row is None:
        return []
    return [decode_line(line) for line in reversed(record_lines(tenant_id, row.cursor, limit, before=before))]
