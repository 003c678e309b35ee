"""Addresses of a server.

Pure: no I/O, clock, or randomness.
"""

import ipaddress
from urllib.parse import urlsplit, urlunsplit

from moat_client.errors import MoatError


def base_url(url: str) -> str:
    """Return the server's address without a trailing slash; raise MoatError unless it is http or https.

    Without a scheme it is https; on this machine, http.
    """
    if "://" not in url:
        url = f"http://{url}" if is_loopback(urlsplit(f"//{url}").hostname or "") else f"https://{url}"
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise MoatError(f"{url!r} is not a valid server URL.", code="bad_url")
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


def secure_url(url: str, *, insecure: bool = False) -> str:
    """Return `base_url`; raise MoatError `insecure` for plain http to another machine, unless `insecure` allows it."""
    address = base_url(url)
    parts = urlsplit(address)
    if parts.scheme != "https" and not insecure and not is_loopback(parts.hostname or ""):
        raise MoatError(
            f"{address} isn't encrypted: anyone on the way could read the password and data. Use https, or allow it "
            "with --insecure (insecure=True).",
            code="insecure",
        )
    return address


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def socket_url(url: str) -> str:
    """Return the address of the WebSocket protocol."""
    return "ws" + base_url(url).removeprefix("http") + "/ws/sync"
