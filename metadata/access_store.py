"""What a user can see, read from profiles, memberships, and the published schema."""

from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from metadata.access import FULL_CHANNEL, ObjectAccess, Rules, channel_key, resolve
from metadata.catalog import schema_of
from metadata.filters import USER_ATTRIBUTES
from metadata.models import AccessRule
from tenants.errors import MoatError
from tenants.models import Membership, SecurityProfile
from tenants.rows import read_tenant

_CACHED = 4096
_cache: "OrderedDict[tuple[int, int, int, int], Access]" = OrderedDict()
_lock = Lock()


@dataclass(frozen=True, slots=True)
class Access:
    """What one user can see of a tenant, and their channel. `rules` is None for full access."""

    tenant_id: int
    channel: str
    rules: Rules | None = None
    profile_id: int | None = None
    profile: str = ""
    revision: int = 0
    parameters: dict[str, Any] | None = None
    access_version: int = 0

    @property
    def filtered(self) -> bool:
        """Return whether anything can be hidden."""
        return self.rules is not None


def full_access(tenant_id: int) -> Access:
    """Return access that no profile limits, for operators and the server itself."""
    return Access(tenant_id, FULL_CHANNEL)


def object_access(rule: AccessRule) -> ObjectAccess:
    """Convert a stored rule to its pure form."""
    return ObjectAccess(
        rule.object_name,
        rule.can_read,
        rule.can_create,
        rule.can_update,
        rule.can_delete,
        None if rule.readable_fields is None else tuple(rule.readable_fields),
        None if rule.writable_fields is None else tuple(rule.writable_fields),
        rule.row_filter or {},
        tuple(rule.subtypes or ()),
        tuple(rule.statuses or ()),
    )


def accesses_of(profile: SecurityProfile) -> tuple[ObjectAccess, ...]:
    """Return a profile's rules."""
    return tuple(object_access(rule) for rule in profile.rules.order_by("object_name"))


def subject_of(user: User, membership: Membership) -> dict[str, Any]:
    """Return the values of a user's parameters."""
    subject: dict[str, Any] = {f"user.{name}": getattr(user, name) for name in USER_ATTRIBUTES}
    subject.update({f"membership.{name}": value for name, value in (membership.attributes or {}).items()})
    subject["membership.role"] = membership.role
    return subject


def access_of(tenant_id: int, user_id: int) -> Access:
    """Return what a member can see now. Raises `MoatError(forbidden)` for a user who is not an active member."""
    while True:
        versions = _versions(tenant_id)
        key = (tenant_id, user_id, *versions)
        with _lock:
            found = _cache.get(key)
        if found is not None:
            return found
        access = _resolved(_membership(tenant_id, user_id), *versions)
        if _versions(tenant_id) == versions:  # no concurrent change between the reads
            # Cache only after the commit: if the transaction rolls back, another one may reuse its version.
            transaction.on_commit(partial(_keep, key, access))
            return access


def access_at(tenant_id: int, user_id: int, access_version: int, schema_version: int) -> Access:
    """Return what a member can see at these versions, which the tenant's lock keeps current. Raises `MoatError`."""
    key = (tenant_id, user_id, access_version, schema_version)
    with _lock:
        found = _cache.get(key)
    if found is None:
        found = _resolved(_membership(tenant_id, user_id), access_version, schema_version)
        transaction.on_commit(partial(_keep, key, found))
    return found


def _keep(key: tuple[int, int, int, int], access: Access) -> None:
    with _lock:
        _cache[key] = access
        while len(_cache) > _CACHED:
            _cache.popitem(last=False)


def _versions(tenant_id: int) -> tuple[int, int]:
    found = read_tenant(tenant_id)
    if found is None:
        raise MoatError("forbidden", "Unknown tenant.")
    return found.access_version, found.schema_version


def _membership(tenant_id: int, user_id: int) -> Membership:
    found = Membership.objects.filter(tenant_id=tenant_id, user_id=user_id, user__is_active=True)
    membership = found.select_related("profile", "user").first()
    if membership is None:
        raise MoatError("forbidden", "The user is not an active member of this tenant.")
    return membership


def _resolved(membership: Membership, access_version: int, schema_version: int) -> Access:
    profile, tenant_id = membership.profile, membership.tenant_id
    if profile.full_access:
        return Access(tenant_id, FULL_CHANNEL, None, profile.pk, profile.name, profile.revision, None, access_version)
    schema = schema_of(tenant_id, schema_version)
    resolved = resolve(accesses_of(profile), schema, subject_of(membership.user, membership))
    key = channel_key(tenant_id, profile.pk, profile.revision, resolved.parameters)
    return Access(
        tenant_id, key, resolved.rules, profile.pk, profile.name, profile.revision, resolved.parameters, access_version
    )


def rules_of_profiles(tenant_id: int, schema_version: int) -> list[Rules]:
    """Return the rules of every filtered profile without parameters: what they compare, not whom they admit."""
    schema = schema_of(tenant_id, schema_version)
    profiles = SecurityProfile.objects.filter(tenant_id=tenant_id, full_access=False).prefetch_related("rules")
    return [resolve([object_access(rule) for rule in profile.rules.all()], schema, {}).rules for profile in profiles]
