"""Whether a token may travel over a connection: https, or plain http that does not leave this machine."""

import ipaddress
from collections.abc import Iterable
from typing import Any

from django.conf import settings

from sync.wire.codes import Code

_FORWARDED = frozenset({"x-forwarded-for", "x-forwarded-proto", "forwarded"})
INSECURE = Code.INSECURE.meaning


def is_local(address: str | None, headers: Iterable[str]) -> bool:
    """Return whether a request comes from this machine: a loopback address, and no proxy that forwards it."""
    if any(name.lower() in _FORWARDED for name in headers):
        return False
    try:
        return ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return False


def socket_allowed(scope: dict[str, Any]) -> bool:
    """Return whether a WebSocket may carry a token.

    It may over TLS, from this machine, or where DEBUG or HTTPS=0 expects plain http.
    """
    if scope.get("scheme") in ("wss", "https") or settings.DEBUG or not settings.HTTPS:
        return True
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    if settings.SECURE_PROXY_SSL_HEADER:
        key, wanted = settings.SECURE_PROXY_SSL_HEADER
        given = headers.get(key.removeprefix("HTTP_").replace("_", "-").lower())
        # As Django does: with several proxies the first value is the client's.
        if given is not None:
            return bool(given.partition(",")[0].strip() == wanted)
    client = scope.get("client")
    return is_local(client[0] if client else None, headers)
