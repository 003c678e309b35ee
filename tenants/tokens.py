"""Device tokens: issue, identify, revoke. A token is shown once; the database stores only its SHA-256.

A token is 32 random bytes, so a plain fast hash is enough: unlike a password, it cannot be guessed.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone

from tenants.errors import MoatError
from tenants.models import TOO_MANY_DEVICES, Device, Membership, Tenant, has_room
from tenants.signals import device_revoked

PREFIX = "moat_"
#: Longer than any issued token. Longer input is rejected before it is hashed.
MAX_TOKEN_LENGTH = 200
MAX_NAME_LENGTH = 120


@dataclass(frozen=True, slots=True)
class IssuedDevice:
    """A new device and its token, which cannot be retrieved again."""

    device: Device
    token: str


@dataclass(frozen=True, slots=True)
class DeviceIdentity:
    """The device and user behind a token."""

    device_id: str
    tenant_id: int
    tenant_slug: str
    user_id: int
    username: str
    role: str
    profile_id: int


def hash_token(token: str) -> str:
    """Return the hash that the database stores for a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def seal(device: Device) -> str:
    """Give an unsaved device its ID and token hash; return the token, which is not stored anywhere."""
    token = _new_token()
    device.id = "d" + secrets.token_hex(10)
    device.token_hash = hash_token(token)
    return token


def _new_token() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def require_room(tenant: Tenant, user: User) -> None:
    """Raise MoatError `too_many_devices` if a user can have no further device in a tenant."""
    if not has_room(tenant.pk, user.pk):
        raise MoatError("too_many_devices", TOO_MANY_DEVICES, field="user")


@transaction.atomic
def issue_device(tenant: Tenant, user: User, name: str) -> IssuedDevice:
    """Create a device for a member.

    Raises MoatError `forbidden` unless the user is an active member of the tenant, and `too_many_devices` if they have
    as many as `DEVICES_PER_USER` allows.
    """
    # Locked, so that sign-ins at the same moment count each other's devices.
    member = Membership.objects.select_for_update().filter(tenant=tenant, user=user).first()
    if not user.is_active or member is None:
        raise MoatError("forbidden", f"{user.get_username()} is not an active member of {tenant.slug}.", field="user")
    require_room(tenant, user)
    device = Device(tenant=tenant, user=user, name=_clean(name))
    token = seal(device)
    device.save(force_insert=True)
    return IssuedDevice(device, token)


@transaction.atomic
def issue_again(tenant: Tenant, user: User, device_id: str, name: str, *, closed: timedelta) -> IssuedDevice | None:
    """Reactivate a revoked device under its old ID with a new token.

    The server can then still tell which of the device's ops it has accepted. Return None unless the device is revoked
    and belongs to this user in this tenant. A device that was not revoked may still be in use with another copy of its
    replica; if both numbered their ops as one device, ops would be lost. `closed` is how long after a revocation every
    process has closed the device's connections; the device is not reactivated earlier. The caller has authenticated the
    user as a member. Raises MoatError `too_many_devices` as `issue_device` does.
    """
    token = _new_token()
    Membership.objects.select_for_update().filter(tenant=tenant, user=user).first()
    revoked = Device.objects.filter(pk=device_id, tenant=tenant, user=user, revoked_at__lte=timezone.now() - closed)
    if revoked.exists():
        require_room(tenant, user)
    if not revoked.update(token_hash=hash_token(token), revoked_at=None, name=_clean(name)):
        return None
    return IssuedDevice(Device.objects.get(pk=device_id), token)


def _clean(name: str) -> str:
    return " ".join(name.split())[:MAX_NAME_LENGTH] or "unnamed"


def identify(token: object) -> DeviceIdentity | None:
    """Return the identity behind a token, or None.

    None if the token is unknown or revoked, or if its user is inactive or no longer a member.
    """
    if (
        not isinstance(token, str)
        or not token.startswith(PREFIX)
        or len(token) > MAX_TOKEN_LENGTH
        or not token.isascii()
    ):
        return None
    digest = hash_token(token)
    found = _identity("d.token_hash = %s", digest)
    if found is None or not hmac.compare_digest(found[0], digest):
        return None
    return found[1]


def identify_device(tenant_slug: str, device_id: str, username: str | None = None) -> DeviceIdentity | None:
    """Return the identity of a device that was authenticated by other means than its token, or None.

    None as in `identify`, or if the device does not belong to this user.
    """
    found = _identity("d.id = %s AND t.slug = %s", device_id, tenant_slug)
    if found is None or (username is not None and found[1].username != username):
        return None
    return found[1]


# Runs on every device request, so it is one fixed statement, not an ORM query.
_IDENTITY = (
    "SELECT d.token_hash, d.id, d.tenant_id, t.slug, d.user_id, u.username, m.role, m.profile_id FROM tenants_device d "
    "JOIN tenants_tenant t ON t.id = d.tenant_id JOIN auth_user u ON u.id = d.user_id "
    "JOIN tenants_membership m ON m.tenant_id = d.tenant_id AND m.user_id = d.user_id "
    "WHERE d.revoked_at IS NULL AND u.is_active AND "
)


def _identity(condition: str, *values: str) -> tuple[str, DeviceIdentity] | None:
    with connection.cursor() as cursor:
        cursor.execute(_IDENTITY + condition, values)
        row = cursor.fetchone()
    return None if row is None else (row[0], DeviceIdentity(*row[1:]))


def revoke(device: Device) -> bool:
    """Revoke a device's token; return False if it already was. `device_revoked` closes the live connections."""
    now = timezone.now()
    if not Device.objects.filter(pk=device.pk, revoked_at=None).update(revoked_at=now):
        return False
    device.revoked_at = now
    transaction.on_commit(partial(device_revoked.send_robust, sender=Device, device_id=device.pk))
    return True


def revoke_all(user_id: int, tenant_id: int | None = None) -> int:
    """Revoke every device of a user (in one tenant); return how many."""
    devices = Device.objects.filter(user_id=user_id, revoked_at=None)
    if tenant_id is not None:
        devices = devices.filter(tenant_id=tenant_id)
    return sum(revoke(device) for device in devices)
