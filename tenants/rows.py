"""Read a tenant's row below the ORM, always in one shape. Hot paths read it on every request."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db import connection

Fetch = Callable[[str, Sequence[Any]], Sequence[Sequence[Any]]]
"""Runs a SELECT with `%s` placeholders and returns all rows."""

FetchIn = Callable[[str, Sequence[Any]], Iterable[Sequence[Any]]]
"""Runs a SELECT that ends in `IN` for a list of values."""

_COLUMNS: Final = "id, slug, server_epoch, schema_version, cursor, state_hash, pruned_cursor, access_version"


@dataclass(frozen=True, slots=True)
class TenantRow:
    """A tenant's identity and counters as the database has them."""

    id: int
    slug: str
    server_epoch: str
    schema_version: int
    cursor: int
    state_hash: bytes
    pruned_cursor: int
    access_version: int


def fetch(statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Run a SELECT on Django's connection, in its transaction."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())


def read_tenant(key: int | str, *, using: Fetch = fetch, schema: str = "", lock: bool = False) -> TenantRow | None:
    """Read a tenant by ID (int) or slug (str); None if there is none.

    `using` runs the statement, on a connection of the caller's choice. `schema` precedes the table's name. `lock` adds
    `FOR UPDATE` where the database supports it.
    """
    column = "slug" if isinstance(key, str) else "id"
    statement = f"SELECT {_COLUMNS} FROM {schema}tenants_tenant WHERE {column} = %s"
    if lock and connection.features.has_select_for_update:
        statement += " FOR UPDATE"
    found = using(statement, [key])
    return _row(found[0]) if found else None


def read_tenants(tenant_ids: Sequence[int], using: FetchIn) -> dict[int, TenantRow]:
    """Read several tenants by ID in one statement; those that do not exist are missing from the result."""
    rows = map(_row, using(f"SELECT {_COLUMNS} FROM tenants_tenant WHERE id IN", tenant_ids))
    return {row.id: row for row in rows}


def _row(values: Sequence[Any]) -> TenantRow:
    # The drivers return bytes or memoryview for state_hash.
    pk, slug, epoch, schema_version, cursor, state_hash, pruned, access_version = values
    return TenantRow(pk, slug, epoch, schema_version, cursor, bytes(state_hash), pruned, access_version)
