"""WebSocket URLs."""

from typing import Any

from channels.consumer import AsyncConsumer
from channels.routing import URLRouter
from django.urls import path, re_path

from sync.transports.socket.websocket import Receive, Send, SyncConsumer


class Nowhere(AsyncConsumer):  # type: ignore[misc]  # channels has no types
    """Reject WebSockets at any other URL."""

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Reject the connection."""
        await receive()
        await send({"type": "websocket.close"})


websocket = URLRouter([path("ws/sync", SyncConsumer.as_asgi()), re_path("", Nowhere.as_asgi())])
