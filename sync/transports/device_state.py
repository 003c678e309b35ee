"""What the database knows of connected devices: may they stay, what were they not told, when were they seen."""

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


def untold(device_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Return, for each of the devices, its conflicts that were settled without its knowing, as `settled` tells them."""
    found: dict[str, list[dict[str, Any]]] = {}
    # Most have none, and everybody who says hello is asked about.
    waiting = (
        "SELECT DISTINCT device_id FROM sync_conflict WHERE state = 'settled' AND NOT told_device AND device_id IN"
    )
    concerned = sorted({device_id for (device_id,) in sql.fetch_in(waiting, device_ids)})
    for start in range(0, len(concerned), _CHUNK):
        chunk = concerned[start : start + _CHUNK]
        for conflict in Conflict.objects.filter(device_id__in=chunk, state=Conflict.State.SETTLED, told_device=False):
            news = {
                "conflict": str(conflict.pk),
                "resolution": conflict.resolution,
                "by": conflict.settled_by,
                "at": None if conflict.settled_at is None else wire_time(conflict.settled_at),
            }
            found.setdefault(str(conflict.device_id), []).append(news)
    return found


def mark_told(conflict_ids: Iterable[str]) -> None:
    """Remember that a device has been told of conflicts."""
    Conflict.objects.filter(pk__in=list(conflict_ids)).update(told_device=True)


def unwelcome(device_ids: Sequence[str]) -> list[str]:
    """Return which devices may not stay: revoked, gone, user inactive or no longer a member."""
    member = Membership.objects.filter(tenant_id=OuterRef("tenant_id"), user_id=OuterRef("user_id"))
    welcome: set[str] = set()
    for start in range(0, len(device_ids), _CHUNK):
        chunk = device_ids[start : start + _CHUNK]
        good = Device.objects.filter(Exists(member), pk__in=chunk, revoked_at=None, user__is_active=True)
        welcome.update(good.values_list("pk", flat=True))
    return [device_id for device_id in device_ids if device_id not in welcome]


def mark_seen(cursors: Mapping[str, int]) -> None:
    """Store when devices were last seen, and the cursor each of them confirmed."""
    now = sql.time_binder()(timezone.now())
    further = "CASE WHEN last_cursor < %s THEN %s ELSE last_cursor END"
    with transaction.atomic():
        for device_id, cursor in cursors.items():
            sql.run(
                f"UPDATE tenants_device SET last_seen_at = %s, last_cursor = {further} WHERE id = %s",
                [now, cursor, cursor, device_id],
            )
