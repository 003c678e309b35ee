"""SQL statements below Django's ORM, on its connection and in its transaction, for SQLite and PostgreSQL.

The write path handles thousands of rows per second, so it builds its SQL once and sends rows in bulk: `executemany` on
SQLite, one statement over `unnest`ed arrays on PostgreSQL. Placeholders are `%s`; errors are raised as Django's. Table
and column names come from published, allow-listed names or from this package, never from a client.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from operator import attrgetter, methodcaller
from typing import Any, Final

from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper

_IN_SIZES: Final = (1, 4, 16, 64, 256, 512)


@dataclass(frozen=True, slots=True)
class Column:
    """A column to write: its name and its PostgreSQL type (SQLite needs none)."""

    name: str
    type: str


@cache
def postgresql() -> bool:
    """Return whether the database is PostgreSQL (otherwise it is SQLite). This never changes within a process."""
    return connection.vendor == "postgresql"


@lru_cache(maxsize=4096)
def _native(statement: str) -> str:
    return statement.replace("%s", "?")


def _connection() -> BaseDatabaseWrapper:
    """Return this thread's open connection.

    Django's proxy looks the connection up on each attribute access, so callers get the connection itself.
    """
    opened = connections[DEFAULT_DB_ALIAS]
    if opened.connection is None:
        opened.ensure_connection()
    return opened


def _execute(statement: str, parameters: Sequence[Any], result_of: Callable[[Any], Any]) -> Any:
    """Run a statement and return `result_of` the driver's cursor."""
    db = _connection()
    with db.wrap_database_errors:
        if postgresql():
            # Not db.connection.cursor(): Django's cursors interpolate in the client, which is slow for long arrays.
            cursor = db.Database.Cursor(db.connection)  # type: ignore[attr-defined]
            return result_of(cursor.execute(statement, parameters))
        return result_of(db.connection.execute(_native(statement), parameters))


def fetch(statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Run a SELECT and return all rows as the driver returns them."""
    rows: list[tuple[Any, ...]] = _execute(statement, parameters, methodcaller("fetchall"))
    return rows


def fetch_one(statement: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...] | None:
    """Run a SELECT and return its first row, or None."""
    row: tuple[Any, ...] | None = _execute(statement, parameters, methodcaller("fetchone"))
    return row


def run(statement: str, parameters: Sequence[Any] = ()) -> int:
    """Run a statement and return the number of rows it changed."""
    return int(_execute(statement, parameters, attrgetter("rowcount")))


def fetch_in(statement: str, values: Sequence[Any], before: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
    """Run a SELECT that ends in `IN` without its list, in chunks. `before` holds the parameters that precede the list.

    Lists are padded to a few sizes, so that only a few different statements are prepared.
    """
    if postgresql():
        if values:
            yield from fetch(f"{statement.removesuffix('IN')}= ANY(%s)", [*before, list(values)])
        return
    for start in range(0, len(values), _IN_SIZES[-1]):
        chunk = list(values[start : start + _IN_SIZES[-1]])
        size = next(size for size in _IN_SIZES if size >= len(chunk))
        chunk.extend(chunk[-1:] * (size - len(chunk)))
        yield from fetch(f"{statement} ({', '.join(['%s'] * size)})", [*before, *chunk])


def insert_many(table: str, columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows whose values are in the order of `columns`."""
    if postgresql():
        _run_arrays(_insert_arrays(table, tuple(columns)), rows)
    else:
        _run_each(_insert_one(table, tuple(columns)), rows)


def update_many(table: str, columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> None:
    """Update rows by the last of `columns` (the key); set the others."""
    if postgresql():
        _run_arrays(_update_arrays(table, tuple(columns)), rows)
    else:
        _run_each(_update_one(table, tuple(columns)), rows)


def _run_each(statement: str, rows: Sequence[Sequence[Any]]) -> None:
    db = _connection()
    with db.wrap_database_errors:
        db.connection.executemany(statement, rows)


def _run_arrays(statement: str, rows: Sequence[Sequence[Any]]) -> None:
    run(statement, [list(column) for column in zip(*rows, strict=True)])


@lru_cache(maxsize=4096)
def _insert_one(table: str, columns: tuple[Column, ...]) -> str:
    names = ", ".join(f'"{column.name}"' for column in columns)
    return f'INSERT INTO "{table}" ({names}) VALUES ({", ".join("?" * len(columns))})'


@lru_cache(maxsize=4096)
def _update_one(table: str, columns: tuple[Column, ...]) -> str:
    settings = ", ".join(f'"{column.name}" = ?' for column in columns[:-1])
    return f'UPDATE "{table}" SET {settings} WHERE "{columns[-1].name}" = ?'


def _arrays(columns: tuple[Column, ...]) -> str:
    # json arrays cannot be bound: bind text and cast each element.
    kinds = ", ".join(f"%s::{'text' if column.type == 'json' else column.type}[]" for column in columns)
    names = ", ".join(f'"{column.name}"' for column in columns)
    return f"unnest({kinds}) AS given({names})"


def _given(column: Column) -> str:
    return f'given."{column.name}"{"::json" if column.type == "json" else ""}'


@lru_cache(maxsize=4096)
def _insert_arrays(table: str, columns: tuple[Column, ...]) -> str:
    names = ", ".join(f'"{column.name}"' for column in columns)
    return f'INSERT INTO "{table}" ({names}) SELECT {", ".join(map(_given, columns))} FROM {_arrays(columns)}'


@lru_cache(maxsize=4096)
def _update_arrays(table: str, columns: tuple[Column, ...]) -> str:
    settings = ", ".join(f'"{column.name}" = {_given(column)}' for column in columns[:-1])
    key = columns[-1].name
    return f'UPDATE "{table}" SET {settings} FROM {_arrays(columns)} WHERE "{table}"."{key}" = given."{key}"'


def time_binder() -> Callable[[Any], Any]:
    """Return a function that turns an aware datetime into the value of a DateTimeField's column below the ORM."""
    if postgresql():
        return lambda moment: moment
    return lambda moment: moment.replace(tzinfo=None).isoformat(" ", "microseconds")
