"""Small builders for tests: each makes one thing, with defaults that need no thought."""

import itertools
from typing import Any

from django.contrib.auth.models import User

from tenants.models import Membership, SecurityProfile, Tenant

_numbers = itertools.count(1)


def make_tenant(slug: str | None = None, **fields: Any) -> Tenant:
    """A tenant with a full-access profile named `full`."""
    slug = slug or f"tenant-{next(_numbers)}"
    tenant = Tenant.objects.create(slug=slug, name=fields.pop("name", slug.title()), **fields)
    SecurityProfile.objects.create(tenant=tenant, name="full")
    return tenant


def make_user(tenant: Tenant, username: str | None = None, *, role: str = "member", **fields: Any) -> User:
    """A user with password `secret`, member of the tenant under its profile `full`."""
    user = User.objects.create_user(username or f"user-{next(_numbers)}", password="secret", **fields)
    Membership.objects.create(tenant=tenant, user=user, role=role, profile=tenant.profiles.get(name="full"))
    return user
