"""The WebSocket at `/ws/sync` as an ASGI consumer, and the ASGI lifespan.

The consumer runs its own receive loop, without a channel layer or dispatch per message (docs/adr/0004).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from channels.consumer import AsyncConsumer

from sync import metrics
from sync.transports.errors import CLOSE_CODES, INTERNAL
from sync.transports.runtime import get_runtime, stop_runtime
from sync.transports.secure import INSECURE, socket_allowed
from sync.transports.socket.connection import Connection
from sync.transports.socket.hello import origin_allowed
from sync.wire import frames
from sync.wire.codes import Code
from sync.wire.protocol import PROTOCOL

logger = structlog.get_logger(__name__)
_CLOSE_SECONDS = 5
"""How long a slow client has to make room for its close frame."""
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class SyncConsumer(AsyncConsumer):  # type: ignore[misc]  # channels has no types
    """One WebSocket."""

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve the connection until either side ends it."""
        await receive()  # websocket.connect
        if not origin_allowed(scope["headers"]):
            await send({"type": "websocket.close"})
            return
        if not socket_allowed(scope):
            # Accepted first: a refused handshake has no close code, and browsers hide why it failed.
            await send({"type": "websocket.accept", "subprotocol": _chosen(scope)})
            await send({"type": "websocket.send", "text": frames.error(Code.INSECURE, INSECURE)})
            await send({"type": "websocket.close", "code": CLOSE_CODES[Code.INSECURE], "reason": "Use https."})
            metrics.protocol_errors.labels(Code.INSECURE).inc()
            return
        runtime = await get_runtime()
        await send({"type": "websocket.accept", "subprotocol": _chosen(scope)})
        connection = Connection(runtime, send)
        serving = asyncio.current_task()
        if serving is None:
            raise RuntimeError("a consumer must run in an asyncio task")
        # Cancelled only once: `uncancel` below must not mistake a second reason to abort for the server's own
        # cancellation.
        runtime.opened(connection, Once(serving.cancel))
        try:
            while (event := await receive())["type"] == "websocket.receive":
                await connection.receive(event)
        except asyncio.CancelledError:
            if serving.uncancel():  # the server cancelled it too, not only this module
                raise
            await _close_quietly(send, connection.close_code)
        except Exception:
            logger.exception("connection_failed", device=connection.device_id)
            await _close_quietly(send, INTERNAL)
        finally:
            connection.closed()


def _chosen(scope: dict[str, Any]) -> str | None:
    return PROTOCOL if PROTOCOL in scope.get("subprotocols", ()) else None


class Once:
    """Call a function the first time only."""

    def __init__(self, function: Callable[[], object]) -> None:
        self._function: Callable[[], object] | None = function

    def __call__(self) -> None:
        """Call the function, unless that has happened before."""
        function, self._function = self._function, None
        if function is not None:
            function()


async def _close_quietly(send: Send, code: int) -> None:
    """Close a socket that may be gone or stuck."""
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await send({"type": "websocket.close", "code": code})
    except Exception:  # noqa: S110  # servers differ in how they report a closed socket
        pass


async def lifespan(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Start and stop the runtime with a server that supports the lifespan protocol."""
    await receive()
    await get_runtime()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await stop_runtime()
    await send({"type": "lifespan.shutdown.complete"})
