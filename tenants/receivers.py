"""What follows when a person loses access: their devices are revoked, so live connections end too."""

from typing import Any

from django.contrib.auth.models import User
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from tenants.models import Membership
from tenants.tokens import revoke_all


@receiver(post_delete, sender=Membership)
def membership_ended(instance: Membership, **_: Any) -> None:
    """Revoke the devices a former member has in this tenant."""
    revoke_all(instance.user_id, instance.tenant_id)


@receiver(post_save, sender=User)
def user_saved(instance: User, created: bool, **_: Any) -> None:
    """Revoke all devices of a user who was made inactive."""
    if not created and not instance.is_active:
        revoke_all(instance.pk)
