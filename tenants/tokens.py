"""Device tokens: issue, identify, revoke. A token is shown once; the database holds its SHA-256 only.

A token is 32 random bytes, so a plain fast hash is enough: there is nothing to guess, unlike a password.
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
from tenants.models import Device, Membership, Tenant
from tenants.signals import device_revoked

PREFIX = "moat_"
#: Longer than any token ever made: what is longer is refused before it is hashed.
MAX_TOKEN_LENGTH = 200
MAX_NAME_LENGTH = 120


@dataclass(frozen=True, slots=True)
class IssuedDevice:
    """A new device and its token, which nobody can read again."""

    device: Device
    token: str


@dataclass(frozen=True, slots=True)
class DeviceIdentity:
    """Who is behind a token."""

    device_id: str
    tenant_id: int
    tenant_slug: str
    user_id: int
    username: str
    role: str
    profile_id: int


def hash_token(token: str) -> str:
    """Return what the database keeps of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def seal(device: Device) -> str:
    """Give an unsaved device its id and token hash; return the token, which is known here and nowhere else."""
    token = _new_token()
    device.id = "d" + secrets.token_hex(10)
    device.token_hash = hash_token(token)
    return token


def _new_token() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def issue_device(tenant: Tenant, user: User, name: str) -> IssuedDevice:
    """Create a device of a member; raises MoatError `forbidden` when the user is no active member of the tenant."""
    if not user.is_active or not Membership.objects.filter(tenant=tenant, user=user).exists():
        raise MoatError("forbidden", f"{user.get_username()} is not an active member of {tenant.slug}.", field="user")
    device = Device(tenant=tenant, user=user, name=_clean(name))
    token = seal(device)
    device.save(force_insert=True)
    return IssuedDevice(device, token)


def issue_again(tenant: Tenant, user: User, device_id: str, name: str, *, closed: timedelta) -> IssuedDevice | None:
    """Let a revoked device in again, under its old id and with a new token; None unless it is this user's of this tenant, and revoked.

    So the server goes on knowing which of its ops it took. A device that was not revoked may still be in use, on another copy of its
    replica: two that number their ops as one device would lose them. `closed` is how long after a revocation every process has
    closed the device's connections: before that it is not let in either. The caller has authenticated the user as a member.
    """
    token = _new_token()
    revoked = Device.objects.filter(pk=device_id, tenant=tenant, user=user, revoked_at__lte=timezone.now() - closed)
    if not revoked.update(token_hash=hash_token(token), revoked_at=None, name=_clean(name)):
        return None
    return IssuedDevice(Device.objects.get(pk=device_id), token)


def _clean(name: str) -> str:
    return " ".join(name.split())[:MAX_NAME_LENGTH] or "unnamed"


def identify(token: object) -> DeviceIdentity | None:
    """Return who a token belongs to; None when it is unknown or revoked, its user inactive or no longer a member."""
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
    """Return who a device is that proved itself by other means than its token; None as in `identify`, or when it is not this user's."""
    found = _identity("d.id = %s AND t.slug = %s", device_id, tenant_slug)
    if found is None or (username is not None and found[1].username != username):
        return None
    return found[1]


# Every request of a device asks this, so it is one statement, and not put together by the ORM anew each time.
_IDENTITY = (
    "SELECT d.token_hash, d.id, d.tenant_id, t.slug, d.user_id, u.username, m.role, m.profile_id FROM tenants_device d "
    "JOIN tenants_tenant t ON t.id = d.tenant_id JOIN auth_user u ON u.id = d.user_id "
    "JOIN tenants_membership m ON m.tenant_id = d.tenant_id AND m.user_id = d.user_id WHERE d.revoked_at IS NULL AND u.is_active AND "
)


def _identity(condition: str, *values: str) -> tuple[str, DeviceIdentity] | None:
    with connection.cursor() as cursor:
        cursor.execute(_IDENTITY + condition, values)
        row = cursor.fetchone()
    return None if row is None else (row[0], DeviceIdentity(*row[1:]))


def revoke(device: Device) -> bool:
    """Make a device's token worthless from now on; False when it was already. Its live connections hear `device_revoked`."""
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
