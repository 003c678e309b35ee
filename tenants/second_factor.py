"""The optional second factor of the admin site: codes of an authenticator app (TOTP), and recovery codes."""

from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.db import transaction
from django_otp import verify_token
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

RECOVERY_CODES = 10
REQUIRED = "required"


def is_enrolled(user: User | AnonymousUser) -> bool:
    """Return whether the user has set up a second factor. Queried once per user object, and so once per request."""
    if user.pk is None:
        return False
    found: bool | None = getattr(user, "_moat_enrolled", None)
    if found is None:
        found = bool(TOTPDevice.objects.filter(user_id=user.pk, confirmed=True).exists())
        user._moat_enrolled = found  # type: ignore[attr-defined]
    return found


def must_enroll(user: User | AnonymousUser) -> bool:
    """Return whether a staff user has to set up a second factor before they can use the admin."""
    return bool(user.is_staff) and settings.ADMIN_SECOND_FACTOR == REQUIRED and not is_enrolled(user)


def is_satisfied(user: User | AnonymousUser) -> bool:
    """Return whether a session has passed the second factor, or does not need one."""
    verified = getattr(user, "is_verified", None)
    if verified is not None and verified():
        return True
    return not is_enrolled(user) and not must_enroll(user)


def check_code(user: User, code: str) -> Any:
    """Return the device that accepts a code, or None. A code is accepted once. Repeated failures are slowed down."""
    text = code.replace(" ", "").strip().lower()
    model = TOTPDevice if text.isascii() and text.isdigit() else StaticDevice
    for device in model.objects.filter(user_id=user.pk, confirmed=True):
        if (found := verify_token(user, device.persistent_id, text)) is not None:
            return found
    return None


def pending_device(user: User) -> TOTPDevice:
    """Return the device that the user is setting up; create it if missing."""
    found = TOTPDevice.objects.filter(user_id=user.pk, confirmed=False).order_by("-pk").first()
    return found or TOTPDevice.objects.create(user_id=user.pk, name="Authenticator app", confirmed=False)


@transaction.atomic
def enroll(user: User, code: str) -> TOTPDevice | None:
    """Turn on the second factor if the code matches the pending device; return that device, or None."""
    device = verify_token(user, pending_device(user).persistent_id, code.replace(" ", "").strip())
    if device is None or is_enrolled(user):
        return None
    device.confirmed = True
    device.save(update_fields=["confirmed"])
    user._moat_enrolled = True  # type: ignore[attr-defined]
    return device


@transaction.atomic
def new_recovery_codes(user: User) -> list[str]:
    """Replace the user's recovery codes; return the new ones."""
    StaticDevice.objects.filter(user_id=user.pk).delete()
    device = StaticDevice.objects.create(user_id=user.pk, name="Recovery codes")
    codes = [StaticToken.random_token() for _ in range(RECOVERY_CODES)]
    StaticToken.objects.bulk_create([StaticToken(device=device, token=code) for code in codes])
    return codes


@transaction.atomic
def remove(user: User) -> bool:
    """Turn off the second factor; return whether it was on."""
    StaticDevice.objects.filter(user_id=user.pk).delete()
    removed = bool(TOTPDevice.objects.filter(user_id=user.pk, confirmed=True).exists())
    TOTPDevice.objects.filter(user_id=user.pk).delete()
    user.__dict__.pop("_moat_enrolled", None)
    return removed
