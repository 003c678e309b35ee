"""Send buffer of one connection, with back-pressure.

A frame goes straight to the socket while the socket has room. A task exists only while frames are waiting.

Two bounds keep a slow reader from filling memory. The first bounds what waits here: bulk producers await `room`
first, live frames are not added to a full buffer, and beyond a hard bound the connection is closed. The second bounds
what is in flight: after every eighth of the window the server sends a `ping`, and it stops sending when a whole
window is unconfirmed. So memory stays bounded even where the server or a proxy accepts everything at once, as daphne
does.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from sync.conf import StreamSettings
from sync.transports.socket.eager import run_eagerly
from sync.wire import frames

Send = Callable[[dict[str, Any]], Awaitable[None]]
HARD_BOUND = 16
PINGS_PER_WINDOW = 8


class SendBuffer:
    """Frames in order. Lives on the event loop; `put` never blocks."""

    def __init__(self, send: Send, settings: StreamSettings, *, on_broken: Callable[[bool], None]) -> None:
        self._send = send
        self._settings = settings
        self._on_broken = on_broken
        self._queue: deque[str | bytes] = deque()
        self._task: asyncio.Task[None] | None = None
        self._draining = False
        self._progress: asyncio.Event | None = None
        self._pings: deque[tuple[int, int]] = deque()
        self._sent = self._pinged = self._confirmed = 0
        self._close_code: int | None = None
        self._dead = False
        self.waiting_bytes = 0

    @property
    def full(self) -> bool:
        """Whether live frames must not be added."""
        return self.waiting_bytes > self._settings.outbox_bytes or len(self._queue) > self._settings.outbox_frames

    def put(self, frame: str | bytes) -> None:
        """Send a frame after all earlier ones."""
        if self._dead or self._close_code is not None:
            return
        self._queue.append(frame)
        self.waiting_bytes += len(frame)
        if (
            self.waiting_bytes > HARD_BOUND * self._settings.outbox_bytes
            or len(self._queue) > HARD_BOUND * self._settings.outbox_frames
        ):
            self._break(slow=True)
        else:
            self._wake()

    def close(self, code: int) -> None:
        """Close the socket after all earlier frames. Later frames are dropped."""
        if self._close_code is None and not self._dead:
            self._close_code = code
            self._wake()

    async def room(self) -> None:
        """Wait until the buffer is at most half full."""
        while not self._dead and (
            self.waiting_bytes * 2 > self._settings.outbox_bytes or len(self._queue) * 2 > self._settings.outbox_frames
        ):
            await self._wait()

    async def flushed(self) -> None:
        """Wait until everything is sent or the connection is lost."""
        while self._draining and not self._dead:
            await self._wait()

    def confirm(self, ref: int | None) -> None:
        """Handle a pong: everything sent before its ping has arrived."""
        while self._pings and any(ref == number for number, _ in self._pings):
            number, sent = self._pings.popleft()
            self._confirmed = sent
            self._notify()
            if number == ref:
                break

    def discard(self) -> None:
        """Drop everything after the connection is lost."""
        self._dead = True
        self._queue.clear()
        self.waiting_bytes = 0
        self._notify()
        if self._task is not None:
            self._task.cancel()

    def _wake(self) -> None:
        if not self._draining:
            self._draining = True
            self._task = run_eagerly(self._drain())

    def _notify(self) -> None:
        if self._progress is not None:
            self._progress.set()

    async def _wait(self) -> None:
        if self._progress is None or self._progress.is_set():
            self._progress = asyncio.Event()
        await self._progress.wait()

    async def _drain(self) -> None:
        try:
            while self._queue:
                frame = self._queue.popleft()
                self.waiting_bytes -= len(frame)
                if self._sent - self._confirmed > self._settings.window_bytes:
                    await self._confirmation()
                    if self._dead:
                        return
                await self._send({"type": "websocket.send", "text" if type(frame) is str else "bytes": frame})
                self._sent += len(frame)
                if self._sent - self._pinged > self._settings.window_bytes // PINGS_PER_WINDOW:
                    await self._ping()
                self._notify()
            if self._close_code is not None and not self._dead:
                await self._send({"type": "websocket.close", "code": self._close_code})
                self._dead = True
        except Exception:  # servers differ in how they report a closed socket
            self._break(slow=False)
        finally:
            self._draining, self._task = False, None
            self._notify()

    async def _ping(self) -> None:
        self._pinged = self._sent
        self._pings.append((self._sent, self._sent))
        await self._send({"type": "websocket.send", "text": frames.message("ping", self._sent)})

    async def _confirmation(self) -> None:
        """Wait until the client has confirmed enough, or close the connection on a timeout."""
        overdue = asyncio.get_running_loop().call_later(self._settings.pong_seconds, lambda: self._break(slow=True))
        try:
            while self._sent - self._confirmed > self._settings.window_bytes and not self._dead:
                await self._wait()
        finally:
            overdue.cancel()

    def _break(self, *, slow: bool) -> None:
        """Give up the connection."""
        if not self._dead:
            self._dead = True
            self._queue.clear()
            self.waiting_bytes = 0
            self._notify()
            self._on_broken(slow)
