"""The only module that changes tables at run time. Inside the caller's transaction, on both databases, so that it can be undone."""

from collections.abc import Iterable, Sequence

from django.db import DatabaseError, OperationalError, connection

from metadata.errors import DdlFailed
from metadata.introspection import type_tables
from metadata.operations import Operation
from metadata.sql import SYSTEM_COLUMNS, add_system_column, statements

LOCK_TIMEOUT = "3s"
_LOCK_NOT_AVAILABLE = "55P03"
_DEADLOCK = "40P01"


def render(tenant_id: int, operations: Iterable[Operation]) -> list[str]:
    """Return the statements of some operations for the database in use. Raises `BadName` rather than quote a strange name."""
    return [sql for operation in operations for sql in statements(operation, tenant_id, connection.vendor)]


def execute(sql: Sequence[str]) -> None:
    """Run statements made by `metadata.sql`, in order, in the caller's transaction.

    Raises `DdlFailed`: `busy` when a reader kept a table locked (the whole publish can be tried again), otherwise `ddl_failed`.
    """
    if not connection.in_atomic_block:
        raise DdlFailed("ddl_failed", "Tables are changed in a transaction only.")
    if not sql:
        return
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # A reader of one table must not stop every other reader behind our waiting lock.
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            # Rows written earlier in this transaction still wait for their foreign keys to be checked, and no table can be
            # altered while they do: check them now.
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        for statement in sql:
            try:
                cursor.execute(statement)
            except DatabaseError as error:
                raise _explained(error, statement) from error
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL lock_timeout = DEFAULT")


def _explained(error: DatabaseError, statement: str) -> DdlFailed:
    busy = isinstance(error, OperationalError) and (
        getattr(error.__cause__, "sqlstate", None) in (_LOCK_NOT_AVAILABLE, _DEADLOCK) or "locked" in str(error)
    )
    if busy:
        return DdlFailed("busy", "The table is being read and could not be locked; nothing was changed. Try again.")
    return DdlFailed(
        "ddl_failed",
        f"The database refused {statement!r}: {error}. Nothing was changed; check_objects tells what differs.",
    )


def add_system_columns() -> list[str]:
    """Give every type table the system columns it lacks, when a release brought new ones; return the tables. Run by migrations."""
    lacking = [
        (table, column)
        for table, facts in type_tables().items()
        for column in SYSTEM_COLUMNS[connection.vendor]
        if column[0] not in facts.columns
    ]
    with connection.cursor() as cursor:
        for table, column in lacking:
            cursor.execute(add_system_column(table, column))
    return sorted({table for table, _ in lacking})
