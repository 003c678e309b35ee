"""Tenants, who belongs to them, what they may see, and on which devices."""

import secrets
from typing import Any, ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models

from tenants.genesis import genesis

SLUG = RegexValidator(r"^[a-z][a-z0-9-]{0,39}$", "Use 1 to 40 of a-z, 0-9 and -, starting with a letter.")


def new_epoch() -> str:
    """Draw a `server_epoch`: 32 hex characters that tell one life of a tenant's log from another."""
    return secrets.token_hex(16)


class Tenant(models.Model):
    """An isolated customer; owns its tables, its log and its `schema_version`.

    The counters change only under `tenants.locks.lock_tenant`.
    """

    slug = models.CharField(max_length=40, unique=True, validators=[SLUG])
    name = models.CharField(max_length=200)
    schema_version = models.PositiveBigIntegerField(default=0, editable=False)
    cursor = models.BigIntegerField(default=0, editable=False, help_text="Cursor of the newest change.")
    pruned_cursor = models.BigIntegerField(default=0, editable=False, help_text="Changes up to here were pruned from the log.")
    state_hash = models.BinaryField(max_length=32, editable=False, help_text="Chain value at cursor.")
    server_epoch = models.CharField(max_length=32, default=new_epoch, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["slug"]

    def __str__(self) -> str:
        return self.name or self.slug

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save; a new tenant's chain begins at its genesis."""
        if not self.state_hash:
            self.state_hash = genesis(self.server_epoch, self.slug)
        super().save(*args, **kwargs)


class SecurityProfile(models.Model):
    """What its members may see and do. `revision` rises with every change, so that a channel can name one state of it."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="profiles")
    name = models.CharField(max_length=80)
    full_access = models.BooleanField(default=True, help_text="Sees and edits every record of every object type.")
    revision = models.PositiveIntegerField(default=1, editable=False)

    class Meta:
        ordering: ClassVar = ["tenant", "name"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["tenant", "name"], name="profile_name_per_tenant")]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """A user's place in a tenant."""

    class Role(models.TextChoices):
        MEMBER = "member", "Member"
        ADMIN = "admin", "Tenant admin"

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.MEMBER)
    profile = models.ForeignKey(SecurityProfile, on_delete=models.PROTECT, related_name="memberships")

    class Meta:
        ordering: ClassVar = ["tenant", "user"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["tenant", "user"], name="one_membership_per_tenant")]

    def __str__(self) -> str:
        return f"{self.user} in {self.tenant}"

    def clean(self) -> None:
        """Refuse a profile of another tenant."""
        if self.profile_id and self.tenant_id and self.profile.tenant_id != self.tenant_id:
            raise ValidationError({"profile": "This profile belongs to another tenant."})


class Device(models.Model):
    """One client installation. Its token is shown once; only a hash is kept."""

    id = models.CharField(primary_key=True, max_length=40)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="devices")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="devices")
    name = models.CharField(max_length=120)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    last_seen_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_cursor = models.BigIntegerField(default=0, editable=False, help_text="The device confirmed everything up to here.")
    pruned_op_id = models.BigIntegerField(default=0, editable=False, help_text="Accepted ops up to here left the log by pruning.")
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering: ClassVar = ["tenant", "user", "name"]

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"

    def clean(self) -> None:
        """Refuse a user who is no member of the tenant."""
        if self.user_id and self.tenant_id and not Membership.objects.filter(tenant_id=self.tenant_id, user_id=self.user_id).exists():
            raise ValidationError({"user": "This user is not a member of the tenant."})
