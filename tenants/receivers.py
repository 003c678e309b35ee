"""Revoke the devices of users who lose access, which also closes their live connections."""

from typing import Any

from django.contrib.auth.models import User
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from tenants.models import Membership, access_changed_in
from tenants.tokens import revoke_all

FILTERABLE = frozenset({"username", "email", "first_name", "last_name"})
"""User attributes that row filters can compare, except the ID, which never changes."""


@receiver(post_delete, sender=Membership)
def membership_ended(instance: Membership, **_: Any) -> None:
    """Revoke a former member's devices in this tenant."""
    revoke_all(instance.user_id, instance.tenant_id)
    access_changed_in([instance.tenant_id])


@receiver(post_save, sender=User)
def user_saved(instance: User, created: bool, update_fields: frozenset[str] | None = None, **_: Any) -> None:
    """Revoke all devices of a deactivated user; refresh access if an attribute that filters use may have changed."""
    if created:
        return
    if not instance.is_active:
        revoke_all(instance.pk)
    if update_fields is None or set(update_fields) & FILTERABLE:
        access_changed_in(instance.memberships.values_list("tenant_id", flat=True))
