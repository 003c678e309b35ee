"""Headers of the web client. The settings import this module, so it cannot import them."""

from collections.abc import MutableMapping

from csp.constants import NONCE

#: Path of the client's files, under STATIC_URL.
PREFIX = "web/"


def content_security_policy(host: str = "") -> str:
    """Return the Content-Security-Policy of the client's page and workers.

    Only the client's own scripts may run; WebAssembly is for SQLite. `host` adds the WebSocket address explicitly,
    because in older WebKit `'self'` covers http(s) only.
    """
    socket = f" ws://{host} wss://{host}" if host else ""
    return (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data:; "
        f"connect-src 'self'{socket}; worker-src 'self'; manifest-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


#: The policy of all other pages: the admin, the API, and the index. Each page has a new nonce for its style elements.
#: No inline scripts and no style attributes.
PAGES = {
    "default-src": ["'none'"],
    "script-src": ["'self'", NONCE],
    "style-src": ["'self'", NONCE],
    "img-src": ["'self'", "data:"],
    "font-src": ["'self'"],
    "connect-src": ["'self'"],
    "form-action": ["'self'"],
    "base-uri": ["'none'"],
    "frame-ancestors": ["'none'"],
}


def static_headers(headers: MutableMapping[str, str], path: str, url: str) -> None:
    """Set the headers of the client's static files: always revalidate (names have no hash), and the workers' policy."""
    if f"/{PREFIX}" in url:
        headers["Cache-Control"] = "no-cache"
        headers["Content-Security-Policy"] = content_security_policy()
