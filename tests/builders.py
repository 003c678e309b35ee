"""Small builders for tests. Each makes one thing, with sensible defaults."""

import itertools
from typing import Any

from django.contrib.auth.models import User

from metadata.catalog import forget
from metadata.models import ObjectField, ObjectMetadata
from tenants.models import Membership, SecurityProfile, Tenant

_numbers = itertools.count(1)


def make_tenant(slug: str | None = None, **fields: Any) -> Tenant:
    """A tenant with a full-access profile named `full`."""
    slug = slug or f"tenant-{next(_numbers)}"
    tenant = Tenant.objects.create(slug=slug, name=fields.pop("name", slug.title()), **fields)
    SecurityProfile.objects.create(tenant=tenant, name="full", full_access=True)
    forget(tenant.pk)  # a tenant that was rolled back may have had this ID
    return tenant


def make_user(tenant: Tenant, username: str | None = None, *, role: str = "member", **fields: Any) -> User:
    """A user with the password `secret`, a member of the tenant with its profile `full`."""
    user = User.objects.create_user(username or f"user-{next(_numbers)}", password="secret", **fields)
    Membership.objects.create(tenant=tenant, user=user, role=role, profile=tenant.profiles.get(name="full"))
    return user


def make_object_type(tenant: Tenant, object_name: str, fields: dict[str, Any], **attributes: Any) -> ObjectMetadata:
    """A draft object type. `fields` maps a name to a kind or to a dict of ObjectField attributes."""
    draft = ObjectMetadata.objects.create(
        tenant=tenant, object_name=object_name, label=object_name.replace("_", " ").title(), **attributes
    )
    for position, (name, about) in enumerate(fields.items()):
        about = {"kind": about} if isinstance(about, str) else dict(about)
        ObjectField.objects.create(
            object_type=draft, position=position, name=name, label=about.pop("label", name), **about
        )
    return draft


def make_field_service(tenant: Tenant) -> dict[str, ObjectMetadata]:
    """Drafts of customers, jobs (a field of every kind, subtypes, statuses), and line items."""
    customer = make_object_type(
        tenant, "customer", {"name": {"kind": "text", "required": True}, "code": {"kind": "text", "unique": True}}
    )
    job = make_object_type(
        tenant,
        "job",
        {
            "title": {"kind": "text", "required": True},
            "customer": {"kind": "reference", "reference": customer},
            "notes": "text",
            "crew": {"kind": "integer", "default": 1},
            "distance": "real",
            "price": {"kind": "decimal", "decimal_places": 2},
            "urgent": "boolean",
            "due": {"kind": "date", "indexed": True},
            "starts_at": "datetime",
            "serial": "uuid",
            "attrs": "json",
            "priority": {
                "kind": "choice",
                "choices": [{"value": "low", "label": "Low"}, {"value": "high", "label": "High"}],
            },
        },
        title_field="title",
        subtypes=[{"value": "residential", "label": "Residential"}, {"value": "commercial", "label": "Commercial"}],
        statuses=[{"value": "open", "label": "Open"}, {"value": "done", "label": "Done"}],
    )
    item = make_object_type(
        tenant, "line_item", {"job": {"kind": "reference", "reference": job}, "text": "text", "quantity": "integer"}
    )
    return {"customer": customer, "job": job, "line_item": item}
