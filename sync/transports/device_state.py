"""Database state of connected devices: access, pending `settled` notifications, and last activity."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from sync.models import Conflict
from sync.records import sql
from sync.wire.lines import wire_time
from tenants.models import Device, Membership

_CHUNK = 500


def unnotified(device_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Return the devices' resolved conflicts that they have not been notified of, as `settled` carries them."""
    found: dict[str, list[dict[str, Any]]] = {}
    # Every hello asks, and most devices have none. Filter on the server before loading models.
    waiting = (
        "SELECT DISTINCT device_id FROM sync_conflict WHERE state = 'settled' AND NOT told_device AND device_id IN"
    )
    concerned = sorted({device_id for (device_id,) in sql.fetch_in(waiting, device_ids)})
    for start in range(0, len(concerned), _CHUNK):
        chunk = concerned[start : start + _CHUNK]
        for conflict in Conflict.objects.filter(device_id__in=chunk, state=Conflict.State.SETTLED, told_device=False):
            notification = {
                "conflict": str(conflict.pk),
                "resolution": conflict.resolution,
                "by": conflict.settled_by,
                "at": None if conflict.settled_at is None else wire_time(conflict.settled_at),
            }
            found.setdefault(str(conflict.device_id), []).append(notification)
    return found


def mark_notified(conflict_ids: Iterable[str]) -> None:
    """Record that devices have received the `settled` notifications of these conflicts."""
    Conflict.objects.filter(pk__in=list(conflict_ids)).update(told_device=True)


def without_access(device_ids: Sequence[str]) -> list[str]:
    """Return the devices that may no longer stay connected.

    A device is out when it was revoked or deleted, or its user is inactive or has left the tenant.
    """
    member = Membership.objects.filter(tenant_id=OuterRef("tenant_id"), user_id=OuterRef("user_id"))
    welcome: set[str] = set()
    for start in range(0, len(device_ids), _CHUNK):
        chunk = device_ids[start : start + _CHUNK]
        good = Device.objects.filter(Exists(member), pk__in=chunk, revoked_at=None, user__is_active=True)
        welcome.update(good.values_list("pk", flat=True))
    return [device_id for device_id in device_ids if device_id not in welcome]


def mark_seen(cursors: Mapping[str, int]) -> None:
    """Store the time of these devices' last activity and the cursor each of them confirmed."""
    now = sql.time_binder()(timezone.now())
    further = "CASE WHEN last_cursor < %s THEN %s ELSE last_cursor END"
    with transaction.atomic():
        for device_id, cursor in cursors.items():
            sql.run(
                f"UPDATE tenants_device SET last_seen_at = %s, last_cursor = {further} WHERE id = %s",
                [now, cursor, cursor, device_id],
            )
