"""Check a client's hello, and the origin of a browser.

Everything that reads the database blocks: call it in a thread.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import validate_host

from metadata.access import client_rights
from sync.catchup.plan import Position, check_chain, check_filtered, tenant_state
from sync.channels.channel import Channel
from sync.channels.channel_log import channel_of
from sync.errors import SyncError
from sync.records import sql
from sync.records.read_transaction import read_transaction
from sync.transports.device_state import unnotified
from sync.wire.codes import Code
from sync.wire.protocol import Hello
from tenants.errors import MoatError
from tenants.models import Device
from tenants.rows import TenantRow
from tenants.tokens import DeviceIdentity, identify

_LOCAL_HOSTS = ["localhost", "127.0.0.1", "[::1]", ".localhost"]


@dataclass(frozen=True, slots=True)
class Greeting:
    """What the server found out about a client that said hello."""

    identity: DeviceIdentity
    channel: Channel
    profile: str
    state: TenantRow
    chain: str
    settled: list[dict[str, Any]]
    access: list[dict[str, Any]] | None
    held: str | None


def greet(hello: Hello) -> Greeting:
    """Check a hello. Raises SyncError `bad_token`, `revoked`, or `forbidden`."""
    identity = identify(hello.token)
    if identity is None or identity.device_id != hello.device:
        raise SyncError(Code.BAD_TOKEN, "The token is not valid for this device.")
    try:
        channel = channel_of(identity)
    except MoatError as error:
        raise SyncError(Code.FORBIDDEN, error.message) from None
    profile, known = _profile_and_channel(identity)
    held = hello.channel or known
    position = Position(hello.schema_version, hello.cursor, hello.state_hash, hello.server_epoch, held)
    with read_transaction() as reader:
        state = tenant_state(reader, identity.tenant_id)
        chain = check_chain(reader, state, position)
    if channel.filtered:
        chain = check_filtered(channel, state, position)
    if not position.is_of(channel) and chain not in ("epoch", "new"):
        chain = "switch"
    notifications = unnotified([identity.device_id]).get(identity.device_id, [])
    return Greeting(identity, channel, profile, state, chain, notifications, client_rights(channel.rules), held)


def _profile_and_channel(identity: DeviceIdentity) -> tuple[str, str | None]:
    """Return the name of the user's profile, and the last known channel of the device's replica."""
    row = sql.fetch_one(
        "SELECT p.name, d.channel FROM tenants_device d JOIN tenants_securityprofile p ON p.id = %s WHERE d.id = %s",
        [identity.profile_id, identity.device_id],
    )
    return ("", None) if row is None else (row[0], row[1] or None)


def mark_channel(device_id: str, channel: str) -> None:
    """Store which channel a device's replica holds."""
    Device.objects.filter(pk=device_id).exclude(channel=channel).update(channel=channel)


def origin_allowed(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a WebSocket may be opened from its Origin: this site or an allowed app.

    Only browsers send an Origin. Requests without one are allowed.
    """
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
