"""Authentication, HTTPS, and rate limit: the checks before a request's body is read."""

import hashlib
import math
import time
from dataclasses import dataclass, field, replace

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest

from sync.channels.channel import Channel
from sync.channels.channel_log import channel_of
from sync.transports.response_grid import wait_for_tick
from sync.transports.secure import is_local
from sync.transports.v1 import jwt_tokens
from sync.transports.v1.errors import V1Code, V1Error
from sync.v1.conf import v1_settings
from sync.wire.ops import Actor
from tenants.errors import MoatError
from tenants.tokens import DeviceIdentity, identify, identify_device

_WINDOW = 60


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated device and its channel."""

    identity: DeviceIdentity
    channel: Channel
    until: float = math.inf
    """When the token expires, in seconds since 1970."""
    started: float = field(default_factory=time.perf_counter, compare=False)

    @property
    def database(self) -> str:
        """The tenant's slug, which clients call the database."""
        return self.identity.tenant_slug

    @property
    def device(self) -> str:
        """The device's ID."""
        return self.identity.device_id

    @property
    def actor(self) -> Actor:
        """The author for the log. Its profile is checked again under the tenant's lock."""
        who = self.identity
        return Actor(who.tenant_id, who.username, who.device_id, self.channel.key, who.user_id)

    def quantize(self) -> None:
        """Block until the response's timing no longer reveals whether a hidden record exists."""
        if self.channel.filtered:
            wait_for_tick(self.started)

    def renewed(self) -> "Caller":
        """Return the caller with their current access.

        Raises `V1Error` authorizationFailed if they no longer have any.
        """
        return replace(self, channel=_channel(self.identity))


def require_https(request: HttpRequest) -> None:
    """Reject plain HTTP except from this machine, or if DEBUG is on. Raises `V1Error`."""
    local = is_local(request.META.get("REMOTE_ADDR"), request.headers)
    if not (request.is_secure() or settings.DEBUG or local):
        raise V1Error(V1Code.AUTHORIZATION_FAILED, "Use https. Tokens must not be sent over plain HTTP.")


def authenticate(request: HttpRequest) -> Caller:
    """Return who sent a request.

    Raises `V1Error`: authenticationFailed, or authorizationFailed for a user who is not a member of the tenant.
    """
    token = _token(request)
    claims = jwt_tokens.read(token) if jwt_tokens.looks_like_jwt(token) else None
    identity = identify(token) if claims is None else identify_device(claims.database, claims.device, claims.user)
    if identity is None:
        raise jwt_tokens.invalid_token()
    return Caller(identity, _channel(identity), math.inf if claims is None else claims.until)


def fetch_keys(request: HttpRequest) -> None:
    """Fetch the keys `authenticate` needs, so that it does not wait for the issuer.

    Raises `V1Error` as `authenticate` does.
    """
    token = _token(request)
    if jwt_tokens.looks_like_jwt(token):
        jwt_tokens.read(token)


def _token(request: HttpRequest) -> str:
    header = request.headers.get("Authorization")
    if not header:
        raise V1Error(V1Code.AUTHENTICATION_FAILED, "Missing authorization header")
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer":
        raise V1Error(V1Code.AUTHENTICATION_FAILED, "Send a token: Authorization: Bearer.")
    return token.strip()


def _channel(identity: DeviceIdentity) -> Channel:
    """Return the current channel of the device's user."""
    try:
        return channel_of(identity)
    except MoatError as error:
        raise V1Error(V1Code.AUTHORIZATION_FAILED, error.message) from None


def count(caller: Caller) -> None:
    """Count a device's request. Raises `V1Error` rateLimitExceeded beyond the limit per minute."""
    now = time.time()
    window = int(now // _WINDOW)
    key = f"v1_rate_{window}_{hashlib.sha256(caller.device.encode()).hexdigest()[:32]}"
    cache.add(key, 0, timeout=2 * _WINDOW)
    try:
        made = cache.incr(key)
    except ValueError:  # the cache has just evicted it
        return
    if made > v1_settings().v1_rate:
        wait = int((window + 1) * _WINDOW - now) + 1
        raise V1Error(V1Code.RATE_LIMIT_EXCEEDED, f"Too many requests. Try again in {wait} seconds.", retry_after=wait)
