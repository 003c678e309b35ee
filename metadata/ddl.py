"""The only module that changes tables at run time, inside the caller's transaction, so that a rollback undoes it."""

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
    """Return the SQL of the operations for the current database. Raises `BadName` for names not on the allow-list."""
    return [sql for operation in operations for sql in statements(operation, tenant_id, connection.vendor)]


def execute(sql: Sequence[str]) -> None:
    """Run statements created by `metadata.sql`, in order, in the caller's transaction.

    Raises `DdlFailed`: `busy` if a reader kept a table locked and the publish can be retried; otherwise `ddl_failed`.
    """
    if not connection.in_atomic_block:
        raise DdlFailed("ddl_failed", "Tables can only be changed inside a transaction.")
    if not sql:
        return
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # While this statement waits for one reader, it must not block all other readers behind it.
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            # Rows written earlier in this transaction have pending foreign key checks, which block ALTER TABLE. Run
            # them now.
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
        return DdlFailed("busy", "The table is in use and couldn’t be locked. Nothing was changed. Try again.")
    return DdlFailed(
        "ddl_failed",
        f"The database rejected {statement!r}: {error}. Nothing was changed. "
        "Run manage.py check_objects to see what differs.",
    )


def add_system_columns() -> list[str]:
    """Add system columns that a new release introduced to every type table that lacks them; return the tables.

    Called by migrations.
    """
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
