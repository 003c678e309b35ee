"""Headers of the web client. Read by the settings, so it knows nothing of them."""

from collections.abc import MutableMapping

#: Where the client's files are, under STATIC_URL.
PREFIX = "web/"


def content_security_policy(host: str = "") -> str:
    """Return the policy of the client's page and its workers. No script but its own files; WebAssembly is SQLite.

    `host` spells out the address of the socket: to older WebKit `'self'` is http(s) only.
    """
    socket = f" ws://{host} wss://{host}" if host else ""
    return (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data:; "
        f"connect-src 'self'{socket}; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def static_headers(headers: MutableMapping[str, str], path: str, url: str) -> None:
    """Give the client's static files their headers: asked for anew each time (their names carry no hash), and the policy of a worker."""
    if f"/{PREFIX}" in url:
        headers["Cache-Control"] = "no-cache"
        headers["Content-Security-Policy"] = content_security_policy()
