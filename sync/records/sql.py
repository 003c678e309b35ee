"""Statements below Django's ORM, on its connection and in its transaction, for SQLite and PostgreSQL.

The write path handles thousands of rows a second, so it builds its SQL once and sends rows in bulk: `executemany` on
SQLite, one statement over `unnest`ed arrays on PostgreSQL. Parameters are `%s`; errors surface as Django's. Identifiers
given here come from published, allow-listed names or from this package, never from a client.
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
    """A column to write: its name, and its type on PostgreSQL (SQLite needs none)."""

    name: str
    type: str


@cache
def postgresql() -> bool:
    """Whether the database is PostgreSQL; otherwise it is SQLite. The same for the life of a process."""
    return connection.vendor == "postgresql"


@lru_cache(maxsize=4096)
def _native(statement: str) -> str:
    return statement.replace("%s", "?")


def _connection() -> BaseDatabaseWrapper:
    """Return this thread's connection, open. Each attribute of Django's proxy looks for it anew, so it is asked for once."""
    here = connections[DEFAULT_DB_ALIAS]
    if here.connection is None:
        here.ensure_connection()
    return here


def _execute(statement: str, parameters: Sequence[Any], take: Callable[[Any], Any]) -> Any:
    """Run a statement and return what `take` takes from the driver's cursor."""
    here = _connection()
    with here.wrap_database_errors:
        if postgresql():
            # Not here.connection.cursor(): Django's cursors interpolate in the client, which is slow for long arrays.
            return take(here.Database.Cursor(here.connection).execute(statement, parameters))  # type: ignore[attr-defined]
        return take(here.connection.execute(_native(statement), parameters))


def fetch(statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Run a SELECT and return all rows as the driver hands them out."""
    rows: list[tuple[Any, ...]] = _execute(statement, parameters, methodcaller("fetchall"))
    return rows


def fetch_one(statement: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...] | None:
    """Run a SELECT and return its first row, or None."""
    row: tuple[Any, ...] | None = _execute(statement, parameters, methodcaller("fetchone"))
    return row


def run(statement: str, parameters: Sequence[Any] = ()) -> int:
    """Run a statement and return how many rows it changed."""
    return int(_execute(statement, parameters, attrgetter("rowcount")))


def fetch_in(statement: str, values: Sequence[Any], before: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
    """Run a SELECT whose text ends in an `IN` without its list, in chunks; `before` are the parameters ahead of it.

    Lists are padded to a few sizes, so that few different statements have to be prepared.
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
    """Insert rows, values in the order of `columns`."""
    if postgresql():
        _run_arrays(_insert_arrays(table, tuple(columns)), rows)
    else:
        _run_each(_insert_one(table, tuple(columns)), rows)


def update_many(table: str, columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> None:
    """Update rows by the last of `columns` (their key), setting the others."""
    if postgresql():
        _run_arrays(_update_arrays(table, tuple(columns)), rows)
    else:
        _run_each(_update_one(table, tuple(columns)), rows)


def _run_each(statement: str, rows: Sequence[Sequence[Any]]) -> None:
    here = _connection()
    with here.wrap_database_errors:
        here.connection.executemany(statement, rows)


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
    # json has no array binding of its own: texts, cast one by one.
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
    """Return the function that turns an aware datetime into what a DateTimeField's column takes below the ORM."""
    if postgresql():
        return lambda moment: moment
    return lambda moment: moment.replace(tzinfo=None).isoformat(" ", "microseconds")
