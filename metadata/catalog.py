"""The published schema of a tenant, cached. Only a publish changes object types, so a version never goes stale."""

from collections import OrderedDict
from functools import partial
from threading import Lock

from django.db import transaction
from django.db.models import Q

from metadata.models import ObjectMetadata
from metadata.schema import ObjectSpec, TenantSchema

_SIZE = 256
_cache: OrderedDict[tuple[int, int], TenantSchema] = OrderedDict()
_lock = Lock()


def schema_of(tenant_id: int, schema_version: int) -> TenantSchema:
    """Return the published schema of a tenant. Call it in the transaction that read `schema_version`.

    One query reads the object types, so the result is always one consistent state. If a publish committed after the
    version was read (possible only without the tenant's lock), the result is the newer state, and its `schema_version`
    says so.
    """
    key = (tenant_id, schema_version)
    with _lock:
        found = _cache.get(key)
        if found is not None:
            _cache.move_to_end(key)
            return found
    schema = _read(tenant_id, schema_version)
    # Cache only after the commit: this may be a publish that rolls back, and its version may be reused.
    transaction.on_commit(partial(_keep, schema))
    return schema


def published_types(tenant_id: int) -> list[ObjectMetadata]:
    """Return a tenant's object types that were ever published, including retired ones."""
    return list(
        ObjectMetadata.objects.filter(Q(tenant_id=tenant_id) & Q(published__isnull=False)).order_by("object_name")
    )


def _read(tenant_id: int, schema_version: int) -> TenantSchema:
    rows = published_types(tenant_id)
    newest = max(
        (version for row in rows for version in (row.published_version, row.retired_version) if version), default=0
    )
    objects = tuple(
        ObjectSpec.from_record(row.object_name, row.published or {}) for row in rows if row.retired_version is None
    )
    return TenantSchema(tenant_id, max(newest, schema_version), objects)


def _keep(schema: TenantSchema) -> None:
    with _lock:
        _cache[schema.tenant_id, schema.schema_version] = schema
        while len(_cache) > _SIZE:
            _cache.popitem(last=False)


def forget(tenant_id: int) -> None:
    """Clear a tenant's cached schemas. For tests, where a rollback can make a tenant ID recur."""
    with _lock:
        for key in [key for key in _cache if key[0] == tenant_id]:
            del _cache[key]
