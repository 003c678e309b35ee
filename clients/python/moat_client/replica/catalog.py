"""Read a replica's catalog and its records."""

import sqlite3
from collections.abc import Iterable
from typing import Any

from moat_client.replica.ddl import quoted
from moat_client.replica.tables import DEFAULT_PLACES, SYSTEM, Catalog, Table
from moat_client.wire.codec import loads
from moat_client.wire.patch import Record
from moat_client.wire.schema import SYSTEM_COLUMNS, SYSTEM_JSON, Field, ObjectType

_CHUNK = 500


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
    """Return existing records by ID from the base table, or from `source`, a table with the same columns."""
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
