"""Create tenants and members, and decide who may manage which user accounts."""

from django.contrib.auth.models import User
from django.db import transaction

from tenants.models import Membership, SecurityProfile, Tenant


@transaction.atomic
def create_tenant(slug: str, name: str = "") -> Tenant:
    """Create a tenant with a full-access profile. Raises Django's ValidationError for an invalid or taken slug."""
    tenant = Tenant(slug=slug, name=name or slug)
    tenant.full_clean(exclude=["state_hash"])
    tenant.save()
    SecurityProfile.objects.create(tenant=tenant, name="Full access", full_access=True)
    return tenant


@transaction.atomic
def create_member(
    tenant: Tenant,
    username: str,
    *,
    password: str,
    role: str = Membership.Role.MEMBER,
    profile: SecurityProfile | None = None,
) -> Membership:
    """Create a user and make them a member, under the tenant's first full-access profile unless another is given."""
    user = User.objects.create_user(username, password=password)
    profile = (
        profile
        or tenant.profiles.filter(full_access=True).order_by("pk").first()
        or tenant.profiles.create(name="Full access", full_access=True)
    )
    member = Membership.objects.create(tenant=tenant, user=user, role=role, profile=profile)
    open_admin(member)
    return member


def open_admin(member: Membership) -> None:
    """Give a tenant admin access to the admin site. A former admin keeps it, but sees nothing there."""
    if member.role == Membership.Role.ADMIN and not member.user.is_staff:
        member.user.is_staff = True
        member.user.save(update_fields=["is_staff"])


def is_only_in(user: User, tenant_ids: frozenset[int]) -> bool:
    """Return whether an ordinary account belongs to these tenants only.

    Only such an account may be edited by their admins. Changing the password of an account that has memberships
    elsewhere, or site-wide permissions, would grant access to other data.
    """
    if user.is_superuser or user.groups.exists() or user.user_permissions.exists():
        return False
    return set(user.memberships.values_list("tenant_id", flat=True)) <= tenant_ids
