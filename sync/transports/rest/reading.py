"""What the API shows of a tenant: its published schema and its records, without tombstones."""

from dataclasses import dataclass, replace
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from metadata.catalog import schema_of
from metadata.names import quote
from metadata.registry import model_for
from metadata.schema import ObjectSpec, TenantSchema, physical_name
from sync.channels import view
from sync.channels.channel import Channel
from sync.errors import SyncError
from sync.records import rows, sql
from sync.transports.rest.auth import Caller
from sync.wire.codes import Code
from tenants.models import Tenant


@dataclass(frozen=True, slots=True)
class TenantView:
    """What a caller can see of their tenant.

    `schema`: as the caller knows it. `published`: complete. `channel`: for the records.
    """

    schema: TenantSchema
    published: TenantSchema
    channel: Channel

    def condition(self, table: str) -> tuple[str, list[Any]]:
        """Return the SQL condition of the visible records of a table."""
        return view.condition(self.channel, self.published, table, connection.vendor)


def view_of_caller(caller: Caller) -> TenantView:
    """Return what the caller's security profile shows them now."""
    version = Tenant.objects.values_list("schema_version", flat=True).get(pk=caller.tenant_id)
    published, access = schema_of(caller.tenant_id, version), caller.access
    channel = Channel(caller.tenant_id, caller.tenant, access.channel, access.rules)
    known = published if access.rules is None else replace(published, objects=tuple(view.specs(channel, published)))
    return TenantView(known, published, channel)


def spec_for(tenant_view: TenantView, table: str) -> ObjectSpec:
    """Return a published object type by its table.

    Raises `unknown_table`, in one wording for hidden and missing tables.
    """
    spec = tenant_view.schema.by_table.get(table)
    if spec is None:
        raise SyncError(Code.UNKNOWN_TABLE, "Unknown table.")
    return spec


def live_rows(tenant_view: TenantView, spec: ObjectSpec) -> "QuerySet[Any]":
    """Return the visible, undeleted records of a type."""
    model: Any = model_for(tenant_view.published.tenant_id, spec.table_name, tenant_view.published)
    found: QuerySet[Any] = model._default_manager.filter(_deleted=False)
    if not tenant_view.channel.filtered:
        return found
    condition, values = tenant_view.condition(spec.table_name)
    # S610: the condition is built from published names; values are parameters.
    return found.extra(where=[condition], params=values)  # noqa: S610


def live_record(tenant_view: TenantView, spec: ObjectSpec, record_id: str) -> rows.Row:
    """Return a record. Raises `not_found` if it is missing, deleted, or hidden."""
    row = seen_record(tenant_view, spec, record_id)
    if row is None or row.deleted:
        raise SyncError(Code.NOT_FOUND, "Record not found.")
    return row


def seen_record(tenant_view: TenantView, spec: ObjectSpec, record_id: str) -> rows.Row | None:
    """Return a visible record or tombstone, or None. Hidden and missing ones cost the same."""
    if "\x00" in record_id or not _is_visible(tenant_view, spec.table_name, record_id):
        return None
    published = tenant_view.published.by_table[spec.table_name]
    return rows.records(tenant_view.published.tenant_id, published, [record_id]).get(record_id)


def _is_visible(tenant_view: TenantView, table: str, record_id: str) -> bool:
    if not tenant_view.channel.filtered:
        return True
    condition, values = view.condition(tenant_view.channel, tenant_view.published, table, connection.vendor, few=True)
    physical = quote(physical_name(tenant_view.published.tenant_id, table))
    return (
        sql.fetch_one(f'SELECT 1 FROM {physical} WHERE {physical}."id" = %s AND ({condition})', [record_id, *values])
        is not None
    )


def names_of(spec: ObjectSpec) -> list[str]:
    """Return a record's members in display order."""
    return ["id", "version", "object_type", "status", *(field.name for field in spec.fields)]


def shown(spec: ObjectSpec, row: Any) -> dict[str, Any]:
    """Return an ORM row as the API shows it. Its values are already wire values."""
    return {name: getattr(row, name) for name in names_of(spec)}


def shown_row(spec: ObjectSpec, row: rows.Row) -> dict[str, Any]:
    """Return an engine row as the API shows it."""
    values = row.values()
    return {"id": row.id, "version": row.version, **{name: values[name] for name in names_of(spec)[2:]}}
