"""What the API shows of a tenant: its published schema and its records, tombstones left out."""

from typing import Any

from django.db.models import QuerySet

from metadata.catalog import schema_of
from metadata.registry import model_for
from metadata.schema import ObjectSpec, TenantSchema
from sync import rows
from sync.codes import Code
from sync.errors import SyncError
from sync.transports.rest.auth import Caller
from tenants.models import Tenant


def schema_for(caller: Caller) -> TenantSchema:
    """Return what is published in the caller's tenant."""
    version = Tenant.objects.values_list("schema_version", flat=True).get(pk=caller.tenant_id)
    return schema_of(caller.tenant_id, version)


def spec_for(schema: TenantSchema, table: str) -> ObjectSpec:
    """Return a published object type by its table; raises `unknown_table`, in the same words for what another tenant has."""
    spec = schema.by_table.get(table)
    if spec is None:
        raise SyncError(Code.UNKNOWN_TABLE, "There is no such table.")
    return spec


def live_rows(schema: TenantSchema, spec: ObjectSpec) -> "QuerySet[Any]":
    """Return the records of a type that are not deleted."""
    model: Any = model_for(schema.tenant_id, spec.table_name, schema)
    found: QuerySet[Any] = model._default_manager.filter(_deleted=False)
    return found


def live_record(tenant_id: int, spec: ObjectSpec, record_id: str) -> rows.Row:
    """Return a record; raises `not_found` when there is none or it is deleted."""
    row = rows.records(tenant_id, spec, [record_id]).get(record_id) if "\x00" not in record_id else None
    if row is None or row.deleted:
        raise SyncError(Code.NOT_FOUND, "There is no such record.")
    return row


def names_of(spec: ObjectSpec) -> list[str]:
    """Return the members of a record, in the order they are shown."""
    return ["id", "version", "object_type", "status", *(field.name for field in spec.fields)]


def shown(spec: ObjectSpec, row: Any) -> dict[str, Any]:
    """Return a row of the ORM as the API shows it; its values are wire values already."""
    return {name: getattr(row, name) for name in names_of(spec)}


def shown_row(row: rows.Row) -> dict[str, Any]:
    """Return a row of the engine as the API shows it."""
    return {"id": row.id, "version": row.version, **row.values()}
