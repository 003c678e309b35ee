"""Check a request before its body is read: its size, who sends it, and how fast it arrives.

Django reads the whole body before a view can look at the headers. This ASGI application, in front of Django, rejects
what the view would reject anyway: more bytes than the address accepts, a large body without valid credentials, and a
body that does not arrive.
"""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from importlib import import_module
from io import BytesIO
from typing import Any, Final

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.core.handlers.asgi import ASGIRequest
from django.db import DatabaseError, connections
from django.http import HttpResponse, JsonResponse

from sync.transports.rest.conf import rest_settings
from sync.transports.rest.errors import RestCode, RestError, answer
from sync.transports.v1.callers import authenticate, require_https
from sync.transports.v1.errors import V1Code, V1Error
from sync.transports.v1.views import failed, unexpected
from sync.v1.conf import v1_settings
from sync.wire.codes import Code
from tenants.tokens import identify

Event = dict[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]

ANONYMOUS_BYTES: Final = 65_536
"""Largest body of a request whose sender is not known, such as a sign-in."""
PAGE_BYTES: Final = 5_242_880
"""Largest body of a form in the admin."""
BYTES_PER_SECOND: Final = 16_384
"""How fast a body must arrive, beyond the first `BODY_SECONDS`."""
_LINGER_SECONDS: Final = 2.0
_LINGER_BYTES: Final = 8_388_608
_METHODS_WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class BodyGuard:
    """Wraps the ASGI application that serves HTTP."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve a request, or reject it before its body is read."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        request = _Request(scope, headers, receive, send)
        refused = await request.check()
        if refused is None:
            await self._app(scope, request.receive, send)
        else:
            await request.respond(refused)


class _Request:
    """One request, and how much of its body has arrived."""

    def __init__(self, scope: dict[str, Any], headers: dict[bytes, str], receive: Receive, send: Send) -> None:
        self._scope, self._headers, self._receive, self._send = scope, headers, receive, send
        self._limit = _limit(scope["path"])
        self._size = 0
        self._complete = False
        self._since = asyncio.get_running_loop().time()

    async def check(self) -> HttpResponse | None:
        """Return the response to a request that is rejected by its headers."""
        length = self._headers.get(b"content-length", "")
        size = int(length) if length.isascii() and length.isdigit() and len(length) < 16 else None
        if size is not None and size > self._limit:
            return self._too_large()
        if (size is None and not self._chunked()) or (size is not None and size <= ANONYMOUS_BYTES):
            return None
        # Without a length, only what exceeds the anonymous limit needs to be from somebody.
        refused = await asyncio.to_thread(_unknown_sender, self._scope, self._headers)
        if refused is None or size is not None:
            return refused
        self._limit = min(self._limit, ANONYMOUS_BYTES)
        return None

    async def receive(self) -> Event:
        """Receive the next part of the body.

        If it is late or too large, send the response here and report a disconnect.
        """
        if self._complete:
            return await self._receive()
        loop = asyncio.get_running_loop()
        deadline = self._since + settings.BODY_SECONDS + self._size / BYTES_PER_SECOND
        try:
            async with asyncio.timeout(max(deadline - loop.time(), 0)):
                event = await self._receive()
        except TimeoutError:
            return await self._abort(
                _refusal(
                    self._scope, RestCode.TIMEOUT, V1Code.INVALID_REQUEST, "The request body did not arrive in time."
                )
            )
        if event["type"] == "http.request":
            self._size += len(event.get("body", b""))
            if self._size > self._limit:
                return await self._abort(self._too_large())
            self._complete = not event.get("more_body", False)
        return event

    async def respond(self, response: HttpResponse) -> None:
        """Send a response and close the connection. A client that still sends has a moment to read it."""
        response["Connection"] = "close"
        response["Content-Length"] = str(len(response.content))
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.items()]
        await self._send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        await self._send({"type": "http.response.body", "body": response.content, "more_body": True})
        # Closing now, with unread bytes, would reset the connection and lose the response.
        await self._drain()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _abort(self, response: HttpResponse) -> Event:
        self._complete = True
        await self.respond(response)
        return {"type": "http.disconnect"}

    async def _drain(self) -> None:
        drained = 0
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                while drained < _LINGER_BYTES:
                    event = await self._receive()
                    drained += len(event.get("body", b""))
                    if event["type"] != "http.request" or not event.get("more_body", False):
                        return
        except TimeoutError:
            return

    def _chunked(self) -> bool:
        return b"transfer-encoding" in self._headers and self._scope["method"] not in _METHODS_WITHOUT_BODY

    def _too_large(self) -> HttpResponse:
        message = f"The body must be at most {self._limit} bytes."
        return _refusal(self._scope, Code.TOO_LARGE, V1Code.INVALID_REQUEST, message)


def _limit(path: str) -> int:
    if path.startswith("/v1/"):
        return v1_settings().v1_body
    return rest_settings().rest_body if path.startswith("/api/") else PAGE_BYTES


_V1_STATUS: Final[dict[Code | RestCode, HTTPStatus]] = {
    RestCode.TIMEOUT: HTTPStatus.REQUEST_TIMEOUT,
    Code.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
}


def _refusal(scope: dict[str, Any], code: Code | RestCode, v1_code: V1Code, message: str) -> HttpResponse:
    """Return an error in the shape of the address."""
    if scope["path"].startswith("/v1/"):
        return failed(_request_of(scope), V1Error(v1_code, message, status=_V1_STATUS.get(code)))
    status, body = answer(RestError(code, message))
    if scope["path"].startswith("/api/"):
        return JsonResponse(body, status=status)
    return HttpResponse(message, status=status, content_type="text/plain; charset=utf-8")


def _unknown_sender(scope: dict[str, Any], headers: dict[bytes, str]) -> HttpResponse | None:
    """Return the response to a large body from an unknown sender; None if the sender is known. Blocks."""
    try:
        if scope["path"].startswith("/v1/"):
            request = _request_of(scope)
            try:
                require_https(request)
                authenticate(request)
            except Exception as error:
                return failed(request, unexpected(error, scope["path"]))
            return None
        scheme, _, token = headers.get(b"authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            if identify(token.strip()) is not None:
                return None
            return _refusal(scope, Code.BAD_TOKEN, V1Code.UNKNOWN, "The token is not valid or was revoked.")
        if _has_session(_request_of(scope)):
            return None
        return _refusal(scope, RestCode.UNAUTHENTICATED, V1Code.UNKNOWN, "Sign in, or send a device's token.")
    except DatabaseError:
        return _refusal(scope, Code.UNAVAILABLE, V1Code.UNKNOWN, "The database did not respond. Try again.")
    finally:
        connections.close_all()


def _has_session(request: ASGIRequest) -> bool:
    key = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    return bool(key) and SESSION_KEY in import_module(settings.SESSION_ENGINE).SessionStore(key)


def _request_of(scope: dict[str, Any]) -> ASGIRequest:
    """Return the request without its body."""
    return ASGIRequest(scope, BytesIO())
