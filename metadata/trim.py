"""Permanently drop retired columns and tables."""

from dataclasses import dataclass

from django.db import connection

from metadata import ddl
from metadata.catalog import published_types
from metadata.drafts import published_spec
from metadata.introspection import type_tables
from metadata.models import ObjectMetadata
from metadata.names import quote
from metadata.schema import physical_name
from metadata.sql import drop_column, drop_table
from tenants.locks import tenant_transaction


@dataclass(frozen=True, slots=True)
class Remnant:
    """A retired column, or table if `column` is None, that still exists, and its number of values or records."""

    table: str
    column: str | None
    count: int

    def words(self) -> str:
        """Describe it in one line."""
        if self.column is None:
            return f"table {self.table} with {self.count} record{'' if self.count == 1 else 's'}"
        return f"column {self.table}.{self.column} with {self.count} value{'' if self.count == 1 else 's'}"


def remnants(tenant_id: int) -> list[Remnant]:
    """Return what `trim` would drop of a tenant: columns first, then tables."""
    tables = type_tables()
    found: list[Remnant] = []
    for row in published_types(tenant_id):
        spec = published_spec(row)
        facts = tables.get(physical_name(tenant_id, spec.table_name)) if spec else None
        if spec is None or facts is None:
            continue
        if row.retired_version is not None:
            found.append(Remnant(spec.table_name, None, _count(tenant_id, spec.table_name, "id")))
        else:
            found.extend(
                Remnant(spec.table_name, name, _count(tenant_id, spec.table_name, name))
                for name in _retired_names(row)
                if name in facts.columns
            )
    return sorted(found, key=lambda remnant: (remnant.column is None, remnant.table, remnant.column or ""))


def trim(tenant_id: int) -> list[Remnant]:
    """Drop every remnant of a tenant in one transaction; return what was dropped. Raises `DdlFailed`."""
    with tenant_transaction(tenant_id):
        found = remnants(tenant_id)
        gone = [remnant.table for remnant in found if remnant.column is None]
        sql = [drop_column(tenant_id, remnant.table, remnant.column) for remnant in found if remnant.column is not None]
        ddl.execute([*sql, *_drop_tables(tenant_id, gone)])
    return found


def _drop_tables(tenant_id: int, tables: list[str]) -> list[str]:
    drops = [drop_table(tenant_id, table) for table in tables]
    if connection.vendor == "postgresql":
        return [
            f"{drop} CASCADE" for drop in drops
        ]  # drops foreign keys that refer to it, but no rows and no other table
    # SQLite has no CASCADE, and checks whether rows of a dropped table are still referenced.
    return [*(f"DELETE FROM {quote(physical_name(tenant_id, table))}" for table in tables), *drops]


def _retired_names(row: ObjectMetadata) -> list[str]:
    return [field["name"] for field in row.retired_fields]


def _count(tenant_id: int, table: str, column: str) -> int:
    name = quote(physical_name(tenant_id, table))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count({name}.{quote(column)}) FROM {name}")
        row = cursor.fetchone()
    return int(row[0]) if row else 0
