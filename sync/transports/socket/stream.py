"""The change stream of one connection: catch up from the client's cursor, then go live.

A client that reads too slowly falls back to reading the log. `cursor` is the end of the last `changes` frame in the
send buffer. After a slow reader, a verify, or a lost wake-up, the log after `cursor` is exactly what the client has
not been sent.
"""

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import ParamSpec, Protocol, TypeVar

import structlog

from sync import metrics
from sync.catchup.plan import read_frames
from sync.channels.channel import Channel
from sync.conf import StreamSettings
from sync.errors import AccessChanged, LogPruned, SyncError
from sync.fanout.framing import SharedFrame
from sync.fanout.hub import Hub
from sync.transports.socket.send_buffer import SendBuffer
from sync.wire import frames

P = ParamSpec("P")
T = TypeVar("T")
logger = structlog.get_logger(__name__)
RETRY_SECONDS = 1.0


class Read(Protocol):
    """Calls a function that reads the database, in a thread, on behalf of the client."""

    async def __call__(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return its result."""


class Mode(Enum):
    """State of a stream."""

    IDLE = "idle"
    CATCHING_UP = "catching_up"
    LIVE = "live"


class Stream:
    """One subscriber of a channel. Lives on the event loop, with a task only while catching up."""

    def __init__(
        self,
        channel: Channel,
        buffer: SendBuffer,
        hub: Hub,
        read: Read,
        settings: StreamSettings,
        *,
        user_id: int,
        on_pruned: Callable[[], Awaitable[None]],
        on_access_changed: Callable[[], None],
    ) -> None:
        self.channel = channel
        self.user_id = user_id
        self.mode = Mode.IDLE
        self.cursor = 0
        self.state_hash = b""
        self._buffer, self._hub, self._read, self._settings = buffer, hub, read, settings
        self._on_pruned, self._on_access_changed = on_pruned, on_access_changed
        self._task: asyncio.Task[None] | None = None
        self._held: list[SharedFrame] | None = None
        self._held_bytes = 0
        self._announce = False

    def start(self, cursor: int, state_hash: bytes) -> None:
        """Start sending what follows a cursor. `live` is sent when the head is reached."""
        self.cursor, self.state_hash, self._announce = cursor, state_hash, True
        self.resume()

    def resume(self) -> None:
        """Continue from where the stream was paused."""
        self.mode = Mode.CATCHING_UP
        self._task = asyncio.get_running_loop().create_task(self._catch_up())

    async def pause(self) -> bool:
        """Pause sending. Return whether the stream was active."""
        was_on = self.mode is not Mode.IDLE
        self.mode = Mode.IDLE
        self._drop_held()
        self._hub.leave(self, self.channel)
        task, self._task = self._task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()
            await asyncio.wait([task])
        return was_on

    def stop(self) -> None:
        """End the stream for good."""
        self.mode = Mode.IDLE
        self._drop_held()
        self._hub.leave(self, self.channel)
        if self._task is not None:
            self._task.cancel()

    def channel_changed(self) -> None:
        """Stop serving this channel: the client's access has changed."""
        self.mode = Mode.IDLE
        self._drop_held()
        self._hub.leave(self, self.channel)
        self._on_access_changed()

    def offer(self, frame: SharedFrame) -> None:
        """Receive the next live frame from the hub."""
        if self.mode is Mode.LIVE:
            self._put_live(frame)
        elif self._held is not None:
            self._held.append(frame)
            self._held_bytes += len(frame.text)
            if self._held_bytes > self._settings.outbox_bytes or len(self._held) > self._settings.outbox_frames:
                self._drop_held()
                self._hub.leave(self, self.channel)

    async def send_until(self, cursor: int) -> None:
        """Send the log up to exactly a cursor. Raises LogPruned."""
        while self.cursor < cursor:
            await self._send_chunk(cursor)

    def _put_live(self, frame: SharedFrame) -> None:
        if frame.to_cursor <= self.cursor:
            return
        if frame.from_cursor != self.cursor or self._buffer.full:
            metrics.slow_readers.inc()
            self._hub.leave(self, self.channel)
            self.resume()
        else:
            self._put(frame)

    def _put(self, frame: SharedFrame) -> None:
        self._buffer.put(frame.text)
        self.cursor, self.state_hash = frame.to_cursor, frame.state_hash

    def _drop_held(self) -> None:
        self._held, self._held_bytes = None, 0

    async def _send_chunk(self, up_to: int | None = None) -> bool:
        """Send one chunk of the log. Return whether it was a full one, so that more is likely to follow."""
        await self._buffer.room()
        before = self.cursor
        found = await self._read(read_frames, self.channel, self.cursor, self.state_hash, up_to)
        for frame in found:
            self._put(frame)
        # Half of `chunk_bytes` counts as full: a chunk ends before the line that would exceed it.
        size = 2 * sum(len(frame.text) for frame in found)
        return self.cursor - before >= self._settings.chunk_lines or size >= self._settings.chunk_bytes

    async def _catch_up(self) -> None:
        while True:
            try:
                # While others write, there is always a little more. The hub closes that gap; a chase would not end.
                while await self._send_chunk():
                    pass
                if await self._go_live():
                    return
            except LogPruned:
                self.mode, self._task = Mode.IDLE, None
                await self._on_pruned()
                return
            except AccessChanged:
                self.mode, self._task = Mode.IDLE, None
                self.channel_changed()
                return
            except SyncError as refused:
                if refused.retry_after is None:
                    logger.exception("catch_up_failed", channel=self.channel, cursor=self.cursor)
                await asyncio.sleep(refused.retry_after or RETRY_SECONDS)
            except Exception:
                logger.exception("catch_up_failed", channel=self.channel, cursor=self.cursor)
                await asyncio.sleep(RETRY_SECONDS)

    async def _go_live(self) -> bool:
        """Join the hub and close the gap to it. Return False if the client was too slow."""
        await self._buffer.room()
        self._held, self._held_bytes = [], 0
        head = await self._hub.join(self, self.channel, self.cursor, self.state_hash)
        await self.send_until(head)
        held, self._held = self._held, None
        if held is None:
            return False
        self.mode, self._task = Mode.LIVE, None
        for frame in held:
            if self.mode is Mode.LIVE:  # it may fall behind again within this loop
                self._put_live(frame)
        if self._announce:
            self._announce = False
            self._buffer.put(frames.message("live", cursor=self.cursor, state_hash=self.state_hash.hex()))
        return True
