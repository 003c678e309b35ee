"""Compare the database with the definitions. Reports differences; repairs nothing."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.db import connection

from metadata.catalog import published_types
from metadata.drafts import published_spec
from metadata.fieldtypes import column_type
from metadata.introspection import IndexFacts, TableFacts, type_tables
from metadata.models import ObjectMetadata, SchemaRevision
from metadata.schema import FieldSpec, ObjectSpec, physical_name
from metadata.sql import SYSTEM_COLUMNS, cursor_index, field_index
from tenants.models import Tenant

_TYPE_TABLE = re.compile(r"t([0-9]+)_(.+)")


@dataclass(frozen=True, slots=True)
class Drift:
    """One difference between database and definitions. `tenant` is a slug, or "" if the table belongs to no tenant."""

    tenant: str
    table: str
    code: str
    message: str


def examine(tenant: Tenant | None = None) -> list[Drift]:
    """Compare the tables of one tenant, or of all tenants, with the published types; return every difference."""
    chosen = Tenant.objects.filter(pk=tenant.pk) if tenant else Tenant.objects.order_by("slug")
    tenants = list(chosen)  # read now: the caller's counters may be stale
    tables = type_tables()
    found = [drift for one in tenants for drift in _tenant(one, tables)]
    if tenant is None:
        known = {one.pk for one in tenants}
        for name in sorted(tables):
            match = _TYPE_TABLE.fullmatch(name)
            if match and int(match[1]) not in known:
                found.append(Drift("", name, "extra_table", "Does not belong to any tenant."))
    return found


def _tenant(tenant: Tenant, tables: dict[str, TableFacts]) -> Iterator[Drift]:
    rows = published_types(tenant.pk)
    claimed: set[str] = set()
    for row in rows:
        spec = published_spec(row)
        if spec is None:
            continue
        name = physical_name(tenant.pk, spec.table_name)
        claimed.add(name)
        if row.retired_version is None:
            yield from (
                Drift(tenant.slug, name, code, message)
                for code, message in _type(tenant.pk, row, spec, tables.get(name))
            )
    prefix = physical_name(tenant.pk, "")
    for name in sorted(tables):
        if name.startswith(prefix) and name not in claimed:
            yield Drift(tenant.slug, name, "extra_table", "No object type uses this table.")
    yield from _revisions(tenant)


def _revisions(tenant: Tenant) -> Iterator[Drift]:
    versions = set(SchemaRevision.objects.filter(tenant=tenant).values_list("schema_version", flat=True))
    expected = set(range(1, tenant.schema_version + 1))
    for version in sorted(expected - versions):
        yield Drift(tenant.slug, "schema_revision", "missing_revision", f"Schema version {version} has no revision.")
    for version in sorted(versions - expected):
        yield Drift(
            tenant.slug,
            "schema_revision",
            "extra_revision",
            f"Revision {version} is newer than the tenant's schema version.",
        )


Difference = tuple[str, str]


def _type(tenant_id: int, row: ObjectMetadata, spec: ObjectSpec, facts: TableFacts | None) -> Iterator[Difference]:
    if facts is None:
        yield "missing_table", f"The table for {spec.object_name} is missing."
        return
    yield from _columns(spec, {field["name"] for field in row.retired_fields}, facts)
    yield from _indexes(tenant_id, spec, facts)
    expected = {
        (field.name, physical_name(tenant_id, field.reference_table)) for field in spec.fields if field.reference_table
    }
    for column, target in sorted(expected - facts.links):
        yield "missing_link", f"Column {column} has no deferred foreign key to {target}."
    live = {field.name for field in spec.fields}
    for column, target in sorted((column, target) for column, target in facts.links - expected if column in live):
        yield "extra_link", f"Column {column} has an unexpected foreign key to {target}."


def _columns(spec: ObjectSpec, retired: set[str], facts: TableFacts) -> Iterator[Difference]:
    vendor = connection.vendor
    expected = {name: {kind} for name, kind, _ in SYSTEM_COLUMNS[vendor]}
    expected |= {field.name: _types(field, vendor) for field in spec.fields}
    for name, kinds in expected.items():
        actual = facts.columns.get(name)
        if actual is None:
            yield "missing_column", f"Column {name} is missing."
        elif actual not in kinds:
            yield "wrong_type", f"Column {name} is {actual}; expected {' or '.join(sorted(kinds))}."
    for name in facts.columns:
        if name not in expected and name not in retired:
            yield "extra_column", f"Column {name} belongs to no field."


def _types(field: FieldSpec, vendor: str) -> set[str]:
    own = column_type(field, vendor)
    # SQLite cannot change a column's type and does not need to: a widened integer stays in its column.
    return {own, "INTEGER"} if vendor == "sqlite" and field.kind in ("real", "decimal") else {own}


def _indexes(tenant_id: int, spec: ObjectSpec, facts: TableFacts) -> Iterator[Difference]:
    table = spec.table_name
    expected = {cursor_index(tenant_id, table): IndexFacts(("_cursor",), unique=False, partial=False)}
    for field in spec.fields:
        if field.has_index:
            name = field_index(tenant_id, table, field.name, unique=field.unique)
            expected[name] = IndexFacts((field.name,), unique=field.unique, partial=field.unique)
    for name, index in expected.items():
        actual = facts.indexes.get(name)
        if actual is None:
            yield "missing_index", f"Index {name} on {', '.join(index.columns)} is missing."
        elif actual != index:
            yield "wrong_index", f"Index {name} is {actual}; expected {index}."
    yield from _extra(expected, facts.indexes.items())


def _extra(expected: dict[str, IndexFacts], actual: Iterable[tuple[str, IndexFacts]]) -> Iterator[Difference]:
    # Extra indexes for speed are fine; a unique one rejects records that the definitions allow.
    for name, index in actual:
        if index.unique and name not in expected:
            yield (
                "extra_unique_index",
                f"Unique index {name} on {', '.join(index.columns)} rejects values that the definition allows.",
            )
