"""Revoke the devices of users who lose access or get a new password, which also closes their live connections."""

from typing import Any

from django.contrib.auth.models import User
from django.db.models.signals import post_delete, post_save, pre_save
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


def keep_devices(user: User) -> None:
    """Keep a user's devices signed in when this object is next saved with a new password."""
    user._moat_keep_devices = True  # type: ignore[attr-defined]


@receiver(pre_save, sender=User)
def user_saving(instance: User, update_fields: frozenset[str] | None = None, **_: Any) -> None:
    """Note whether the password changes, for `user_saved`."""
    instance._moat_new_password = _is_new_password(instance, update_fields)  # type: ignore[attr-defined]


def _is_new_password(user: User, update_fields: frozenset[str] | None) -> bool:
    if user.pk is None or (update_fields is not None and "password" not in update_fields):
        return False
    stored = User.objects.filter(pk=user.pk).values_list("password", flat=True).first()
    if stored is None or stored == user.password:
        return False
    # When a user signs in, Django may hash the same password again, with a newer algorithm.
    raw = getattr(user, "_password", None)
    rehashed = update_fields is not None and set(update_fields) == {"password"} and raw is None
    return not (rehashed and user.has_usable_password())


@receiver(post_save, sender=User)
def user_saved(instance: User, created: bool, update_fields: frozenset[str] | None = None, **_: Any) -> None:
    """Revoke all devices of a deactivated user or after a new password, and refresh access.

    Access is refreshed if an attribute that filters use may have changed. Django itself ends sessions when a password
    changes.
    """
    keep = instance.__dict__.pop("_moat_keep_devices", False)
    if created:
        return
    if not instance.is_active or (instance.__dict__.pop("_moat_new_password", False) and not keep):
        revoke_all(instance.pk)
    if update_fields is None or set(update_fields) & FILTERABLE:
        access_changed_in(instance.memberships.values_list("tenant_id", flat=True))
