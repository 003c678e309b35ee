"""The documents of a page of changes: as a CBOR client wrote them, else the record's columns after the change.

A filtered channel receives the parts that its profile may read.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from metadata.schema import TenantSchema
from sync.channels.channel import Channel
from sync.channels.view import condition
from sync.conf import engine_settings
from sync.entities import document
from sync.entities.document import StoredDocument
from sync.entities.document_view import DocumentView
from sync.log import changes as log
from sync.records import rows, sql
from sync.records.rows import Row, Table
from sync.settle.merge_base import device_base, read_change
from sync.wire.patch import PatchFailed, apply_patch

Key = tuple[str, str]
Change = Mapping[str, Any]


class PageDocuments:
    """The documents of some changes, read together. `room`: how many document bytes still fit in the page."""

    def __init__(self, channel: Channel, schema: TenantSchema, changes: Sequence[Change], room: int) -> None:
        self.room = room
        self.is_full = False
        self._channel, self._schema = channel, schema
        self._stored: dict[int, StoredDocument] = {}
        self._sizes = self._read_sizes([change["cursor"] for change in changes])
        self._rows: dict[Key, Row | None] = {}
        self._tables: dict[str, tuple[Table, DocumentView]] = {}
        self._states: dict[Key, dict[str, Any]] = {}
        self._load([change for change in changes if change["cursor"] not in self._sizes])

    def affordable(self, changes: Sequence[Change], *, first: bool) -> Iterator[Change]:
        """Yield changes while their documents fit. With `first`, always yield the first change."""
        fitting: list[Change] = []
        for change in changes:
            size = self._sizes.get(change["cursor"], 0)
            if self.room < size and not (first and not fitting):
                self.is_full = True
                break
            self.room -= size
            fitting.append(change)
        self._stored = self._read([change["cursor"] for change in fitting if change["cursor"] in self._sizes])
        yield from fitting

    def of(self, change: Change) -> StoredDocument:
        """Return the document of a change as the channel shows it; without bytes if the change removes the record."""
        stored = self._stored.get(change["cursor"]) or self._carried(change)
        if change["op"] in ("delete", "evict"):
            # The client's clock is not sent for a record that only left the channel.
            timestamp = stored.timestamp_ms if stored is not None and change["op"] == "delete" else None
            return StoredDocument(change["version"] if stored is None else stored.version, None, timestamp)
        if stored is None:
            columns = self._columns(change)
            stored = StoredDocument(change["version"], None if columns is None else document.document(columns))
            self.room -= len(stored.cbor or b"")
        view = self._table(change["table"])[1]
        if stored.cbor is None or view.whole:
            return stored
        return replace(stored, cbor=view.shown(stored.cbor, lambda: self._columns(change) or {}))

    def _table(self, name: str) -> tuple[Table, DocumentView]:
        """Return a table and the channel's view of its documents."""
        found = self._tables.get(name)
        if found is None:
            table = rows.table_of(self._tenant, self._schema.by_table[name])
            found = self._tables[name] = table, document_view(self._channel, table)
        return found

    def _read_sizes(self, cursors: Sequence[int]) -> dict[int, int]:
        found = sql.fetch_in(
            "SELECT cursor, length(cbor) FROM v1_changes WHERE tenant_id = %s AND cursor IN", cursors, [self._tenant]
        )
        return {cursor: size or 0 for cursor, size in found}

    def _read(self, cursors: Sequence[int]) -> dict[int, StoredDocument]:
        found = sql.fetch_in(
            "SELECT cursor, entity_version, cbor, timestamp_ms FROM v1_changes WHERE tenant_id = %s AND cursor IN",
            cursors,
            [self._tenant],
        )
        return {cursor: _stored_document(version, cbor, timestamp) for cursor, version, cbor, timestamp in found}

    def _carried(self, change: Change) -> StoredDocument | None:
        """Return the document that a record kept through a change without one, such as a reroute."""
        row = self._row(change)
        if row is None or row.entity_version is None:
            return None
        found = sql.fetch_one(
            "SELECT entity_version, cbor, timestamp_ms FROM v1_changes "
            "WHERE tenant_id = %s AND table_name = %s AND record_id = %s AND cursor < %s ORDER BY cursor DESC LIMIT 1",
            [self._tenant, change["table"], change["id"], change["cursor"]],
        )
        if found is not None:
            return _stored_document(*found)
        # The log was pruned. The record's row still has the document, unless the record changed since.
        return (
            StoredDocument(row.entity_version, row.entity_cbor)
            if row.version == change["version"] and row.entity_cbor is not None
            else None
        )

    @property
    def _tenant(self) -> int:
        return self._channel.tenant_id

    def _load(self, changes: Iterable[Change]) -> None:
        ids: defaultdict[str, set[str]] = defaultdict(set)
        for change in changes:
            ids[change["table"]].add(change["id"])
        for name, wanted in ids.items():
            found = rows.records(self._tenant, self._schema.by_table[name], sorted(wanted))
            self._rows.update({(name, record_id): found.get(record_id) for record_id in wanted})

    def _row(self, change: Change) -> Row | None:
        key = (change["table"], change["id"])
        if key not in self._rows:
            self._load([change])
        return self._rows[key]

    def _columns(self, change: Change) -> dict[str, Any] | None:
        """Return a record's values after a change; None if unknown and the channel no longer shows the record."""
        key = (change["table"], change["id"])
        table, row = self._table(change["table"])[0], self._row(change)
        if row is not None and row.version == change["version"]:
            self._states[key] = row.values()
            return self._states[key]
        if change["op"] == "insert":
            return self._remember(table, key, dict(change["payload"]))
        return self._remember(table, key, self._patched(change, key) or self._replayed(change, table, row))

    def _remember(self, table: Table, key: Key, record: dict[str, Any] | None) -> dict[str, Any] | None:
        """Keep a record's state for the changes after it. Return all its fields."""
        if record is None:
            return None
        self._states[key] = record
        return {name: record.get(name) for name in table.fields}

    def _patched(self, change: Change, key: Key) -> dict[str, Any] | None:
        before = self._states.get(key)
        if before is None:
            return None
        try:
            return apply_patch(before, change["payload"])
        except PatchFailed:
            return None

    def _replayed(self, change: Change, table: Table, row: Row | None) -> dict[str, Any] | None:
        """Rebuild a record's earlier state from the log. If that was pruned, use the current record if visible."""
        if row is None:
            return None if self._channel.filtered else dict.fromkeys(table.fields)
        lines = log.record_lines(self._tenant, row.cursor, engine_settings().base_lines)
        changes = [read_change(line) for line in lines]
        earlier = device_base(None, change["version"], changes, row.values(), dict(table.defaults))
        return earlier or (row.values() if self._shows(table, row) else None)

    def _shows(self, table: Table, row: Row) -> bool:
        """Whether the channel shows a record now. Changes made after a record left the channel must not be sent."""
        if not self._channel.filtered:
            return True
        visible, values = condition(self._channel, self._schema, table.spec.table_name, table.vendor)
        statement = (
            f'SELECT 1 FROM "{table.name}" WHERE "id" = %s AND "version" = %s AND NOT "_deleted" AND ({visible})'
        )
        return sql.fetch_one(statement, [row.id, row.version, *values]) is not None


def document_view(channel: Channel, table: Table) -> DocumentView:
    """Return the channel's view of a table's documents."""
    rule = None if channel.rules is None else channel.rules.by_table[table.spec.table_name]
    return DocumentView(rule, frozenset(table.kinds))


def _stored_document(version: int, cbor: bytes | memoryview | None, timestamp_ms: int | None) -> StoredDocument:
    return StoredDocument(version, None if cbor is None else bytes(cbor), timestamp_ms)
