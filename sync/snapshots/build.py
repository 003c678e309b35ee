"""Make a replica file (docs/spec/replica.md) from one state of the database: from nothing, or from an older file of the same channel.

Writers are never blocked. On SQLite the server's database is attached and rows are copied by SQLite itself.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.db import connection

from metadata.export import revisions
from metadata.names import quote
from metadata.replica_ddl import SYSTEM_COLUMNS, SYSTEM_TABLES_SQL, command_sql, create_table_sql
from metadata.schema import ObjectSpec, TenantSchema
from sync.catch_up import SchemaMoved, TenantState, schema_at, tenant_state
from sync.channels import Channel
from sync.columns import column_names, selected, system_row, table_of
from sync.digest import Digest, digest_of
from sync.reading import Reader, SQLiteReader, database_uri, read_transaction
from sync.row_frames import system_records

_ATTEMPTS = 5
_WASTED_PAGES = 0.25


@dataclass(frozen=True, slots=True)
class Built:
    """What a finished file holds: the tenant's state it shows, and count and digest of each table."""

    state: TenantState
    tables: dict[str, Digest]


@dataclass(frozen=True, slots=True)
class Base:
    """What the file to be refreshed shows."""

    cursor: int
    schema_version: int


def build(path: Path, channel: Channel, base: Base | None = None) -> Built:
    """Write a replica file at `path`; with `base`, `path` holds a copy of an older file, which is brought up to date."""
    for attempt in range(_ATTEMPTS):
        try:
            with closing(_open(path)) as target, _source(target) as reader:
                target.execute("BEGIN")
                state = tenant_state(reader, channel.tenant_id)
                schema = schema_at(state)
                _fill(target, reader, schema, base) if base is None else _refresh(target, reader, schema, base)
                _stamp(target, channel, state)
                target.execute("COMMIT")
                tables = _digests(target, schema)
                _compact(target)
                return Built(state, tables)
        except SchemaMoved:
            if attempt == _ATTEMPTS - 1:
                raise
            if base is None:
                path.unlink(missing_ok=True)
    raise AssertionError("unreachable")


def _open(path: Path) -> sqlite3.Connection:
    # The file is thrown away when anything fails, so it needs no journal.
    target = sqlite3.connect(path, isolation_level=None, uri=True)
    for pragma in ("journal_mode=MEMORY", "synchronous=OFF", "temp_store=MEMORY", "cache_size=-65536"):
        target.execute(f"PRAGMA {pragma}")
    return target


@contextmanager
def _source(target: sqlite3.Connection) -> Iterator[Reader]:
    """Open the one state of the database that the file will show."""
    if connection.vendor == "sqlite":
        target.execute("ATTACH DATABASE ? AS source", [database_uri()])
        yield SQLiteReader(target, "source.")
    else:
        with read_transaction() as reader:
            yield reader


def _fill(target: sqlite3.Connection, reader: Reader, schema: TenantSchema, base: None) -> None:
    for statement in SYSTEM_TABLES_SQL:
        target.execute(statement)
    for table in SYSTEM_COLUMNS:
        _copy_system(target, reader, schema.tenant_id, table, -1)
    for spec in schema.objects:
        create, *indexes = create_table_sql(spec)
        target.execute(create)
        _copy(target, reader, schema.tenant_id, spec, "")
        for index in indexes:
            target.execute(index)


def _refresh(target: sqlite3.Connection, reader: Reader, schema: TenantSchema, base: Base) -> None:
    for revision in revisions(schema.tenant_id, base.schema_version, schema.schema_version):
        for command in revision["commands"]:
            for statement in command_sql(command):
                target.execute(statement)
    for table in SYSTEM_COLUMNS:
        _copy_system(target, reader, schema.tenant_id, table, base.cursor)
    for spec in schema.objects:
        changed = f'"_cursor" > {int(base.cursor)}'
        source = f"{reader.schema}{table_of(schema.tenant_id, spec)}"
        ids = f'SELECT "id" FROM {source} WHERE {changed}'
        delete = f"DELETE FROM main.{quote(spec.table_name)} WHERE"
        if reader.vendor == "sqlite":
            target.execute(f'{delete} "id" IN ({ids})')
        else:
            for chunk in reader.stream(ids):
                target.executemany(f'{delete} "id" = ?', chunk)
        _copy(target, reader, schema.tenant_id, spec, f" AND {changed}")


def _copy(target: sqlite3.Connection, reader: Reader, tenant_id: int, spec: ObjectSpec, condition: str) -> None:
    """Copy the visible records of a type, in the order of their ids so that equal states make equal files."""
    columns = ", ".join(quote(name) for name in column_names(spec))
    insert = f"INSERT INTO main.{quote(spec.table_name)} ({columns})"
    select = f"SELECT {selected(spec, reader.vendor)} FROM {reader.schema}{table_of(tenant_id, spec)}"
    query = f'{select} WHERE NOT "_deleted"{condition} ORDER BY "id"'
    if reader.vendor == "sqlite":
        target.execute(f"{insert} {query}")
        return
    places = ", ".join("?" * len(column_names(spec)))
    for chunk in reader.stream(query):
        target.executemany(f"{insert} VALUES ({places})", chunk)


def _copy_system(target: sqlite3.Connection, reader: Reader, tenant_id: int, table: str, since: int) -> None:
    places = ", ".join("?" * len(SYSTEM_COLUMNS[table]))
    for record_id, version, deleted, data in system_records(reader, tenant_id, table, "cursor > %s", [since]):
        target.execute(f'DELETE FROM main.{quote(table)} WHERE "id" = ?', [record_id])
        if not deleted:
            target.execute(f"INSERT INTO main.{quote(table)} VALUES ({places})", system_row(table, record_id, version, data))


def _stamp(target: sqlite3.Connection, channel: Channel, state: TenantState) -> None:
    target.execute('DELETE FROM main."sync_state"')
    target.execute(
        'INSERT INTO main."sync_state" VALUES (1, ?, ?, ?, ?, ?, ?)',
        [state.slug, channel.key, state.cursor, state.state_hash.hex(), state.schema_version, state.server_epoch],
    )


def _digests(target: sqlite3.Connection, schema: TenantSchema) -> dict[str, Digest]:
    tables = [*SYSTEM_COLUMNS, *(spec.table_name for spec in schema.objects)]
    return {name: digest_of(target.execute(f'SELECT "id", "version" FROM main.{quote(name)}')) for name in tables}


def _compact(target: sqlite3.Connection) -> None:
    """Give back the room of what was deleted, when it is much."""
    if connection.vendor == "sqlite":
        target.execute("DETACH DATABASE source")
    free = target.execute("PRAGMA main.freelist_count").fetchone()[0]
    if free > _WASTED_PAGES * target.execute("PRAGMA main.page_count").fetchone()[0]:
        target.execute("VACUUM")
