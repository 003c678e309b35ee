"""What the API shows of a tenant: its published schema and its records, tombstones left out."""

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
    """What a caller sees of their tenant: `schema` as they know it, `published` as it is, `channel` for the records."""

    schema: TenantSchema
    published: TenantSchema
    channel: Channel

    def condition(self, table: str) -> tuple[str, list[Any]]:
        """Return the condition that holds for the records of a table they see."""
        return view.condition(self.channel, self.published, table, connection.vendor)


def view_of_caller(caller: Caller) -> TenantView:
    """Return what the caller's security profile shows them now."""
    version = Tenant.objects.values_list("schema_version", flat=True).get(pk=caller.tenant_id)
    published, access = schema_of(caller.tenant_id, version), caller.access
    channel = Channel(caller.tenant_id, caller.tenant, access.channel, access.rules)
    known = published if access.rules is None else replace(published, objects=tuple(view.specs(channel, published)))
    return TenantView(known, published, channel)


def spec_for(sight: TenantView, table: str) -> ObjectSpec:
    """Return a published object type by its table; raises `unknown_table`, in the same words for what the caller must not know of."""
    spec = sight.schema.by_table.get(table)
    if spec is None:
        raise SyncError(Code.UNKNOWN_TABLE, "There is no such table.")
    return spec


def live_rows(sight: TenantView, spec: ObjectSpec) -> "QuerySet[Any]":
    """Return the records of a type that the caller sees and that are not deleted."""
    model: Any = model_for(sight.published.tenant_id, spec.table_name, sight.published)
    found: QuerySet[Any] = model._default_manager.filter(_deleted=False)
    if not sight.channel.filtered:
        return found
    condition, values = sight.condition(spec.table_name)
    return found.extra(where=[condition], params=values)  # noqa: S610 - built from published names; values are parameters


def live_record(sight: TenantView, spec: ObjectSpec, record_id: str) -> rows.Row:
    """Return a record; raises `not_found` when there is none, it is deleted, or the caller does not see it."""
    row = seen_record(sight, spec, record_id)
    if row is None or row.deleted:
        raise SyncError(Code.NOT_FOUND, "There is no such record.")
    return row


def seen_record(sight: TenantView, spec: ObjectSpec, record_id: str) -> rows.Row | None:
    """Return a record or tombstone that the caller sees; None when there is none. A hidden one costs what an absent one costs."""
    if "\x00" in record_id or not _sees(sight, spec.table_name, record_id):
        return None
    published = sight.published.by_table[spec.table_name]
    return rows.records(sight.published.tenant_id, published, [record_id]).get(record_id)


def _sees(sight: TenantView, table: str, record_id: str) -> bool:
    if not sight.channel.filtered:
        return True
    condition, values = view.condition(sight.channel, sight.published, table, connection.vendor, few=True)
    physical = quote(physical_name(sight.published.tenant_id, table))
    return (
        sql.fetch_one(f'SELECT 1 FROM {physical} WHERE {physical}."id" = %s AND ({condition})', [record_id, *values])
        is not None
    )


def names_of(spec: ObjectSpec) -> list[str]:
    """Return the members of a record, in the order they are shown."""
    return ["id", "version", "object_type", "status", *(field.name for field in spec.fields)]


def shown(spec: ObjectSpec, row: Any) -> dict[str, Any]:
    """Return a row of the ORM as the API shows it; its values are wire values already."""
    return {name: getattr(row, name) for name in names_of(spec)}


def shown_row(spec: ObjectSpec, row: rows.Row) -> dict[str, Any]:
    """Return a row of the engine as the API shows it."""
    values = row.values()
    return {"id": row.id, "version": row.version, **{name: values[name] for name in names_of(spec)[2:]}}
