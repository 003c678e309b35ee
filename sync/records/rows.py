"""Records of the type tables, below the ORM: read by ID, written in bulk.

Only `sync.settle`, `sync.channels.record_sides`, and `sync.log.prune` write these tables.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final

from metadata.canonical import canonical_json
from metadata.cleaners import CHOICE_LENGTH, clean_text
from metadata.fieldtypes import Convert, binder, cleaner, column_type, reader
from metadata.schema import FieldSpec, ObjectSpec, TenantSchema, physical_name
from sync.records import sql, versions_column
from sync.records.versions_column import Versions

RECORD_FIELDS: Final = ("object_type", "status")
_SYSTEM: Final = (
    sql.Column("id", "text"),
    sql.Column("version", "bigint"),
    sql.Column("_cursor", "bigint"),
    sql.Column("_deleted", "boolean"),
    sql.Column("_versions", "text"),
)
# The record as CBOR clients know it (docs/spec/syncprotocol-v1.md): null until such a client writes it.
_ENTITY: Final = (sql.Column("_entity_version", "bigint"), sql.Column("_entity_cbor", "bytea"))
_READ: Final = (*_SYSTEM, *_ENTITY)
_READ_AS_THEY_ARE: Final = {
    "sqlite": frozenset({"text", "choice", "reference", "integer", "uuid", "date", "datetime", "real"}),
    "postgresql": frozenset({"text", "choice", "reference", "integer", "real"}),
}

_BOUND_AS_THEY_ARE: Final = {
    "sqlite": frozenset({"text", "choice", "reference", "integer", "uuid", "date", "datetime", "real", "decimal"}),
    "postgresql": frozenset({"text", "choice", "reference", "integer", "real", "boolean"}),
}


class Table:
    """Columns, converters, and checks of one type table, computed once per published schema and database."""

    def __init__(self, tenant_id: int, spec: ObjectSpec, vendor: str) -> None:
        self.spec = spec
        self.vendor = vendor
        self.name = physical_name(tenant_id, spec.table_name)
        self.fields: tuple[str, ...] = (*RECORD_FIELDS, *(f.name for f in spec.fields))
        self.index = {name: position for position, name in enumerate(self.fields, len(_READ))}
        texts = {name: FieldSpec(name, "text") for name in RECORD_FIELDS}
        self.cleaners = {f.name: cleaner(f) for f in spec.fields} | {
            name: partial(clean_text, limit=CHOICE_LENGTH) for name in texts
        }
        plain = _READ_AS_THEY_ARE[vendor]
        self.readers: dict[str, Convert] = {f.name: reader(f, vendor) for f in spec.fields if f.kind not in plain}
        self.binders: dict[str, Convert] = {f.name: binder(f, vendor) for f in spec.fields}
        self.converted = frozenset(f.name for f in spec.fields if f.kind not in _BOUND_AS_THEY_ARE[vendor])
        self.types = {f.name: column_type(f, vendor) for f in spec.fields} | dict.fromkeys(texts, "text")
        self.required = tuple(f.name for f in spec.fields if f.required)
        self.references = tuple(
            (f.name, f.reference_table) for f in spec.fields if f.kind == "reference" and f.reference_table
        )
        self.unique = tuple(f.name for f in spec.fields if f.unique)
        self.json_fields = frozenset(f.name for f in spec.fields if f.kind == "json")
        self.defaults = tuple((f.name, cleaner(f)(f.default)) for f in spec.fields if f.default is not None)
        self.choices = tuple(
            (name, tuple(choice.value for choice in values))
            for name, values in zip(RECORD_FIELDS, (spec.subtypes, spec.statuses), strict=True)
        )
        # Fields to read from a CBOR client's document; `object_type` and `status` only if the object type defines
        # values for them.
        self.kinds = {f.name: f.kind for f in spec.fields} | {name: "text" for name, allowed in self.choices if allowed}
        self.checked = frozenset((*self.required, *RECORD_FIELDS))
        # Fields to look up before ops are decided, each with its reference's table, or None if the field is unique.
        self.watched: dict[str, str | None] = {**dict.fromkeys(self.unique), **dict(self.references)}
        names = ", ".join(f'"{self.name}"."{name}"' for name in (*(column.name for column in _READ), *self.fields))
        self.select = f'SELECT {names} FROM "{self.name}"'

    def columns(self, fields: Iterable[str], *, entity: bool = False) -> list[sql.Column]:
        """Return the columns to write when these fields change, the key last; `entity` adds those of CBOR clients."""
        return [
            *(sql.Column(name, self.types[name]) for name in fields),
            *(_ENTITY if entity else ()),
            *_SYSTEM[1:],
            _SYSTEM[0],
        ]


_tables: dict[tuple[int, str], Table] = {}


def table_of(tenant_id: int, spec: ObjectSpec) -> Table:
    """Return the table of a published object type. It is rebuilt when the spec changes."""
    key = (tenant_id, spec.table_name)
    found = _tables.get(key)
    vendor = "postgresql" if sql.postgresql() else "sqlite"
    if found is None or found.spec is not spec or found.vendor != vendor:
        found = _tables[key] = Table(tenant_id, spec, vendor)
    return found


class Row:
    """A live record or a tombstone. Values are decoded on access; `changed` holds those set since it was read."""

    __slots__ = (
        "_versions",
        "changed",
        "cursor",
        "deleted",
        "entity_cbor",
        "entity_changed",
        "entity_version",
        "id",
        "is_new",
        "raw",
        "table",
        "version",
        "versions_text",
    )

    def __init__(self, table: Table, raw: tuple[Any, ...] | None, record_id: str = "") -> None:
        self.table = table
        self.raw = raw
        self.changed: dict[str, Any] = {}
        self._versions: Versions | None = None
        self.is_new = raw is None
        self.version: int
        self.cursor: int
        self.versions_text: str | None
        self.entity_version: int | None = None
        self.entity_cbor: bytes | None = None
        self.entity_changed = False
        if raw is None:
            self.id, self.version, self.cursor, self.deleted, self.versions_text = record_id, 0, 0, False, "{}"
        else:
            self.id, self.version, self.cursor = raw[0], raw[1], raw[2]
            self.deleted = bool(raw[3])
            self.versions_text = raw[4]
            if raw[5] is not None:
                self.entity_version = raw[5]
                self.entity_cbor = None if raw[6] is None else bytes(raw[6])

    def copy(self) -> "Row":
        """Return an independent copy."""
        other = Row.__new__(Row)
        other.table, other.raw, other.id, other.is_new = self.table, self.raw, self.id, self.is_new
        other.version, other.cursor, other.deleted = self.version, self.cursor, self.deleted
        other.entity_version, other.entity_cbor, other.entity_changed = (
            self.entity_version,
            self.entity_cbor,
            self.entity_changed,
        )
        other.changed = dict(self.changed)
        other._versions, other.versions_text = self._versions, self.versions_text
        return other

    def get(self, name: str) -> Any:
        """Return the wire value of a field."""
        if name in self.changed:
            return self.changed[name]
        if self.raw is None:
            return None
        value = self.raw[self.table.index[name]]
        read = self.table.readers.get(name)
        return value if read is None or value is None else read(value)

    def values(self) -> dict[str, Any]:
        """Return all values including nulls, `object_type` and `status` first."""
        return {name: self.get(name) for name in self.table.fields}

    @property
    def versions(self) -> Versions:
        """The version that last changed each field. Do not mutate it; assign a new mapping."""
        if self._versions is None:
            self._versions = versions_column.parse(self.versions_text)
        return self._versions

    @versions.setter
    def versions(self, value: Versions) -> None:
        self._versions = value
        self.versions_text = None


_Updates = dict[tuple[Table, bool, bool, tuple[str, ...]], list[Row]]
"""Rows by (table, whether they are live, whether the CBOR columns change, the fields that change)."""


def records(tenant_id: int, spec: ObjectSpec, ids: Sequence[str]) -> dict[str, Row]:
    """Return records and tombstones by ID. IDs that never existed are missing."""
    table = table_of(tenant_id, spec)
    return {raw[0]: Row(table, raw) for raw in sql.fetch_in(f'{table.select} WHERE "{table.name}"."id" IN', ids)}


def record(tenant_id: int, schema: TenantSchema, table_name: str, record_id: str) -> Row | None:
    """Return one record or tombstone; None when the table is not published or the record never existed."""
    spec = schema.by_table.get(table_name)
    return records(tenant_id, spec, [record_id]).get(record_id) if spec else None


def existing_ids(tenant_id: int, table_name: str, ids: Sequence[str]) -> set[str]:
    """Return the IDs that exist in a table, tombstones included. The table may be published or retired."""
    name = physical_name(tenant_id, table_name)
    return {found for (found,) in sql.fetch_in(f'SELECT "id" FROM "{name}" WHERE "id" IN', ids)}


def owners(table: Table, field: str, values: Sequence[Any]) -> Iterator[tuple[Any, str]]:
    """Yield (wire value, ID) of the live records that have one of these values in a field."""
    bind, read = table.binders[field], table.readers.get(field)
    column = f'"{table.name}"."{field}"'
    statement = (
        f'SELECT {column}, "{table.name}"."id" FROM "{table.name}" WHERE NOT "{table.name}"."_deleted" AND {column} IN'
    )
    for value, record_id in sql.fetch_in(statement, [bind(value) for value in values]):
        yield (read(value) if read else value), record_id


def unique_key(value: Any) -> Any:
    """Return a hashable key of a value; two keys are equal exactly when the database considers the values equal."""
    return canonical_json(value) if isinstance(value, dict | list) else value


def write(rows: Iterable[Row]) -> None:
    """Write records in their final state: insert new ones; of existing ones update only the changed columns."""
    inserts: dict[tuple[Table, bool], list[Row]] = {}
    updates: _Updates = {}
    for row in rows:
        if row.is_new:
            inserts.setdefault((row.table, row.entity_changed), []).append(row)
        else:
            updates.setdefault((row.table, not row.deleted, row.entity_changed, tuple(sorted(row.changed))), []).append(
                row
            )
    _free_unique_values(updates)
    # Deletes first: they free unique values that other records may claim.
    for (table, _, entity, fields), changed in sorted(updates.items(), key=lambda item: item[0][1]):
        sql.update_many(table.name, table.columns(fields, entity=entity), _bound(table, fields, changed, entity=entity))
    for (table, entity), new in inserts.items():
        sql.insert_many(
            table.name, table.columns(table.fields, entity=entity), _bound(table, table.fields, new, entity=entity)
        )


def _bound(table: Table, fields: Sequence[str], rows: Iterable[Row], *, entity: bool) -> list[tuple[Any, ...]]:
    """Return each row's values for `table.columns(fields, entity=entity)`, as the driver binds them."""
    converted = [(position, table.binders[name]) for position, name in enumerate(fields) if name in table.converted]
    bound = []
    for row in rows:
        changed = row.changed
        values = [changed[name] for name in fields]
        for position, bind in converted:
            values[position] = bind(values[position])
        if entity:
            values += (row.entity_version, row.entity_cbor)
        text = row.versions_text if row.versions_text is not None else versions_column.dump(row.versions)
        bound.append((*values, row.version, row.cursor, row.deleted, text, row.id))
    return bound


def _free_unique_values(updates: _Updates) -> None:
    """Clear unique values that change, so that two records can swap theirs in one batch in any write order."""
    for (table, _, _, fields), rows in updates.items():
        for name in table.unique:
            if name in fields:
                columns = [sql.Column(name, table.types[name]), _SYSTEM[0]]
                sql.update_many(table.name, columns, [(None, row.id) for row in rows])
