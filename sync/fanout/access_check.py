"""Check whether the subscribers of a feed still belong to their channels.

Every commit carries the `access_version` it was made under. When a feed receives a later one than it has checked, it
holds frames until every subscriber's channel is confirmed. Subscribers whose channel changed leave first.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any, Protocol

import structlog

from sync.channels.channel import ChainPosition, Channel, ChannelAssignments
from sync.errors import AccessChanged
from sync.fanout.framing import SharedFrame

logger = structlog.get_logger(__name__)
RETRY_SECONDS = 1.0
_tasks: set["asyncio.Task[Any]"] = set()


class ChannelStore(Protocol):
    """What filtered channels and access checks need from the database."""

    async def chain_at(self, channel: Channel, cursor: int) -> ChainPosition | None:
        """Return a channel's chain at a cursor, where a feed can start; None if the log does not reach back."""

    async def current_channels(self, tenant_id: int, user_ids: Sequence[int]) -> ChannelAssignments:
        """Return the current channel of each member."""

    async def remember(self, channel: Channel, cursor: int, state_hash: bytes) -> None:
        """Store a checkpoint of a filtered channel's chain."""


class Subscriber(Protocol):
    """A receiver of frames. Neither method may block or raise. `channel_changed` must call the hub's `leave`."""

    channel: Channel
    user_id: int

    def channel_changed(self) -> None:
        """Leave the hub: access changed, and the subscriber now belongs to another channel."""

    def offer(self, frame: SharedFrame) -> None:
        """Receive the next frame of the channel."""


class Served(Protocol):
    """What an access check needs from a feed."""

    tenant_id: int
    subscribers: dict[Channel, dict[Subscriber, None]]

    def flush(self) -> None:
        """Offer the frames that were held."""


def spawn(work: Coroutine[Any, Any, Any]) -> None:
    """Run work in the background. If it fails, the error is logged."""
    task = asyncio.get_running_loop().create_task(work)
    _tasks.add(task)
    task.add_done_callback(_done)


def _done(task: "asyncio.Task[Any]") -> None:
    _tasks.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("background_work_failed", exc_info=error)


class AccessCheck:
    """The access check of one feed's subscribers."""

    def __init__(self, feed: Served, access_version: int, store: ChannelStore | None) -> None:
        self.access_version = access_version
        self._feed = feed
        self._store = store
        self._needed = access_version
        self._stale = False
        self._closed = False
        self._task: asyncio.Task[None] | None = None
        self._current = asyncio.Event()
        self._current.set()

    @property
    def pending(self) -> bool:
        """Whether a check is running, so that frames must be held."""
        return self._task is not None

    def require_version(self, access_version: int) -> None:
        """Start a check if this version, under which a commit was made, is later than the checked one."""
        if access_version > self._needed:
            self._needed = access_version
            self.invalidate()

    def invalidate(self) -> None:
        """Hold frames until every subscriber has been checked again."""
        self._stale = True
        if self._task is None and self._store is not None:
            self._current.clear()
            self._task = asyncio.get_running_loop().create_task(self._check(self._store))

    def require(self, channel: Channel) -> None:
        """Raise `AccessChanged` if a channel was chosen under outdated access rules."""
        if channel.access_version < self.access_version:
            raise AccessChanged

    async def wait_current(self, channel: Channel) -> None:
        """Wait until the subscribers have been checked under the channel's access version or a later one.

        Raises `asyncio.CancelledError` when the feed is closed first.
        """
        self.require_version(channel.access_version)
        while self.pending:
            await self._current.wait()
            if self._closed:
                raise asyncio.CancelledError

    def close(self) -> None:
        """Stop checking, and cancel everyone who waits for the check."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
        self._current.set()

    async def _check(self, store: ChannelStore) -> None:
        while self._stale or self.access_version < self._needed:
            self._stale = False
            checked = [(channel, one) for channel, subscribers in self._feed.subscribers.items() for one in subscribers]
            try:
                assigned = await store.current_channels(self._feed.tenant_id, [one.user_id for _, one in checked])
            except Exception:
                logger.exception("rights_check_failed", tenant_id=self._feed.tenant_id)
                self._stale = True
                await asyncio.sleep(RETRY_SECONDS)
                continue
            self.access_version = max(self.access_version, assigned.access_version)
            for channel, one in checked:
                if assigned.channels.get(one.user_id) == channel.key:
                    one.channel = replace(one.channel, access_version=assigned.access_version)
                else:
                    one.channel_changed()
            if self.access_version < self._needed:
                # The version came from another process. Do not query in a tight loop until the database shows it.
                await asyncio.sleep(RETRY_SECONDS)
        self._task = None
        self._current.set()
        self._feed.flush()
