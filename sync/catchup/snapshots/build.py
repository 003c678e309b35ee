"""Build a replica file (docs/spec/replica.md) from one database state: new, or from an older file of the same channel.

Writers are never blocked. On SQLite the server's database is attached, and SQLite itself copies the rows.
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
from sync.catchup.digest import digest_of
from sync.catchup.digest_index import Digest
from sync.catchup.plan import SchemaChanged, in_channel, schema_at, tenant_state
from sync.channels import view
from sync.channels.channel import Channel
from sync.channels.projection import project_commands
from sync.records.columns import column_names, selected, system_row, table_of
from sync.records.read_transaction import Reader, SQLiteReader, database_uri, read_transaction
from sync.records.system_rows import system_records
from tenants.rows import TenantRow

_ATTEMPTS = 5
_WASTED_PAGES = 0.25


@dataclass(frozen=True, slots=True)
class Built:
    """A finished file: the tenant's state it shows, and count and digest of each table."""

    state: TenantRow
    tables: dict[str, Digest]


@dataclass(frozen=True, slots=True)
class Base:
    """The state of the file to be refreshed."""

    cursor: int
    schema_version: int


def build(path: Path, channel: Channel, base: Base | None = None) -> Built:
    """Write a replica file at `path`. With `base`, `path` holds a copy of an older file, which is updated."""
    for attempt in range(_ATTEMPTS):
        try:
            with closing(_open(path, channel)) as target:
                state, schema = _fill_or_refresh(target, channel, base)
                state = in_channel(channel, state)
                _stamp(target, channel, state)
                tables = _digests(target, view.specs(channel, schema))
                _compact(target)
                return Built(state, tables)
        except SchemaChanged:
            if attempt == _ATTEMPTS - 1:
                raise
            if base is None:
                path.unlink(missing_ok=True)
    raise AssertionError("unreachable")


def _fill_or_refresh(target: sqlite3.Connection, channel: Channel, base: Base | None) -> tuple[TenantRow, TenantSchema]:
    with _source(target) as reader:
        target.execute("BEGIN")
        state = tenant_state(reader, channel.tenant_id)
        schema = schema_at(state)
        source = _From(reader, channel, schema)
        _fill(target, source) if base is None else _refresh(target, source, base)
        target.execute("COMMIT")
    return state, schema


def _open(path: Path, channel: Channel) -> sqlite3.Connection:
    # If anything fails the file is discarded, so it needs no journal.
    target = sqlite3.connect(path, isolation_level=None, uri=True)
    for pragma in ("journal_mode=MEMORY", "synchronous=OFF", "temp_store=MEMORY", "cache_size=-65536"):
        target.execute(f"PRAGMA {pragma}")
    if channel.filtered:
        # Records that left the channel must not remain in free pages of a file that clients download.
        target.execute("PRAGMA secure_delete=ON")
    return target


@contextmanager
def _source(target: sqlite3.Connection) -> Iterator[Reader]:
    """Open one state of the database, which the file will show."""
    if connection.vendor == "sqlite":
        target.execute("ATTACH DATABASE ? AS source", [database_uri()])
        yield SQLiteReader(target, "source.")
    else:
        with read_transaction() as reader:
            yield reader


@dataclass(frozen=True, slots=True)
class _From:
    """One state of the database, and the channel through which the file shows it."""

    reader: Reader
    channel: Channel
    schema: TenantSchema

    @property
    def specs(self) -> list[ObjectSpec]:
        """The object types that the channel shows."""
        return view.specs(self.channel, self.schema)


def _fill(target: sqlite3.Connection, source: _From) -> None:
    for statement in SYSTEM_TABLES_SQL:
        target.execute(statement)
    for table in SYSTEM_COLUMNS:
        _copy_system(target, source, table, -1)
    for spec in source.specs:
        create, *indexes = create_table_sql(spec)
        target.execute(create)
        _copy(target, source, spec, "")
        for index in indexes:
            target.execute(index)


