"""Documents of changes for CBOR clients (`sync.entities.document`), stored next to the log.

Once a CBOR client has written a record, every later change of it gets an updated document.
"""

from collections.abc import Sequence
from typing import Final

from sync.entities import document
from sync.entities.document import StoredDocument
from sync.log.changes import Entry
from sync.records import sql
from sync.records.rows import Row
from sync.wire.patch import unescape

_COLUMNS: Final = (
    sql.Column("tenant_id", "bigint"),
    sql.Column("cursor", "bigint"),
    sql.Column("table_name", "text"),
    sql.Column("record_id", "text"),
    sql.Column("entity_version", "bigint"),
    sql.Column("timestamp_ms", "bigint"),
    sql.Column("cbor", "bytea"),
)


def carry_document(before: Row | None, row: Row, entry: Entry) -> None:
    """Update a record's document and its CBOR version after a change. `before` is the record before the change."""
    if entry.body is None and before is not None and before.entity_version is not None:
        entry.body = StoredDocument(document.next_version(before.entity_version), _after(before, row, entry))
    if entry.body is not None:
        row.entity_version, row.entity_cbor, row.entity_changed = entry.body.version, entry.body.cbor, True


def _after(before: Row, row: Row, entry: Entry) -> bytes | None:
    if entry.op == "delete":
        return None
    if entry.op == "insert" or before.entity_cbor is None:
        return document.document(row.values())
    names = {unescape(step["path"].split("/", 2)[1]) for step in entry.payload}
    return document.edited(
        before.entity_cbor, {name: row.get(name) for name in row.table.fields if name in names}, row.values
    )


def store(tenant_id: int, start: int, entries: Sequence[Entry]) -> None:
    """Store the documents of changes that were appended to the log after cursor `start`."""
    found = [
        (tenant_id, cursor, entry.table, entry.record_id, entry.body.version, entry.body.timestamp_ms, entry.body.cbor)
        for cursor, entry in enumerate(entries, start + 1)
        if entry.body is not None
    ]
    if found:
        sql.insert_many("v1_changes", _COLUMNS, found)


def version_of(row: Row | None) -> int:
    """Return a record's version as CBOR clients count it; 0 if it never existed."""
    if row is None:
        return 0
    return row.version if row.entity_version is None else row.entity_version


def body_of(row: Row) -> bytes:
    """Return a live record's document: as a CBOR client wrote it, else made from its columns."""
    return document.document(row.values()) if row.entity_cbor is None else row.entity_cbor
