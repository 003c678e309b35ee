"""The engine's WebSocket: it opens, reads, and sends, and reports what happens as events."""

import asyncio
from collections.abc import Callable

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from moat_client.engine.events import Disconnected, Event, Opened, Received, ReceivedBinary
from moat_client.net.retry_after import retry_after_seconds

MAX_FRAME = 64 * 1024 * 1024
OPEN_SECONDS = 20
_READ_AHEAD = 16


class Socket:
    """One connection. It calls `emit` on the event loop until `close()`; reading waits while the engine is behind."""

    def __init__(self, url: str, emit: Callable[[Event], None]) -> None:
        self._url = url
        self._emit = emit
        self._room = asyncio.Semaphore(_READ_AHEAD)
        self._send_queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._closing = False
        self._task = asyncio.create_task(self._run(), name="moat-socket")

    def send(self, data: bytes) -> None:
        """Queue a text frame. The limits on pushes and requests in flight bound the queue."""
        self._send_queue.put_nowait(data)

    def handled(self) -> None:
        """Note that the engine has handled one message, so that another may be read."""
        self._room.release()

    async def close(self) -> None:
        """Send what is queued and close; emit nothing more."""
        self._closing = True
        self._send_queue.put_nowait(None)
        done, _ = await asyncio.wait([self._task], timeout=2)
        if not done:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=2)

    def _report(self, event: Event) -> None:
        if not self._closing:
            self._emit(event)

    async def _run(self) -> None:
        try:
            socket = await connect(
                self._url,
                max_size=MAX_FRAME,
                compression=None,
                ping_interval=None,
                open_timeout=OPEN_SECONDS,
                close_timeout=1,
            )
        except InvalidStatus as problem:
            text = f"The server returned status {problem.response.status_code}."
            self._report(Disconnected(0, text, retry_after_seconds(problem.response.headers.get("Retry-After"))))
            return
        except (OSError, TimeoutError, InvalidHandshake, InvalidURI, EOFError) as problem:
            self._report(Disconnected(0, f"Can't reach the server: {problem or type(problem).__name__}"))
            return
        await self._serve(socket)

    async def _serve(self, socket: ClientConnection) -> None:
        self._report(Opened())
        writer = asyncio.create_task(self._write(socket), name="moat-socket-writer")
        try:
            while True:
                await self._room.acquire()
                message = await socket.recv()
                self._report(Received(message.encode()) if isinstance(message, str) else ReceivedBinary(message))
        except ConnectionClosed as closed:
            received = closed.rcvd
            self._report(
                Disconnected(
                    received.code if received else 0,
                    (received.reason if received else "") or "Connection lost.",
                )
            )
        finally:
            writer.cancel()
            await socket.close()

    async def _write(self, socket: ClientConnection) -> None:
        try:
            while (data := await self._send_queue.get()) is not None:
                await socket.send(data, text=True)
            await socket.close()
        except ConnectionClosed:  # the reader reports it
            return
