"""Reads of one state of the database that never wait for a writer and never make one wait.

PostgreSQL: a transaction REPEATABLE READ, READ ONLY on Django's connection. SQLite: Django's own transactions are
`BEGIN IMMEDIATE` and would lock writers out, so this opens a connection of its own, query only, with a deferred BEGIN
(WAL gives it one state for as long as it likes).
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, Protocol

from django.db import connection, transaction

from sync.records.read_pool import closing_with_thread

_local = threading.local()
Values = Sequence[Any]
FETCH = 2000


class Reader(Protocol):
    """One state of the database. Placeholders are `%s`; `schema` goes before the names of tables."""

    vendor: str
    schema: str

    def all(self, sql: str, params: Values = ()) -> list[tuple[Any, ...]]:
        """Return all rows."""

    def stream(self, sql: str, params: Values = ()) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the rows in chunks, without ever holding all of them in memory."""


class SQLiteReader:
    """Reads through a connection of the `sqlite3` module."""

    vendor = "sqlite"

    def __init__(self, raw: sqlite3.Connection, schema: str = "") -> None:
        self._raw = raw
        self.schema = schema

    def all(self, sql: str, params: Values = ()) -> list[tuple[Any, ...]]:
        """Return all rows."""
        return self._raw.execute(sql.replace("%s", "?"), params).fetchall()

    def stream(self, sql: str, params: Values = ()) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the rows in chunks."""
        with closing(self._raw.execute(sql.replace("%s", "?"), params)) as cursor:
            while chunk := cursor.fetchmany(FETCH):
                yield chunk


class PostgreSQLReader:
    """Reads through Django's connection, inside the transaction that is open."""

    vendor = "postgresql"
    schema = ""

    def all(self, sql: str, params: Values = ()) -> list[tuple[Any, ...]]:
        """Return all rows."""
        with connection.cursor() as cursor:
            cursor.execute(sql, list(params))
            return list(cursor.fetchall())

    def stream(self, sql: str, params: Values = ()) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the rows in chunks, from a cursor on the server."""
        with connection.chunked_cursor() as cursor:
            cursor.execute(sql, list(params))
            while chunk := cursor.fetchmany(FETCH):
                yield chunk


@contextmanager
def read_transaction() -> Iterator[Reader]:
    """Open a read of one state of the database; blocks nobody. Not to be nested."""
    if connection.vendor == "sqlite":
        with _sqlite() as raw:
            raw.execute("BEGIN")
            try:
                yield SQLiteReader(raw)
            finally:
                raw.rollback()
    else:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield PostgreSQLReader()


@contextmanager
def _sqlite() -> Iterator[sqlite3.Connection]:
    """Lend a connection; threads of a read pool keep theirs, because opening one parses the whole schema."""
    uri = database_uri()
    kept: tuple[str, sqlite3.Connection] | None = getattr(_local, "kept", None)
    if kept is not None and kept[0] == uri:
        yield kept[1]
        return
    raw = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=30, check_same_thread=False)
    if closing_with_thread(raw.close):
        _local.kept = (uri, raw)
        yield raw
    else:
        with closing(raw):
            yield raw


def database_uri() -> str:
    """Return the SQLite URI that opens the server's database for reading only."""
    name = str(connection.settings_dict["NAME"])
    return (
        f"{name}{'&' if '?' in name else '?'}mode=ro" if name.startswith("file:") else f"file:{_escaped(name)}?mode=ro"
    )


def _escaped(path: str) -> str:
    """Escape what a URI would take for something else."""
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