def _refresh(target: sqlite3.Connection, source: _From, base: Base) -> None:
    reader, tenant_id, rules = source.reader, source.schema.tenant_id, source.channel.rules
    for revision in revisions(tenant_id, base.schema_version, source.schema.schema_version):
        for command in revision["commands"] if rules is None else project_commands(revision["commands"], rules):
            for statement in command_sql(command):
                target.execute(statement)
    for table in SYSTEM_COLUMNS:
        _copy_system(target, source, table, base.cursor)
    for spec in source.specs:
        changed = f'"_cursor" > {int(base.cursor)}'
        # All changed records, visible or not: a record leaves a channel with a change of its own or with a reroute.
        ids = f'SELECT "id" FROM {reader.schema}{table_of(tenant_id, spec)} WHERE {changed}'
        delete = f"DELETE FROM main.{quote(spec.table_name)} WHERE"
        if reader.vendor == "sqlite":
            target.execute(f'{delete} "id" IN ({ids})')
        else:
            for chunk in reader.stream(ids):
                target.executemany(f'{delete} "id" = ?', chunk)
        _copy(target, source, spec, f" AND {changed}")


def _copy(target: sqlite3.Connection, source: _From, spec: ObjectSpec, condition: str) -> None:
    """Copy the visible records of a type, ordered by ID so that equal states make equal files."""
    reader, tenant_id = source.reader, source.schema.tenant_id
    visible, values = view.condition(source.channel, source.schema, spec.table_name, reader.vendor)
    columns = ", ".join(quote(name) for name in column_names(spec))
    insert = f"INSERT INTO main.{quote(spec.table_name)} ({columns})"
    select = f"SELECT {selected(spec, reader.vendor)} FROM {reader.schema}{table_of(tenant_id, spec)}"
    query = f'{select} WHERE NOT "_deleted"{condition} AND ({visible}) ORDER BY "id"'
    if reader.vendor == "sqlite":
        target.execute(f"{insert} {query.replace('%s', '?')}", values)
        return
    placeholders = ", ".join("?" * len(column_names(spec)))
    for chunk in reader.stream(query, values):
        target.executemany(f"{insert} VALUES ({placeholders})", chunk)


def _copy_system(target: sqlite3.Connection, source: _From, table: str, since: int) -> None:
    placeholders = ", ".join("?" * len(SYSTEM_COLUMNS[table]))
    found = system_records(source.reader, source.schema.tenant_id, table, "cursor > %s", [since])
    for record_id, version, deleted, data in view.system_rows(source.channel, table, found):
        target.execute(f'DELETE FROM main.{quote(table)} WHERE "id" = ?', [record_id])
        if not deleted:
            target.execute(
                f"INSERT INTO main.{quote(table)} VALUES ({placeholders})", system_row(table, record_id, version, data)
            )


def _stamp(target: sqlite3.Connection, channel: Channel, state: TenantRow) -> None:
    target.execute('DELETE FROM main."sync_state"')
    target.execute(
        'INSERT INTO main."sync_state" VALUES (1, ?, ?, ?, ?, ?, ?)',
        [state.slug, channel.key, state.cursor, state.state_hash.hex(), state.schema_version, state.server_epoch],
    )


def _digests(target: sqlite3.Connection, specs: list[ObjectSpec]) -> dict[str, Digest]:
    tables = [*SYSTEM_COLUMNS, *(spec.table_name for spec in specs)]
    return {name: digest_of(target.execute(f'SELECT "id", "version" FROM main.{quote(name)}')) for name in tables}


def _compact(target: sqlite3.Connection) -> None:
    """Vacuum the file if many of its pages are free."""
    if connection.vendor == "sqlite":
        target.execute("DETACH DATABASE source")
    free = target.execute("PRAGMA main.freelist_count").fetchone()[0]
    if free > _WASTED_PAGES * target.execute("PRAGMA main.page_count").fetchone()[0]:
        target.execute("VACUUM")
