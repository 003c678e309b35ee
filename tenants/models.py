"""Tenants, their members, what members can see, and their devices."""

import re
import secrets
from collections.abc import Iterable
from functools import partial
from typing import Any, ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models, transaction

from tenants.genesis import genesis
from tenants.signals import access_changed

SLUG = RegexValidator(
    r"^[a-z][a-z0-9-]{0,39}$", "Use 1 to 40 characters: a–z, 0–9, and hyphens, starting with a letter."
)

ATTRIBUTE = re.compile(r"[a-z][a-z0-9_]{0,39}")
MAX_ATTRIBUTES = 50
MAX_ATTRIBUTE_VALUES = 1000


def new_epoch() -> str:
    """Create a `server_epoch`: 32 random hex characters that identify one continuous life of a tenant's log."""
    return secrets.token_hex(16)


def check_attributes(value: Any) -> None:
    """Reject attributes that row filters could not compare. Names are plain; values are scalars or lists of scalars."""
    if not isinstance(value, dict) or len(value) > MAX_ATTRIBUTES:
        raise ValidationError(f"Attributes must be a JSON object with at most {MAX_ATTRIBUTES} keys.")
    for name, one in value.items():
        items = one if isinstance(one, list) else [one]
        if not ATTRIBUTE.fullmatch(name):
            raise ValidationError(
                f"{name!r} is not a valid name. Use 1 to 40 characters: a–z, 0–9, and _, starting with a letter."
            )
        if len(items) > MAX_ATTRIBUTE_VALUES or not all(isinstance(i, str | bool | int | None) for i in items):
            raise ValidationError(
                f"{name}: use text, a whole number, true or false, or a list of up to {MAX_ATTRIBUTE_VALUES} of these."
            )


def access_changed_in(tenant_ids: Iterable[int]) -> None:
    """Increment the `access_version` of tenants, and send `access_changed` after the commit.

    Writers record the version they wrote under, so a client receives nothing that was committed after its access
    changed.
    """
    for tenant_id in sorted(set(tenant_ids)):
        Tenant.objects.filter(pk=tenant_id).update(access_version=models.F("access_version") + 1)
        transaction.on_commit(partial(access_changed.send_robust, sender=Tenant, tenant_id=tenant_id))


def profile_changed(profile_id: int) -> None:
    """Increment a profile's revision, in the transaction that changes it. Its members move to new channels."""
    rows = SecurityProfile.objects.filter(pk=profile_id)
    rows.update(revision=models.F("revision") + 1)
    access_changed_in(rows.values_list("tenant_id", flat=True))


class Tenant(models.Model):
    """An isolated customer that owns its tables, its log, and its `schema_version`.

    The counters change only under `tenants.locks.lock_tenant`.
    """

    slug = models.CharField(max_length=40, unique=True, validators=[SLUG])
    name = models.CharField(max_length=200)
    schema_version = models.PositiveBigIntegerField(default=0, editable=False)
    cursor = models.BigIntegerField(default=0, editable=False, help_text="Cursor of the newest change.")
    access_version = models.BigIntegerField(
        default=0, editable=False, help_text="Increments whenever any member’s access may have changed."
    )
    pruned_cursor = models.BigIntegerField(
        default=0, editable=False, help_text="Cursor of the last change pruned from the log."
    )
    state_hash = models.BinaryField(max_length=32, editable=False, help_text="Hash of the change chain at this cursor.")
    server_epoch = models.CharField(max_length=32, default=new_epoch, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["slug"]

    def __str__(self) -> str:
        return self.name or self.slug

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save; start a new tenant's chain at its genesis."""
        if not self.state_hash:
            self.state_hash = genesis(self.server_epoch, self.slug)
        super().save(*args, **kwargs)


class SecurityProfile(models.Model):
    """What its members can see and do: everything with `full_access`, otherwise only what its rules grant.

    `revision` increments with every change, so a channel identifies one state.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="profiles")
    name = models.CharField(max_length=80)
    full_access = models.BooleanField(
        default=False,
        help_text="Can see and edit every record of every object type. Cannot be combined with rules.",
    )
    revision = models.PositiveIntegerField(default=1, editable=False)

    class Meta:
        ordering: ClassVar = ["tenant", "name"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["tenant", "name"], name="profile_name_per_tenant")]

    def __str__(self) -> str:
        return self.name

    @transaction.atomic
    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save. A change of `full_access` increments the revision in the same transaction."""
        before = type(self).objects.filter(pk=self.pk).values_list("full_access", flat=True).first()
        super().save(*args, **kwargs)
        if before is not None and before != self.full_access:
            profile_changed(self.pk)
            self.refresh_from_db(fields=["revision"])


class Membership(models.Model):
    """A user's membership in a tenant."""

    class Role(models.TextChoices):
        MEMBER = "member", "Member"
        ADMIN = "admin", "Tenant admin"

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.MEMBER)
    profile = models.ForeignKey(SecurityProfile, on_delete=models.PROTECT, related_name="memberships")
    attributes = models.JSONField(
        default=dict,
        blank=True,
        validators=[check_attributes],
        help_text="Available to row filters as $membership.<attribute>, "
        'such as {"technician": "t-1", "regions": ["north", "west"]}.',
    )

    class Meta:
        ordering: ClassVar = ["tenant", "user"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["tenant", "user"], name="one_membership_per_tenant")]

    def __str__(self) -> str:
        return f"{self.user} in {self.tenant}"

    @transaction.atomic
    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save, and record in the same transaction that access may have changed."""
        super().save(*args, **kwargs)
        access_changed_in([self.tenant_id])

    def clean(self) -> None:
        """Reject a profile of another tenant."""
        if self.profile_id and self.tenant_id and self.profile.tenant_id != self.tenant_id:
            raise ValidationError({"profile": "This profile belongs to another tenant."})


TOO_MANY_DEVICES = (
    "This user has as many devices as the server allows."
    " Revoke one that is no longer used in the admin, then try again."
)


def has_room(tenant_id: int, user_id: int) -> bool:
    """Return whether a user may have a further device in a tenant. Revoked devices do not count."""
    active = Device.objects.filter(tenant_id=tenant_id, user_id=user_id, revoked_at=None).count()
    return active < int(settings.DEVICES_PER_USER)


class Device(models.Model):
    """One client installation. Its token is shown once; only a hash is stored."""

    id = models.CharField(primary_key=True, max_length=40)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="devices")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="devices")
    name = models.CharField(max_length=120)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    last_seen_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_cursor = models.BigIntegerField(
        default=0, editable=False, help_text="Last cursor the device has acknowledged."
    )
    channel = models.CharField(
        max_length=64, blank=True, editable=False, help_text="Key of the channel this device’s replica syncs."
    )
    pruned_op_id = models.BigIntegerField(
        default=0, editable=False, help_text="Highest accepted op_id whose changes have been pruned."
    )
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering: ClassVar = ["tenant", "user", "name"]

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"

    def clean(self) -> None:
        """Reject a user who is not a member of the tenant."""
        if (
            self.user_id
            and self.tenant_id
            and not Membership.objects.filter(tenant_id=self.tenant_id, user_id=self.user_id).exists()
        ):
            raise ValidationError({"user": "This user is not a member of the tenant."})
        if self._state.adding and self.user_id and self.tenant_id and not has_room(self.tenant_id, self.user_id):
            raise ValidationError({"user": TOO_MANY_DEVICES})
