"""Addresses of a server.

Pure: no I/O, clock, or randomness.
"""

from urllib.parse import urlsplit, urlunsplit

from moat_client.errors import MoatError


def base_url(url: str) -> str:
    """Return the server's address without a trailing slash; raise MoatError unless it is http or https."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise MoatError(f"{url!r} is not a valid server URL.", code="bad_url")
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


def socket_url(url: str) -> str:
    """Return the address of the WebSocket protocol."""
    return "ws" + base_url(url).removeprefix("http") + "/ws/sync"
