"""Pure: the SQLite schema of a replica, as docs/spec/replica.md defines it, from a schema and schema commands."""

from collections.abc import Iterable, Mapping
from typing import Any

from metadata.fieldtypes import literal, replica_type
from metadata.names import quote, replica_index_name
from metadata.schema import FieldSpec, ObjectSpec

USER_VERSION = 1
APPLICATION_ID = 0x4D4F4154

SYSTEM_COLUMNS: dict[str, tuple[str, ...]] = {
    "object_metadata": (
        *("id", "version", "table_name", "label", "label_plural", "icon"),
        *("title_field", "conflict_policy", "subtypes", "statuses", "fields", "json_schema"),
    ),
    "layout_definition": ("id", "version", "object_name", "object_type", "status", "label", "layout_json"),
}
"""Columns of the system tables, in order."""

SYSTEM_JSON_COLUMNS = frozenset({"subtypes", "statuses", "fields", "json_schema", "layout_json"})
"""Columns of the system tables that contain RFC 8785 text."""


def _system_table(name: str) -> str:
    columns = ", ".join(f"{quote(column)} TEXT" for column in SYSTEM_COLUMNS[name][2:])
    return f'CREATE TABLE {quote(name)} ("id" TEXT PRIMARY KEY NOT NULL, "version" INTEGER NOT NULL, {columns})'


SYSTEM_TABLES_SQL: list[str] = [
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {USER_VERSION}",
    _system_table("object_metadata"),
    _system_table("layout_definition"),
    'CREATE TABLE "sync_state" ("id" INTEGER PRIMARY KEY CHECK ("id" = 1), "tenant" TEXT NOT NULL, '
    '"channel" TEXT NOT NULL, "cursor" INTEGER NOT NULL, "state_hash" TEXT NOT NULL, '
    '"schema_version" INTEGER NOT NULL, "server_epoch" TEXT NOT NULL)',
]
"""Tables that every replica has before its first object type."""


def _column(field: FieldSpec) -> str:
    default = "" if field.default is None else f" DEFAULT {literal(field, 'sqlite')}"
    return f"{quote(field.name)} {replica_type(field)}{default}"


def _table(name: str, fields: Iterable[FieldSpec]) -> str:
    fixed = ['"id" TEXT PRIMARY KEY NOT NULL', '"version" INTEGER NOT NULL', '"object_type" TEXT', '"status" TEXT']
    return f"CREATE TABLE {name} ({', '.join([*fixed, *map(_column, fields)])})"


def _index(table: str, field: str) -> str:
    return f"CREATE INDEX {quote(replica_index_name(table, field))} ON {quote(table)} ({quote(field)})"


def create_table_sql(spec: ObjectSpec) -> list[str]:
    """Return the statements that create an object type's base table and its indexes."""
    indexes = [_index(spec.table_name, field.name) for field in spec.fields if field.has_index]
    return [_table(quote(spec.table_name), spec.fields), *indexes]


def command_sql(command: Mapping[str, Any], *, patched: bool = False) -> list[str]:
    """Return the statements of one schema command; with `patched`, for a client's replica with `_patched_` tables.

    Raises `ValueError` for an unknown command, `BadName` for a name not on the allow-list.
    """
    table = command["table"]
    bases = [quote(table), quote(f"_patched_{table}")] if patched else [quote(table)]
    match command["command"]:
        case "create_table":
            fields = [FieldSpec.from_record(column) for column in command["columns"]]
            return [*(_table(base, fields) for base in bases), *(_index(table, name) for name in command["indexes"])]
        case "add_column":
            column = _column(FieldSpec.from_record(command["column"]))
            return [f"ALTER TABLE {base} ADD COLUMN {column}" for base in bases]
        case "create_index":
            return [_index(table, command["field"])]
        case "drop_index":
            return [f"DROP INDEX {quote(replica_index_name(table, command['field']))}"]
        case "widen_column":
            return []  # SQLite's columns accept any value; only the codec changes
        case "retire_column":
            drop = f"DROP COLUMN {quote(command['field'])}"
            index = f"DROP INDEX IF EXISTS {quote(replica_index_name(table, command['field']))}"
            return [index, *(f"ALTER TABLE {base} {drop}" for base in bases)]
        case "retire_table":
            return [f"DROP TABLE {base}" for base in bases]
    raise ValueError(f"Unknown schema command {command['command']!r}.")
