"""The event stream (SSE): what a pull would return, delivered as it happens.

It reads the log page by page and never holds more than one page. A client that does not read blocks the server's
send, and thereby the reading. A client that reconnects with `Last-Event-ID` resumes after that event.
"""

import asyncio
import re
import time
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, TypeVar

import structlog
from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from sync.channels.channel import Channel
from sync.entities.ops import Page
from sync.errors import AccessChanged
from sync.records.turns import Asker
from sync.transports.runtime import Runtime, get_runtime
from sync.transports.v1 import messages
from sync.transports.v1.callers import Caller, authenticate, count, fetch_keys, require_https
from sync.transports.v1.errors import V1Code, V1Error, invalid
from sync.transports.v1.negotiation import to_json
from sync.transports.v1.views import failed, unexpected
from sync.transports.v1.wakes import wakes_of
from sync.v1.conf import v1_settings
from sync.v1.pull import pull
from sync.v1.pull_state import attach
from tenants.tokens import identify_device

logger = structlog.get_logger(__name__)
PAGE: Final = 200
_EVENT_ID: Final = re.compile(r"(\d{1,19})(-\d{1,9})?", re.ASCII)
_open: Counter[str] = Counter()
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A stream's parameters: changes after `since` (None: from now on), collections, and bodies."""

    since: int | None
    collections: tuple[str, ...] | None
    bodies: bool


def event(kind: str, data: Mapping[str, Any], event_id: int | None = None) -> bytes:
    """Return one event, with LF line ends and its data on one line."""
    identity = b"" if event_id is None else b"id: %d\n" % event_id
    return b"event: %s\n%sdata: %s\n\n" % (kind.encode(), identity, to_json(data))


@csrf_exempt
async def stream(request: HttpRequest) -> HttpResponseBase:
    """Open a stream or return the error."""
    try:
        _require_get(request)
        if not isinstance(request, ASGIRequest):
            # A runtime started here would belong to an event loop that ends with this request and then miss everything.
            await sync_to_async(_checked)(request)
            raise V1Error(V1Code.SERVICE_UNAVAILABLE, "Event streams require an ASGI server. Use pull instead.")
        runtime = await get_runtime()
        if runtime.draining:
            raise V1Error(V1Code.SERVICE_UNAVAILABLE, "The server is shutting down.", retry_after=2)
        # Use the pool: in the request's own thread, a stream would hold that thread's database connection to its end.
        # Fetch the keys before that, so that no socket's read waits for a token issuer.
        await asyncio.to_thread(fetch_keys, request)
        caller, wanted = await runtime.pool.run(_checked, request)
        if _open[caller.device] >= v1_settings().v1_streams:
            raise V1Error(V1Code.RATE_LIMIT_EXCEEDED, "This device has too many open streams.", retry_after=5)
        opened = _Stream(runtime, caller, wanted)
    except Exception as error:
        return _refused(request, error)
    response = StreamingHttpResponse(opened.events(), content_type="text/event-stream; charset=utf-8")
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"
    return response


def _refused(request: HttpRequest, error: Exception) -> HttpResponse:
    response = failed(request, unexpected(error, request.path))
    if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        response["Allow"] = "GET"
    return response


def _require_get(request: HttpRequest) -> None:
    require_https(request)
    if request.method != "GET":
        raise V1Error(V1Code.NOT_SUPPORTED, "Use GET.", status=HTTPStatus.METHOD_NOT_ALLOWED)


def _checked(request: HttpRequest) -> tuple[Caller, Wanted]:
    caller = authenticate(request)
    count(caller)
    given = {key: value for key in ("dbId", "deviceId") if (value := request.GET.get(key)) is not None}
    messages.named(given, "dbId", caller.database, required=False)
    messages.named(given, "deviceId", caller.device, required=False)
    collections = messages.names(
        [name for each in request.GET.getlist("collections") for name in each.split(",") if name]
    )
    return caller, Wanted(_since(request), collections, request.GET.get("bodies") in ("1", "true"))


def _since(request: HttpRequest) -> int | None:
    for field, value in (
        ("Last-Event-ID", request.headers.get("Last-Event-ID")),
        ("sinceCursor", request.GET.get("sinceCursor")),
    ):
        if value:
            found = _EVENT_ID.fullmatch(value.strip())
            if found is None:
                raise invalid("The cursor is not valid.", field)
            return int(found[1])
    return None


def _closed(device: str) -> None:
    _open[device] -= 1
    if not _open[device]:
        del _open[device]


