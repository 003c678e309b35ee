"""The replica's file and its two connections: one that writes, and one that only reads and sees the live views."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from moat_client.errors import NotAReplica
from moat_client.private_files import create_private, make_database_private
from moat_client.replica.catalog import base_tables, catalog_key, load_catalog
from moat_client.replica.ddl import (
    APPLICATION_ID,
    LOCAL_TABLES_SQL,
    RECENT_SQL,
    SYSTEM_TABLES_SQL,
    USER_VERSION,
    live_view_sql,
    patched_name,
    patched_table_sql,
)
from moat_client.replica.tables import Catalog
from moat_client.wire.position import Position

BUSY_SECONDS = 30.0
_EMPTY_POSITION = Position()


@dataclass(slots=True)
class Writing:
    """One write transaction.

    `touched` names the tables whose visible rows may have changed; `new_ops` says whether there are ops to push.
    """

    con: sqlite3.Connection
    touched: set[str] = field(default_factory=set)
    new_ops: bool = False


@dataclass(slots=True)
class _Cached:
    key: tuple[object, ...] | None = None
    catalog: Catalog | None = None


class Store:
    """Open or create a replica file. Safe to use from several threads; several processes may open one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._write_lock = threading.RLock()
        self._read_lock = threading.RLock()
        self._writing: Writing | None = None
        self._catalog = _Cached()
        self._read_catalog = _Cached()
        self.on_commit: Callable[[Writing], None] = lambda writing: None
        create_private(path)
        self._writer = self._connect()
        try:
            self._prepare()
        except sqlite3.DatabaseError as problem:
            self._writer.close()
            raise NotAReplica(f"Can't open {path}: {problem}") from problem
        except BaseException:
            self._writer.close()
            raise
        self._reader = self._connect()
        _tune(self._reader)
        self._reader.execute("PRAGMA query_only = 1")

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)

    def _prepare(self) -> None:
        con = self._writer
        _tune(con)
        check_header(con)
        make_database_private(self.path)
        con.execute("PRAGMA journal_mode = WAL")
        con.execute("PRAGMA synchronous = FULL")
        con.execute("BEGIN IMMEDIATE")
        try:
            prepare_schema(con)
            con.execute("COMMIT")
        except BaseException:
            con.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Close both connections, after a transaction in progress."""
        with self._write_lock, self._read_lock:
            self._reader.close()
            self._writer.close()

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Writing]:
        """Run one write transaction; join the one already open on this thread, if any.

        A `durable` transaction survives a power cut once this returns. Others, for data the server would send again,
        survive a killed process and never become visible before an earlier transaction is safe.
        """
        with self._write_lock:
            if self._writing is not None:
                yield self._writing
                return
            con = self._writer
            con.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            con.execute("BEGIN IMMEDIATE")
            writing = self._writing = Writing(con)
            try:
                yield writing
                con.execute("COMMIT")
            except BaseException:
                self._catalog = _Cached()
                if con.in_transaction:
                    con.execute("ROLLBACK")
                raise
            finally:
                self._writing = None
        self.on_commit(writing)

    @contextmanager
    def exclusive(self) -> Iterator[sqlite3.Connection]:
        """Hold the writing connection outside any transaction, to copy a snapshot over the file."""
        with self._write_lock, self._read_lock:
            yield self._writer
        self.on_commit(Writing(self._writer, {"*"}))

    def catalog(self) -> Catalog:
        """Return the tables as the writing connection sees them, even within its transaction."""
        with self._write_lock:
            key = catalog_key(self._writer)
            if self._catalog.catalog is None or self._catalog.key != key:
                self._catalog = _Cached(key, load_catalog(self._writer))
            return self._catalog.catalog or load_catalog(self._writer)

    def data_version(self) -> int:
        """Return a number that changes when another process commits; -1 during a transaction of this one."""
        if not self._write_lock.acquire(blocking=False):
            return -1
        try:
            return int(self._writer.execute("PRAGMA data_version").fetchone()[0])
        finally:
            self._write_lock.release()

    @contextmanager
    def read(self) -> Iterator[tuple[sqlite3.Connection, Catalog]]:
        """Query one consistent state: plain table names are live views, `main."jobs"` is the base table."""
        with self._read_lock:
            con = self._reader
            if con.in_transaction:  # a nested read on the same thread sees the same state
                yield con, self._live_views(con)
                return
            con.execute("BEGIN")
            try:
                yield con, self._live_views(con)
            finally:
                if con.in_transaction:
                    con.execute("COMMIT")

    def _live_views(self, con: sqlite3.Connection) -> Catalog:
        key = catalog_key(con)
        if self._read_catalog.key == key and self._read_catalog.catalog is not None:
            return self._read_catalog.catalog
        catalog = load_catalog(con)
        con.execute("PRAGMA query_only = 0")
        for (name,) in con.execute("SELECT name FROM temp.sqlite_master WHERE type = 'view'").fetchall():
            con.execute(f'DROP VIEW temp."{name}"')
        for table in catalog.tables.values():
            con.execute(live_view_sql(table.name, table.columns))
        con.execute("PRAGMA query_only = 1")
        self._read_catalog = _Cached(key, catalog)
        return catalog


def _tune(con: sqlite3.Connection) -> None:
    con.execute("PRAGMA trusted_schema = OFF")
    con.execute("PRAGMA cache_size = -16000")


def check_header(con: sqlite3.Connection) -> None:
    """Raise NotAReplica unless the file is new or a replica this client can read."""
    application = con.execute("PRAGMA application_id").fetchone()[0]
    tables = con.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if application != APPLICATION_ID and (tables or application):
        raise NotAReplica("This file is not a Moat replica.")
    if con.execute("PRAGMA user_version").fetchone()[0] > USER_VERSION:
        raise NotAReplica("This file was written by a newer client. Update this one.")


def prepare_schema(con: sqlite3.Connection) -> None:
    """Create what is missing: everything in a new file, the local tables in a snapshot."""
    have = {name for (name,) in con.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "sync_state" not in have:
        con.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        con.execute(f"PRAGMA user_version = {USER_VERSION}")
        for sql in SYSTEM_TABLES_SQL:
            con.execute(sql)
        write_position(con, _EMPTY_POSITION)
    if "overlays" not in have:
        for sql in LOCAL_TABLES_SQL:
            con.execute(sql)
    if "_recent" not in have:
        con.execute(RECENT_SQL)
    for table in base_tables(con):
        if patched_name(table) not in have:
            made = con.execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", [table]).fetchone()[0]
            con.execute(patched_table_sql(table, made))


def read_position(con: sqlite3.Connection) -> Position:
    """Return the replica's position."""
    found = con.execute(
        'SELECT "tenant", "channel", "cursor", "state_hash", "schema_version", "server_epoch" FROM main."sync_state"'
    ).fetchone()
    return Position(*found) if found else _EMPTY_POSITION


def write_position(con: sqlite3.Connection, position: Position) -> None:
    """Set the replica's position."""
    con.execute(
        'INSERT OR REPLACE INTO main."sync_state" ("id", "tenant", "channel", "cursor", "state_hash", '
        '"schema_version", "server_epoch") '
        "VALUES (1, ?, ?, ?, ?, ?, ?)",
        [
            position.tenant,
            position.channel,
            position.cursor,
            position.state_hash,
            position.schema_version,
            position.server_epoch,
        ],
    )


def get_state(con: sqlite3.Connection, key: str, default: str = "") -> str:
    """Return a value of `device_state`."""
    found = con.execute('SELECT "value" FROM main."device_state" WHERE "key" = ?', [key]).fetchone()
    return default if found is None or found[0] is None else str(found[0])


def set_state(con: sqlite3.Connection, key: str, value: str | int) -> None:
    """Set a value of `device_state`."""
    con.execute('INSERT OR REPLACE INTO main."device_state" ("key", "value") VALUES (?, ?)', [key, str(value)])


def next_number(con: sqlite3.Connection, key: str) -> int:
    """Return the next number of a counter that starts at 1 and never repeats, and advance it."""
    number = int(get_state(con, key, "1"))
    set_state(con, key, number + 1)
    return number
