"""Pure: the SQL of a plan's operations on the server, for SQLite or PostgreSQL. `names.quote` quotes every name.

Statements never use IF NOT EXISTS, which would hide a collision. Type tables deliberately have no constraints that a
stale writer could violate (NOT NULL, CHECK); code validates values instead.
"""

from metadata.fieldtypes import column_type, literal
from metadata.names import index_name, quote
from metadata.operations import AddColumn, AddLink, CreateIndex, CreateTable, DropIndex, Operation, Widen
from metadata.schema import FieldSpec, ObjectSpec, physical_name

SYSTEM_COLUMNS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "sqlite": (
        ("id", "TEXT", "PRIMARY KEY NOT NULL"),
        ("version", "INTEGER", "NOT NULL"),
        ("object_type", "TEXT", ""),
        ("status", "TEXT", ""),
        ("_cursor", "INTEGER", "NOT NULL"),
        ("_deleted", "INTEGER", "NOT NULL DEFAULT 0"),
        ("_versions", "TEXT", "NOT NULL DEFAULT '{}'"),
        ("_entity_version", "INTEGER", ""),
        ("_entity_cbor", "BLOB", ""),
    ),
    "postgresql": (
        ("id", "text", 'COLLATE "C" PRIMARY KEY NOT NULL'),
        ("version", "bigint", "NOT NULL"),
        ("object_type", "text", ""),
        ("status", "text", ""),
        ("_cursor", "bigint", "NOT NULL"),
        ("_deleted", "boolean", "NOT NULL DEFAULT false"),
        ("_versions", "text", "NOT NULL DEFAULT '{}'"),
        ("_entity_version", "bigint", ""),
        ("_entity_cbor", "bytea", ""),
    ),
}
"""(name, type, constraints) of the columns every type table has: four before the fields, the others after."""

_BEFORE_FIELDS = 4


def statements(operation: Operation, tenant_id: int, vendor: str) -> list[str]:
    """Return the statements that perform an operation on the server; none if only clients must act."""
    match operation:
        case CreateTable(spec):
            return _create_table(spec, tenant_id, vendor)
        case AddColumn(table, field):
            return [f"ALTER TABLE {_physical(tenant_id, table)} ADD COLUMN {_column(field, tenant_id, vendor)}"]
        case AddLink(table, field):
            return _link(field, tenant_id, table) if vendor == "postgresql" else []
        case CreateIndex(table, field_name, unique):
            return [_index(tenant_id, table, field_name, unique=unique)]
        case DropIndex(table, field_name, unique):
            return [f"DROP INDEX {quote(field_index(tenant_id, table, field_name, unique=unique))}"]
        case Widen(table, old, new):
            return _widen(table, old, new, tenant_id) if vendor == "postgresql" else []
    return []


def field_index(tenant_id: int, table: str, field: str, *, unique: bool) -> str:
    """Return the name of a field's index on the server."""
    return index_name("ux" if unique else "ix", physical_name(tenant_id, table), field)


def link_name(tenant_id: int, table: str, field: str) -> str:
    """Return the name of a reference's foreign key on PostgreSQL."""
    return index_name("fk", physical_name(tenant_id, table), field)


def cursor_index(tenant_id: int, table: str) -> str:
    """Return the name of the index on the cursor of a record's last change."""
    return index_name("ix", physical_name(tenant_id, table), "_cursor")


def add_system_column(table: str, column: tuple[str, str, str]) -> str:
    """Return the statement that adds a missing nullable system column to an existing type table (physical name)."""
    name, kind, _ = column
    return f"ALTER TABLE {quote(table)} ADD COLUMN {quote(name)} {kind}"


def drop_column(tenant_id: int, table: str, field: str) -> str:
    """Return the statement that drops a retired column and its values. For `trim_columns` only."""
    return f"ALTER TABLE {_physical(tenant_id, table)} DROP COLUMN {quote(field)}"


def drop_table(tenant_id: int, table: str) -> str:
    """Return the statement that drops a retired type's table and its records. For `trim_columns` only."""
    return f"DROP TABLE {_physical(tenant_id, table)}"


def _physical(tenant_id: int, table: str) -> str:
    return quote(physical_name(tenant_id, table))


def _create_table(spec: ObjectSpec, tenant_id: int, vendor: str) -> list[str]:
    system = [f"{quote(name)} {kind} {rest}".rstrip() for name, kind, rest in SYSTEM_COLUMNS[vendor]]
    fields = [_column(field, tenant_id, vendor) for field in spec.fields]
    columns = ", ".join([*system[:_BEFORE_FIELDS], *fields, *system[_BEFORE_FIELDS:]])
    table = _physical(tenant_id, spec.table_name)
    return [
        f"CREATE TABLE {table} ({columns})",
        f'CREATE INDEX {quote(cursor_index(tenant_id, spec.table_name))} ON {table} ("_cursor")',
        *(
            _index(tenant_id, spec.table_name, field.name, unique=field.unique)
            for field in spec.fields
            if field.has_index
        ),
    ]


def _column(field: FieldSpec, tenant_id: int, vendor: str) -> str:
    parts = [quote(field.name), column_type(field, vendor)]
    if field.default is not None:
        parts.append(f"DEFAULT {literal(field, vendor)}")
    if field.reference_table and vendor == "sqlite":
        # SQLite checks the target table only when a row is written, so it may not exist yet. A foreign key cannot be
        # added later.
        parts.append(_references(field, tenant_id))
    if field.reference_table and vendor == "postgresql":
        parts.append('COLLATE "C"')  # like the IDs it refers to
    return " ".join(parts)


def _references(field: FieldSpec, tenant_id: int) -> str:
    return f'REFERENCES {_physical(tenant_id, field.reference_table or "")} ("id") DEFERRABLE INITIALLY DEFERRED'


def _link(field: FieldSpec, tenant_id: int, table: str) -> list[str]:
    name = quote(link_name(tenant_id, table, field.name))
    key = f"FOREIGN KEY ({quote(field.name)}) {_references(field, tenant_id)}"
    return [f"ALTER TABLE {_physical(tenant_id, table)} ADD CONSTRAINT {name} {key}"]


def _index(tenant_id: int, table: str, field: str, *, unique: bool) -> str:
    name = quote(field_index(tenant_id, table, field, unique=unique))
    target = f"ON {_physical(tenant_id, table)} ({quote(field)})"
    # Tombstones keep their values and must not block a new record.
    return f'CREATE UNIQUE INDEX {name} {target} WHERE NOT "_deleted"' if unique else f"CREATE INDEX {name} {target}"


def _widen(table: str, old: FieldSpec, new: FieldSpec, tenant_id: int) -> list[str]:
    kind = column_type(new, "postgresql")
    if kind == column_type(old, "postgresql"):
        return []
    column = quote(new.name)
    return [f"ALTER TABLE {_physical(tenant_id, table)} ALTER COLUMN {column} TYPE {kind} USING {column}::{kind}"]
