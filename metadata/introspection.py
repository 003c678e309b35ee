"""The type tables as they exist in the database, read from its catalog."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from django.db import connection


@dataclass(frozen=True, slots=True)
class IndexFacts:
    """An index: its columns, whether it is unique, and whether it covers only live records."""

    columns: tuple[str, ...]
    unique: bool
    partial: bool


@dataclass(slots=True)
class TableFacts:
    """A table: column types by name, indexes by name, and (column, target table) of its deferred foreign keys."""

    columns: dict[str, str] = field(default_factory=dict)
    indexes: dict[str, IndexFacts] = field(default_factory=dict)
    links: set[tuple[str, str]] = field(default_factory=set)


_SQLITE_TABLES = "sqlite_master m WHERE m.type = 'table' AND m.name GLOB 't[0-9]*_*'"
_SQLITE = {
    "columns": f"""SELECT m.name, c.name, c.type FROM pragma_table_info(m.name) c, {_SQLITE_TABLES}
        ORDER BY m.name, c.cid""",
    "indexes": f"""SELECT m.name, i.name, c.name, i."unique", i.partial
        FROM pragma_index_list(m.name) i, pragma_index_info(i.name) c,
        {_SQLITE_TABLES} AND i.origin = 'c' ORDER BY m.name, i.name, c.seqno""",
    "links": f"""SELECT m.name, f."from", f."table" FROM pragma_foreign_key_list(m.name) f, {_SQLITE_TABLES}""",
}
_POSTGRESQL_TABLES = (
    "pg_class t WHERE t.relkind = 'r' AND t.relnamespace = current_schema()::regnamespace AND t.relname ~ '^t[0-9]+_'"
)
_POSTGRESQL = {
    "columns": f"""SELECT t.relname, a.attname, format_type(a.atttypid, a.atttypmod)
        FROM pg_attribute a, {_POSTGRESQL_TABLES}
        AND a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY t.relname, a.attnum""",
    "indexes": f"""SELECT t.relname, i.relname, a.attname, x.indisunique, x.indpred IS NOT NULL
        FROM pg_index x, pg_class i, pg_attribute a, {_POSTGRESQL_TABLES}
        AND x.indrelid = t.oid AND i.oid = x.indexrelid AND a.attrelid = i.oid AND NOT x.indisprimary AND x.indisvalid
        ORDER BY t.relname, i.relname, a.attnum""",
    "links": f"""SELECT t.relname, a.attname, p.relname
        FROM pg_constraint c, pg_class p, pg_attribute a, {_POSTGRESQL_TABLES}
        AND c.conrelid = t.oid AND c.contype = 'f' AND c.condeferred AND p.oid = c.confrelid
        AND a.attrelid = t.oid AND a.attnum = c.conkey[1]""",
}


def type_tables() -> dict[str, TableFacts]:
    """Return all tables, of any tenant, whose name is that of a type table."""
    queries = _POSTGRESQL if connection.vendor == "postgresql" else _SQLITE
    tables: dict[str, TableFacts] = defaultdict(TableFacts)
    for table, column, kind in _rows(queries["columns"]):
        tables[table].columns[column] = kind
    for table, index, column, unique, partial in _rows(queries["indexes"]):
        before = tables[table].indexes.get(index)
        columns = (*(before.columns if before else ()), column)
        tables[table].indexes[index] = IndexFacts(columns, bool(unique), bool(partial))
    for table, column, target in _rows(queries["links"]):
        tables[table].links.add((column, target))
    return dict(tables)


def _rows(query: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())
