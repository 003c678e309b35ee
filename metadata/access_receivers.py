"""Update profiles when a publish changes the meaning of their rules, by changing object types or filtered fields."""

from typing import Any

from django.dispatch import receiver

from metadata.access import ObjectAccess, dependencies, resolve
from metadata.access_store import object_access
from metadata.catalog import schema_of
from metadata.schema import ObjectSpec, TenantSchema
from metadata.signals import object_types_published
from tenants.locks import LockedTenant
from tenants.models import SecurityProfile, profile_changed
from tenants.rows import read_tenant

Record = dict[str, Any]


@receiver(object_types_published, dispatch_uid="metadata.access")
def raise_revisions(
    sender: object, *, locked: LockedTenant, changes: list[tuple[str, Record | None, Record | None]], **_: Any
) -> None:
    """Increment the revision of filtered profiles whose rules changed meaning, in the publish transaction.

    This keeps a channel's rules fixed for its lifetime, so the log alone shows what it received.
    """
    profiles = list(SecurityProfile.objects.filter(tenant_id=locked.id, full_access=False).prefetch_related("rules"))
    if not profiles:
        return
    now = schema_of(locked.id, locked.schema_version)
    before = _before(now, changes)
    moved = [p for p in profiles if _means_another(tuple(object_access(rule) for rule in p.rules.all()), before, now)]
    for profile in moved:
        profile_changed(profile.pk)
    if moved and (tenant := read_tenant(locked.id)) is not None:
        locked.access_version = tenant.access_version


def _before(now: TenantSchema, changes: list[tuple[str, Record | None, Record | None]]) -> TenantSchema:
    changed = {name for name, _, _ in changes}
    kept = [spec for spec in now.objects if spec.object_name not in changed]
    old = [ObjectSpec.from_record(name, record) for name, record, _ in changes if record is not None]
    return TenantSchema(now.tenant_id, now.schema_version - 1, (*kept, *old))


def _means_another(accesses: tuple[ObjectAccess, ...], before: TenantSchema, now: TenantSchema) -> bool:
    if resolve(accesses, before, {}).rules != resolve(accesses, now, {}).rules:
        return True
    return any(dependencies(access, before) != dependencies(access, now) for access in accesses)
