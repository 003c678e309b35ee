"""Read transactions: consistent reads of one database state that neither wait for writers nor block them.

PostgreSQL: a REPEATABLE READ, READ ONLY transaction on Django's connection. SQLite: Django's own transactions are
`BEGIN IMMEDIATE` and would lock writers out, so this module opens a separate read-only connection with a deferred BEGIN
(in WAL mode it keeps reading one state until it ends).
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, Protocol

from django.db import connection, transaction

from sync.records.interrupts import check_interrupted, interruptible
from sync.records.read_pool import closing_with_thread

_local = threading.local()
Values = Sequence[Any]
FETCH = 2000
CANCEL_SECONDS = 5.0


class Reader(Protocol):
    """One state of the database. Placeholders are `%s`; `schema` is the prefix of table names."""

    vendor: str
    schema: str

    def all(self, sql: str, params: Values = ()) -> list[tuple[Any, ...]]:
        """Return all rows."""

    def stream(self, sql: str, params: Values = ()) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the rows in chunks; never hold all of them in memory."""


class SQLiteReader:
    """A reader on a connection of the `sqlite3` module."""

    vendor = "sqlite"

    def __init__(self, raw: sqlite3.Connection, schema: str = "") -> None:
        self._raw = raw
        self.schema = schema

    def all(self, sql: str, params: Values = ()) -> list[tuple[Any, ...]]:
        """Return all rows."""
        check_interrupted()
        return self._raw.execute(sql.replace("%s", "?"), params).fetchall()

    def stream(self, sql: str, params: Values = ()) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the rows in chunks."""
        check_interrupted()
        with closing(self._raw.execute(sql.replace("%s", "?"), params)) as cursor:
            while chunk := cursor.fetchmany(FETCH):
                yield chunk
                check_interrupted()


class PostgreSQLReader:
    """A reader on Django's connection, inside its open transaction."""

    vendor = "postgresql"
    schema = ""

    def all(self, sql: str, params: Values = ()) -> list[tuple[Any, ...]]:
        """Return all rows."""
        check_interrupted()
        with connection.cursor() as cursor:
            cursor.execute(sql, list(params))
            return list(cursor.fetchall())

    def stream(self, sql: str, params: Values = ()) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the rows in chunks, from a server-side cursor."""
        check_interrupted()
        with connection.chunked_cursor() as cursor:
            cursor.execute(sql, list(params))
            while chunk := cursor.fetchmany(FETCH):
                yield chunk
                check_interrupted()


@contextmanager
def read_transaction() -> Iterator[Reader]:
    """Open a read of one database state. It blocks no writer and must not be nested.

    In a thread of a read pool it is interrupted when its caller is gone.
    """
    if connection.vendor == "sqlite":
        with _sqlite() as raw, interruptible(raw.interrupt):
            raw.execute("BEGIN")
            try:
                yield SQLiteReader(raw)
            finally:
                raw.rollback()
    else:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            raw = connection.connection
            with interruptible(lambda: raw.cancel_safe(timeout=CANCEL_SECONDS)):
                yield PostgreSQLReader()


@contextmanager
def _sqlite() -> Iterator[sqlite3.Connection]:
    """Yield a connection. Threads of a read pool keep theirs, because opening one parses the whole schema."""
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
    """Return the SQLite URI that opens the server's database read-only."""
    name = str(connection.settings_dict["NAME"])
    return (
        f"{name}{'&' if '?' in name else '?'}mode=ro" if name.startswith("file:") else f"file:{_escaped(name)}?mode=ro"
    )


def _escaped(path: str) -> str:
    """Escape characters that have a meaning in a URI."""
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
