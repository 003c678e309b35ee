"""A publish can change what a profile's rules mean: an object type appears or goes, a field a filter rests on changes its kind."""

from typing import Any

from django.dispatch import receiver

from metadata.access import ObjectAccess, dependencies, resolve
from metadata.access_store import object_access
from metadata.catalog import schema_of
from metadata.schema import ObjectSpec, TenantSchema
from metadata.signals import object_types_published
from tenants.locks import LockedTenant
from tenants.models import SecurityProfile, Tenant, profile_changed

Record = dict[str, Any]


@receiver(object_types_published, dispatch_uid="metadata.access")
def raise_revisions(
    sender: object, *, locked: LockedTenant, changes: list[tuple[str, Record | None, Record | None]], **_: Any
) -> None:
    """Raise the revision of every filtered profile whose rules mean something else after a publish, in the publisher's transaction.

    So a channel's rules never change while it lives, and what it was sent can be told from the log alone.
    """
    profiles = list(SecurityProfile.objects.filter(tenant_id=locked.id, full_access=False).prefetch_related("rules"))
    if not profiles:
        return
    now = schema_of(locked.id, locked.schema_version)
    before = _before(now, changes)
    moved = [p for p in profiles if _means_another(tuple(object_access(rule) for rule in p.rules.all()), before, now)]
    for profile in moved:
        profile_changed(profile.pk)
    if moved:
        locked.access_version = Tenant.objects.values_list("access_version", flat=True).get(pk=locked.id)


def _before(now: TenantSchema, changes: list[tuple[str, Record | None, Record | None]]) -> TenantSchema:
    changed = {name for name, _, _ in changes}
    kept = [spec for spec in now.objects if spec.object_name not in changed]
    old = [ObjectSpec.from_record(name, record) for name, record, _ in changes if record is not None]
    return TenantSchema(now.tenant_id, now.schema_version - 1, (*kept, *old))


def _means_another(accesses: tuple[ObjectAccess, ...], before: TenantSchema, now: TenantSchema) -> bool:
    if resolve(accesses, before, {}).rules != resolve(accesses, now, {}).rules:
        return True
    return any(dependencies(access, before) != dependencies(access, now) for access in accesses)
