"""The replica's own SQLite schema, and the SQL of a schema command (docs/spec/replica.md).

Pure: no I/O, clock, or randomness.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from moat_client.wire.canonical import canonical_json, number_text
from moat_client.wire.schema import Field

APPLICATION_ID = 0x4D4F4154
USER_VERSION = 1
AFFINITY = {"integer": "INTEGER", "boolean": "INTEGER", "real": "REAL", "decimal": "NUMERIC"}

SYSTEM_TABLES_SQL = (
    'CREATE TABLE "object_metadata" ("id" TEXT PRIMARY KEY NOT NULL, "version" INTEGER NOT NULL, "table_name" TEXT, '
    '"label" TEXT, "label_plural" TEXT, "icon" TEXT, "title_field" TEXT, "conflict_policy" TEXT, "subtypes" TEXT, '
    '"statuses" TEXT, "fields" TEXT, "json_schema" TEXT)',
    'CREATE TABLE "layout_definition" ("id" TEXT PRIMARY KEY NOT NULL, "version" INTEGER NOT NULL, "object_name" TEXT, '
    '"object_type" TEXT, "status" TEXT, "label" TEXT, "layout_json" TEXT)',
    'CREATE TABLE "sync_state" ("id" INTEGER PRIMARY KEY CHECK ("id" = 1), "tenant" TEXT NOT NULL, '
    '"channel" TEXT NOT NULL, "cursor" INTEGER NOT NULL, "state_hash" TEXT NOT NULL, '
    '"schema_version" INTEGER NOT NULL, "server_epoch" TEXT NOT NULL)',
)
LOCAL_TABLES_SQL = (
    'CREATE TABLE "overlays" ("op_id" INTEGER PRIMARY KEY, "tx" TEXT, "table_name" TEXT NOT NULL, '
    '"record_id" TEXT NOT NULL, "op" TEXT NOT NULL, "payload" TEXT, "base_version" INTEGER NOT NULL, '
    '"schema_version" INTEGER NOT NULL, "created_at" TEXT NOT NULL, "state" TEXT NOT NULL DEFAULT \'pending\', '
    '"acked_cursor" INTEGER, "settles" TEXT, "code" TEXT, "message" TEXT, "details" TEXT)',
    'CREATE INDEX "ix_overlays_record" ON "overlays" ("table_name", "record_id")',
    'CREATE INDEX "ix_overlays_state" ON "overlays" ("state", "acked_cursor")',
    'CREATE TABLE "device_state" ("key" TEXT PRIMARY KEY NOT NULL, "value" TEXT)',
)
# Not part of the spec: the newest change lines, for processes that follow the file without syncing it.
RECENT_SQL = 'CREATE TABLE "_recent" ("cursor" INTEGER PRIMARY KEY, "line" TEXT NOT NULL)'
RECENT_LINES = 1000
SYSTEM_TABLES = ("object_metadata", "layout_definition", "sync_state", "overlays", "device_state")


def quoted(name: str) -> str:
    """Return a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(field: Field) -> str:
    """Return a field's default as an SQL literal, stored as the column stores values of its kind."""
    value = field.default
    if field.kind == "json":
        value = canonical_json(value)
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return number_text(value)
    return "'" + str(value).replace("'", "''") + "'"


def column_sql(field: Field) -> str:
    """Return the SQL definition of a field's column."""
    default = "" if field.default is None else f" DEFAULT {literal(field)}"
    return f"{quoted(field.name)} {AFFINITY.get(field.kind, 'TEXT')}{default}"


def patched_name(table: str) -> str:
    """Return the name of the table that holds a table's patched rows."""
    return f"_patched_{table}"


def index_name(table: str, field: str) -> str:
    """Return the name of the index on a field."""
    return f"ix_{table}__{field}"


def table_sql(name: str, fields: Iterable[Field]) -> str:
    """Return the CREATE TABLE of a base table or, by its name, of a `_patched_` table."""
    fixed = '"id" TEXT PRIMARY KEY NOT NULL, "version" INTEGER NOT NULL, "object_type" TEXT, "status" TEXT'
    return f"CREATE TABLE {quoted(name)} ({', '.join([fixed, *map(column_sql, fields)])})"


def index_sql(table: str, field: str) -> str:
    """Return the CREATE INDEX on a field."""
    return f"CREATE INDEX {quoted(index_name(table, field))} ON {quoted(table)} ({quoted(field)})"


def command_sql(command: Mapping[str, Any]) -> list[str]:
    """Return the statements of a schema command, in order; raise ValueError for an unknown command.

    `widen_column` needs no statement: the column keeps its affinity.
    """
    kind, table = str(command["command"]), str(command["table"])
    if kind == "create_table":
        fields = [Field.from_record(column) for column in command["columns"]]
        tables = [table_sql(table, fields), table_sql(patched_name(table), fields)]
        return tables + [index_sql(table, name) for name in command.get("indexes") or ()]
    if kind == "add_column":
        column = column_sql(Field.from_record(command["column"]))
        return [f"ALTER TABLE {quoted(name)} ADD COLUMN {column}" for name in (table, patched_name(table))]
    if kind == "create_index":
        return [index_sql(table, str(command["field"]))]
    if kind == "drop_index":
        return [f"DROP INDEX {quoted(index_name(table, str(command['field'])))}"]
    if kind == "widen_column":
        return []
    if kind == "retire_column":
        field = str(command["field"])
        drop = [f"ALTER TABLE {quoted(name)} DROP COLUMN {quoted(field)}" for name in (table, patched_name(table))]
        return [f"DROP INDEX IF EXISTS {quoted(index_name(table, field))}", *drop]
    if kind == "retire_table":
        return [f"DROP TABLE {quoted(name)}" for name in (table, patched_name(table))]
    raise ValueError(f"unknown schema command {kind!r}")


def live_view_sql(table: str, columns: Iterable[str]) -> str:
    """Return the temporary view that shows a table with the user's local edits."""
    names = ", ".join(map(quoted, columns))
    text = table.replace("'", "''")
    return (
        f"CREATE TEMP VIEW {quoted(table)} AS SELECT {names} FROM main.{quoted(table)} b "
        f'WHERE NOT EXISTS (SELECT 1 FROM main."overlays" o WHERE o."table_name" = \'{text}\' '
        'AND o."record_id" = b."id" AND o."state" IN (\'pending\',\'acked\')) '
        f"UNION ALL SELECT {names} FROM main.{quoted(patched_name(table))}"
    )


def patched_table_sql(table: str, base_sql: str) -> str:
    """Return the CREATE TABLE of a `_patched_` table, from its base table's in a snapshot; raise ValueError."""
    head = f"CREATE TABLE {quoted(table)} "
    if not base_sql.startswith(head):
        raise ValueError(f"{table}: unexpected definition")
    return f"CREATE TABLE {quoted(patched_name(table))} {base_sql.removeprefix(head)}"
