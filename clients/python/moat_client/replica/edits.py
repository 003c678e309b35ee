"""Local writes: checked against the published object type, then kept as overlays."""

import secrets
import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from moat_client.errors import InvalidEdit, UnknownRecord, UnknownTable
from moat_client.replica.catalog import read_records
from moat_client.replica.checks import check_required, clean_values, with_defaults
from moat_client.replica.overlays import active_ops, add_overlay, new_pending, repatch, visible
from moat_client.replica.store import Store, Writing, read_position
from moat_client.replica.tables import Table
from moat_client.wire.patch import Record, flat_patch
from moat_client.wire.schema import ObjectType
from moat_client.wire.values import check_id


def new_id() -> str:
    """Return a UUIDv7 as text: unique without coordination, and ordered by time, which keeps indexes compact."""
    bits = (int(time.time() * 1000) << 80) | secrets.randbits(80)
    bits = (bits & ~(0xF << 76)) | (0x7 << 76)
    return str(UUID(int=(bits & ~(0x3 << 62)) | (0x2 << 62)))


class Transaction:
    """Writes that the server applies together or not at all, from `Replica.transaction()`. Reads see the writes."""

    def __init__(self, store: Store, writing: Writing, tx: str | None) -> None:
        self._store = store
        self._writing = writing
        self._tx = tx
        self._schema_version = read_position(writing.con).schema_version

    def _table(self, name: str) -> tuple[Table, ObjectType]:
        table = self._store.catalog().tables.get(name)
        if table is None or table.object_type is None:
            raise UnknownTable(name)
        return table, table.object_type

    def get(self, table: str, record_id: str) -> Record | None:
        """Return a record as this transaction sees it, or None."""
        return visible(self._writing.con, self._table(table)[0], record_id)

    def insert(self, table: str, values: Mapping[str, Any], *, record_id: str | None = None) -> str:
        """Add a record and return its ID: `record_id`, an `id` among the values, or a new one.

        Fills in defaults, the first subtype, and the first status. Raises InvalidEdit.
        """
        target, object_type = self._table(table)
        given = dict(values)
        record_id = check_id(record_id or given.pop("id", None) or new_id())
        given.pop("id", None)
        payload = clean_values(object_type, with_defaults(object_type, given))
        check_required(object_type, payload)
        if visible(self._writing.con, target, record_id) is not None:
            raise InvalidEdit(f"{table} already has a record {record_id!r}.", code="exists", field="id")
        # Omit nulls, except where the server would fill in a default.
        sent = {
            k: v for k, v in payload.items() if v is not None or (k in given and object_type.default_of(k) is not None)
        }
        self._add(table, record_id, "insert", sent)
        return record_id

    def update(self, table: str, record_id: str, values: Mapping[str, Any]) -> bool:
        """Update fields of a record; return whether anything changed. Raises InvalidEdit.

        The object of a json field is compared key by key with the current one, so only differences are sent.
        """
        target, object_type = self._table(table)
        now = visible(self._writing.con, target, record_id)
        if now is None:
            raise UnknownRecord(table, record_id)
        changed = clean_values(object_type, values)
        check_required(object_type, now | changed, only=changed.keys())
        patch = flat_patch(now, changed)
        if patch:
            self._add(table, record_id, "update", patch)
        return bool(patch)

    def delete(self, table: str, record_id: str) -> None:
        """Delete a record. Raises UnknownRecord."""
        if self.get(table, record_id) is None:
            raise UnknownRecord(table, record_id)
        self._add(table, record_id, "delete", None)

    def _add(self, table: str, record_id: str, op: str, payload: Any) -> None:
        con = self._writing.con
        base = base_version(self._writing, self._table(table)[0], record_id)
        if op == "insert" and base:  # each of the record's pending ops, a deletion among them, will add a version
            base += len(active_ops(con, table, record_id))
        pending = new_pending(con, (table, record_id), op, payload, base_version=base, tx=self._tx)
        add_overlay(con, pending, self._schema_version)
        repatch(con, self._store.catalog(), [(table, record_id)])
        self._writing.touched.add(table)
        self._writing.new_ops = True


def base_version(writing: Writing, table: Table, record_id: str) -> int:
    """Return the version under the user's own edits: the base row's, or the one a pending insert will get."""
    base = read_records(writing.con, table, [record_id]).get(record_id)
    if base is not None:
        return int(base["version"])
    found = writing.con.execute(
        'SELECT "base_version" FROM main."overlays" WHERE "table_name" = ? AND "record_id" = ? AND "op" = \'insert\' '
        "AND \"state\" IN ('pending', 'acked') ORDER BY \"op_id\" DESC LIMIT 1",
        [table.name, record_id],
    ).fetchone()
    return 0 if found is None else int(found[0]) + 1