class _Stream:
    """One open stream. It registers with the runtime as a socket does, to learn of a shutdown.

    It counts toward its device's limit from here until it ends or, if never read, is garbage-collected.
    """

    def __init__(self, runtime: Runtime, caller: Caller, wanted: Wanted) -> None:
        self._runtime, self._caller, self._wanted = runtime, caller, wanted
        self._asker = Asker(caller.identity.tenant_id, caller.device)
        self._at = 0
        self._ending: tuple[V1Code, str] | None = None
        self._woken: asyncio.Event | None = None
        self._checked_at = time.monotonic()
        _open[caller.device] += 1
        self._close = weakref.finalize(self, _closed, caller.device)

    @property
    def device_id(self) -> str | None:
        """None: a stream does not report its device's cursor and replaces no socket."""
        return None

    @property
    def confirmed_cursor(self) -> int:
        """0: nothing is confirmed on a stream."""
        return 0

    def end(self, code: V1Code, message: str) -> None:
        """Send the reason and close."""
        self._ending = (code, message)
        if self._woken is not None:
            self._woken.set()

    async def drain(self, retry_after: float, close_code: int) -> None:
        """End the stream because the server is shutting down."""
        self.end(V1Code.SERVICE_UNAVAILABLE, f"The server is shutting down. Reconnect in {retry_after:g} seconds.")

    async def events(self) -> AsyncIterator[bytes]:
        """Yield the events until the client disconnects."""
        self._runtime.opened(self, lambda: self.end(V1Code.UNKNOWN, "Closed."))  # type: ignore[arg-type]
        try:
            with wakes_of(self._runtime).waiting(self._caller.identity.tenant_id) as woken:
                self._woken = woken
                async for each in self._run(woken):
                    yield each
        except Exception as error:
            said = unexpected(error, "/v1/stream")
            yield event("error", {"code": int(said.code), "message": said.message})
        finally:
            self._runtime.forget(self)  # type: ignore[arg-type]
            self._close()

    async def _run(self, woken: asyncio.Event) -> AsyncIterator[bytes]:
        self._at = await self._runtime.pool.run_for(self._asker, self._start)
        now = time.time_ns() // 1_000_000
        yield event("connected", {"subscriptionId": f"{self._caller.device}-{now}-0", "cursor": self._at})
        while self._ending is None:
            woken.clear()
            more = not self._has_expired()
            while more and self._ending is None:
                if time.monotonic() - self._checked_at >= v1_settings().v1_ping:  # so busy that no ping is due
                    await self._check_access()
                    continue
                page = await self._runtime.pool.run_for(self._asker, self._page)
                self._at, more = page.next_cursor, page.has_more
                if page.ops:
                    yield self._operations(page)
            if self._ending is None and (said := await self._pause(woken)):
                yield said
        code, message = self._ending
        yield event("error", {"code": int(code), "message": message})

    def _start(self) -> int:
        since = self._wanted.since
        return self._under_rights(attach) if since is None else since

    def _page(self) -> Page:
        return self._under_rights(
            lambda channel, device: pull(channel, device, self._at, PAGE, self._wanted.collections, stream=True)
        )

    def _under_rights(self, work: Callable[[Channel, str], T]) -> T:
        """Run a read with current access. Raises `V1Error` if the device's channel changed since the start."""
        while True:
            try:
                return work(self._caller.channel, self._caller.device)
            except AccessChanged:
                self._renew()

    def _renew(self) -> None:
        renewed = self._caller.renewed()
        if renewed.channel != self._caller.channel:
            raise V1Error(V1Code.AUTHORIZATION_FAILED, "This device's access has changed.")
        self._caller = renewed

    def _operations(self, page: Page) -> bytes:
        ops = [messages.operation(op, self._caller.database, bodies=self._wanted.bodies) for op in page.ops]
        return event("operations", {"cursor": page.next_cursor, "operations": ops, "count": len(ops)}, page.next_cursor)

    async def _pause(self, woken: asyncio.Event) -> bytes | None:
        """Wait for changes. After a long silence, check the device's access and return a ping."""
        try:
            async with asyncio.timeout(min(v1_settings().v1_ping, max(0.0, self._caller.until - time.time()))):
                await woken.wait()
        except TimeoutError:
            await self._check_access()
            if self._ending is None:
                return event("ping", {"timestamp": time.time_ns() // 1_000_000})
        return None

    def _has_expired(self) -> bool:
        """End the stream if the token has expired."""
        if time.time() < self._caller.until:
            return False
        self.end(V1Code.AUTHENTICATION_FAILED, "The token has expired.")
        return True

    async def _check_access(self) -> None:
        """End the stream if the device may no longer stay."""
        if self._has_expired():
            return
        identity = self._caller.identity
        known = await self._runtime.pool.run(identify_device, identity.tenant_slug, identity.device_id)
        self._checked_at = time.monotonic()
        if known is not None and known.user_id == identity.user_id:
            await self._runtime.pool.run(self._renew)
        else:
            self.end(V1Code.AUTHENTICATION_FAILED, "This device's access was revoked.")
