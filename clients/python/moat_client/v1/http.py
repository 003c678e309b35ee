"""SyncProtocol v1 over HTTP: one request, one response.

Certificates are always checked. Plain http is allowed to this machine only.
"""

import gzip
import http.client
import json
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

from moat_client.errors import MoatError, Unreachable
from moat_client.net.retry_after import retry_after_seconds
from moat_client.net.urls import base_url, is_loopback
from moat_client.v1.cbor import Limits, decode, encode

TIMEOUT_SECONDS = 60.0
STREAM_TIMEOUT_SECONDS = 60.0
_PACK_FROM = 2048
INVALID_CURSOR = 11
_ANSWER = Limits(size=268_435_456)
"""Above the size of any page or response: a server ends one only after the document that reaches its limit."""
# A response may end early (which is no OSError), or may not be what its headers say.
_BROKEN = (OSError, ValueError, EOFError, http.client.HTTPException, zlib.error)


class Refusal(MoatError):
    """The server rejected a request with an ErrorResponse; retrying will not help."""

    def __init__(self, status: int, code: int, message: str, field: str | None = None) -> None:
        super().__init__(message, code=f"v1_{code}")
        self.status, self.number, self.field = status, code, field


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuse redirects: a token is sent only to the configured server."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


class Http:
    """Requests to one server on behalf of one device. `token` is called for each request."""

    def __init__(self, url: str, token: Callable[[], str]) -> None:
        self.url = base_url(url)
        parts = urlsplit(self.url)
        if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
            raise MoatError(f"{url} must use https so that the token isn't sent in the clear.", code="bad_url")
        self._token = token

    def call(self, path: str, message: dict[str, Any]) -> dict[str, Any]:
        """Send a message and return the response; raise `Refusal`, or `Unreachable` if a later attempt may succeed."""
        data = encode(message)
        headers = {
            "Content-Type": "application/cbor",
            "Accept": "application/cbor",
            "Accept-Encoding": "gzip",
            **self._authorization(),
        }
        if len(data) >= _PACK_FROM:
            data, headers["Content-Encoding"] = gzip.compress(data, 5), "gzip"
        # S310: __init__ checks the scheme.
        request = urllib.request.Request(  # noqa: S310
            f"{self.url}/v1/{path}", data=data, headers=headers, method="POST"
        )
        try:
            with _OPENER.open(request, timeout=TIMEOUT_SECONDS) as response:
                answer = _read(response)
        except urllib.error.HTTPError as problem:
            raise _problem(problem) from problem
        except _BROKEN as problem:
            raise Unreachable(f"Can't reach the server: {_reason(problem)}") from problem
        if not isinstance(answer, dict):
            raise Unreachable("The server's response is not a map.")
        return answer

    def events(self, last_id: str | None, device: str) -> Iterator[tuple[str, dict[str, Any], str | None]]:
        """Yield (type, data, ID) of the event stream until it ends; raise `Unreachable` and `Refusal`."""
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-cache", **self._authorization()}
        if last_id is not None:
            headers["Last-Event-ID"] = last_id
        url = f"{self.url}/v1/stream?{urlencode({'deviceId': device})}"
        request = urllib.request.Request(url, headers=headers)  # noqa: S310
        try:
            with _OPENER.open(request, timeout=STREAM_TIMEOUT_SECONDS) as response:
                yield from _events(response)
        except urllib.error.HTTPError as problem:
            raise _problem(problem) from problem
        except _BROKEN as problem:
            raise Unreachable(f"The event stream was interrupted: {_reason(problem)}") from problem

    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token()}"}


def _reason(problem: Exception) -> str:
    inner = problem.reason if isinstance(problem, urllib.error.URLError) else problem
    return (inner.strerror if isinstance(inner, OSError) else None) or str(inner) or type(inner).__name__


def _read(response: Any) -> Any:
    data = response.read()
    if response.headers.get("Content-Encoding") == "gzip":
        data = gzip.decompress(data)
    return json.loads(data) if "json" in response.headers.get("Content-Type", "") else decode(data, _ANSWER)


def _problem(problem: urllib.error.HTTPError) -> MoatError:
    try:
        found = _read(problem)
    except _BROKEN:
        found = {}
    body = found if isinstance(found, dict) else {}
    message = str(body.get("message") or f"The server returned status {problem.code}.")
    if problem.code == 429 or problem.code >= 500:
        wait = problem.headers.get("Retry-After") or body.get("retryAfterSeconds")
        return Unreachable(message, retry_after=retry_after_seconds(wait))
    code, field = body.get("code"), body.get("field")
    return Refusal(
        problem.code, code if isinstance(code, int) else 0, message, field if isinstance(field, str) else None
    )


def _events(lines: Any) -> Iterator[tuple[str, dict[str, Any], str | None]]:
    kind, data, event_id = "message", "", None
    for raw in lines:
        line = raw.decode().rstrip("\r\n")
        if not line:
            if data:
                yield kind, json.loads(data), event_id
            kind, data, event_id = "message", "", None
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            kind = value
        elif name == "data":
            data += value
        elif name == "id":
            event_id = value
