"""Who is at the other end: the answer to `hello`, the check whether connected devices may stay, and the browser's origin.

Everything that reads the database blocks: call it in a thread.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Value
from django.db.models.functions import Greatest
from django.http.request import validate_host
from django.utils import timezone

from metadata.access import client_rights
from sync.catch_up import Position, TenantState, check_chain, check_filtered, tenant_state
from sync.channels import Channel
from sync.codes import Code
from sync.errors import SyncError
from sync.lines import wire_time
from sync.models import Conflict
from sync.protocol import Hello
from sync.reading import read_transaction
from sync.routed import channel_of
from tenants.errors import MoatError
from tenants.models import Device, Membership, SecurityProfile
from tenants.tokens import DeviceIdentity, identify

_LOCAL_HOSTS = ["localhost", "127.0.0.1", "[::1]", ".localhost"]
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Greeting:
    """What was found out about a client that said hello."""

    identity: DeviceIdentity
    channel: Channel
    profile: str
    state: TenantState
    chain: str
    settled: list[dict[str, Any]]
    access: list[dict[str, Any]] | None
    held: str | None


def greet(hello: Hello) -> Greeting:
    """Check a hello; raises SyncError `bad_token`, `revoked` or `forbidden`."""
    identity = identify(hello.token)
    if identity is None or identity.device_id != hello.device:
        raise SyncError(Code.BAD_TOKEN, "The token is not valid for this device.")
    try:
        channel = channel_of(identity)
    except MoatError as refused:
        raise SyncError(Code.FORBIDDEN, refused.message) from None
    profile = SecurityProfile.objects.filter(pk=identity.profile_id).values_list("name", flat=True).first()
    held = hello.channel or Device.objects.filter(pk=identity.device_id).values_list("channel", flat=True).first() or None
    position = Position(hello.schema_version, hello.cursor, hello.state_hash, hello.server_epoch, held)
    with read_transaction() as reader:
        state = tenant_state(reader, identity.tenant_id)
        chain = check_chain(reader, state, position)
    if channel.filtered:
        chain = check_filtered(channel, state, position)
    if not position.is_of(channel) and chain not in ("epoch", "new"):
        chain = "switch"
    news = untold([identity.device_id]).get(identity.device_id, [])
    return Greeting(identity, channel, profile or "", state, chain, news, client_rights(channel.rules), held)


def mark_channel(device_id: str, channel: str) -> None:
    """Remember which channel a device's replica holds."""
    Device.objects.filter(pk=device_id).exclude(channel=channel).update(channel=channel)


def untold(device_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Return, for each of the devices, its conflicts that were settled without its knowing, as `settled` tells them."""
    found: dict[str, list[dict[str, Any]]] = {}
    for start in range(0, len(device_ids), _CHUNK):
        chunk = device_ids[start : start + _CHUNK]
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
    now = timezone.now()
    with transaction.atomic():
        for device_id, cursor in cursors.items():
            Device.objects.filter(pk=device_id).update(last_seen_at=now, last_cursor=Greatest("last_cursor", Value(cursor)))


def origin_allowed(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a WebSocket may be opened from where it says it comes from. Only browsers send an Origin: a page of ours, or of an app."""
    origin = next((value.decode("latin-1") for name, value in headers if name.lower() == b"origin"), None)
    if origin is None:
        return True
    if origin in settings.CSRF_TRUSTED_ORIGINS or origin in settings.APP_ORIGINS:
        return True
    scheme, host = urlsplit(origin).scheme, urlsplit(origin).hostname
    if scheme not in ("http", "https"):
        return False
    hosts = settings.ALLOWED_HOSTS or (_LOCAL_HOSTS if settings.DEBUG else [])
    return host is not None and validate_host(f"[{host}]" if ":" in host else host, hosts)
