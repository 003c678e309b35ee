"""What a replica's tables hold: columns and kinds, read from the file itself, and rows ⇄ records."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from moat_client.replica.ddl import quoted
from moat_client.wire.canonical import canonical_json
from moat_client.wire.codec import loads
from moat_client.wire.patch import Record
from moat_client.wire.schema import SYSTEM_COLUMNS, SYSTEM_JSON, Field, ObjectType
from moat_client.wire.values import from_sql, to_sql

DEFAULT_PLACES = 2
_CHUNK = 500


@dataclass(frozen=True)
class Table:
    """A synced table. Base columns come first; a column that `object_metadata` does not list is taken as text."""

    name: str
    columns: tuple[str, ...]
    kinds: Mapping[str, str]
    places: Mapping[str, int]
    object_type: ObjectType | None = None

    @cached_property
    def json_columns(self) -> tuple[tuple[int, str], ...]:
        """Positions and names of the columns that hold canonical JSON."""
        return tuple((n, c) for n, c in enumerate(self.columns) if self.kinds.get(c) == "json")

    @cached_property
    def column_list(self) -> str:
        """All columns, quoted."""
        return ", ".join(map(quoted, self.columns))

    @cached_property
    def upsert_sql(self) -> str:
        """The statement that writes a whole row."""
        rest = ", ".join(f"{quoted(c)} = excluded.{quoted(c)}" for c in self.columns[1:])
        marks = ", ".join("?" * len(self.columns))
        return f'INSERT INTO main.{quoted(self.name)} ({self.column_list}) VALUES ({marks}) ON CONFLICT ("id") DO UPDATE SET {rest}'

    def row(self, record: Mapping[str, Any]) -> list[Any]:
        """Return what is bound for a record of wire values; missing keys are null."""
        row = list(map(record.get, self.columns))
        for n, _ in self.json_columns:
            if row[n] is not None:
                row[n] = canonical_json(row[n])
        return row

    def value(self, column: str, wire: Any) -> Any:
        """Return what is bound for one column's wire value."""
        return to_sql(self.kinds.get(column, "text"), wire)

    def record(self, row: Sequence[Any]) -> Record:
        """Return the wire values of a row that was selected in the order of `columns`."""
        return {
            c: from_sql(self.kinds[c], v, decimal_places=self.places.get(c))
            for c, v in zip(self.columns, row, strict=True)
        }


@dataclass(frozen=True)
class Catalog:
    """Everything a replica has tables for."""

    tables: Mapping[str, Table]
    system: Mapping[str, Table]

    @cached_property
    def objects(self) -> list[ObjectType]:
        """Published object types that have a table here, by name."""
        found = [t.object_type for t in self.tables.values() if t.object_type]
        return sorted(found, key=lambda o: o.object_name)

    def synced(self, name: str) -> Table | None:
        """Return an object type's table or a system table."""
        return self.tables.get(name) or self.system.get(name)


def _system_table(name: str) -> Table:
    columns = SYSTEM_COLUMNS[name]
    kinds = {c: "json" if c in SYSTEM_JSON[name] else "text" for c in columns} | {"version": "integer"}
    return Table(name, columns, kinds, {})


SYSTEM = {name: _system_table(name) for name in SYSTEM_COLUMNS}


def catalog_key(con: sqlite3.Connection) -> tuple[Any, ...]:
    """Return a value that changes whenever the catalog may have changed."""
    cookie = con.execute("PRAGMA main.schema_version").fetchone()
    return (*cookie, *con.execute('SELECT count(*), total("version") FROM main."object_metadata"').fetchone())


def load_catalog(con: sqlite3.Connection) -> Catalog:
    """Read the catalog of an open replica."""
    types = {t.table_name: t for t in map(ObjectType.from_record, _metadata(con))}
    tables = {name: _table(con, name, types.get(name)) for name in base_tables(con)}
    return Catalog(tables, SYSTEM)


def _metadata(con: sqlite3.Connection) -> Iterable[dict[str, Any]]:
    columns = SYSTEM["object_metadata"].columns
    for row in con.execute(f'SELECT {", ".join(map(quoted, columns))} FROM main."object_metadata"'):
        record = dict(zip(columns, row, strict=True))
        yield record | {c: loads(record[c]) if record[c] else None for c in SYSTEM_JSON["object_metadata"]}


def base_tables(con: sqlite3.Connection) -> list[str]:
    """Return the names of the object types' tables in a replica or snapshot."""
    reserved = {*SYSTEM_COLUMNS, "sync_state", "overlays", "device_state"}
    found = con.execute("SELECT name FROM main.sqlite_master WHERE type = 'table' ORDER BY name")
    return [name for (name,) in found if name not in reserved and not name.startswith(("_", "sqlite_"))]


def _table(con: sqlite3.Connection, name: str, object_type: ObjectType | None) -> Table:
    columns = tuple(row[1] for row in con.execute(f"PRAGMA main.table_info({quoted(name)})"))
    fields: dict[str, Field] = object_type.by_name if object_type else {}
    kinds = {c: fields[c].kind if c in fields else "text" for c in columns} | {"version": "integer"}
    places = {
        n: DEFAULT_PLACES if f.decimal_places is None else f.decimal_places
        for n, f in fields.items()
        if f.kind == "decimal"
    }
    return Table(name, columns, kinds, places, object_type)


def read_records(
    con: sqlite3.Connection, table: Table, ids: Iterable[str], *, source: str | None = None
) -> dict[str, Record]:
    """Return base records by id (or those of `source`, a table with the same columns); absent ones are left out."""
    found: dict[str, Record] = {}
    wanted = list(ids)
    for at in range(0, len(wanted), _CHUNK):
        part = wanted[at : at + _CHUNK]
        marks = ", ".join("?" * len(part))
        rows = con.execute(
            f'SELECT {table.column_list} FROM main.{quoted(source or table.name)} WHERE "id" IN ({marks})', part
        )
        found |= {row[0]: table.record(row) for row in rows}
    return found
