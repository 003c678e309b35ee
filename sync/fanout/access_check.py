"""Whether the subscribers of a feed still belong to their channels.

Every commit says under which `access_version` it was made. As soon as a feed sees a later one than it has checked, it
hands nothing over until it has asked the database where each subscriber belongs; those who belong elsewhere leave first.
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
    """What filtered channels and rights need of the database."""

    async def chain_at(self, channel: Channel, cursor: int) -> ChainPosition | None:
        """Return where a channel's flow begins at a cursor."""

    async def current_channels(self, tenant_id: int, user_ids: Sequence[int]) -> ChannelAssignments:
        """Return the channel of each member now."""

    async def remember(self, channel: Channel, cursor: int, state_hash: bytes) -> None:
        """Keep a checkpoint of a filtered channel's chain."""


class Subscriber(Protocol):
    """What the hub offers frames to. Neither method may block or raise; `channel_changed` ends with the hub's `leave`."""

    channel: Channel
    user_id: int

    def channel_changed(self) -> None:
        """Rights changed, and the subscriber belongs to another channel now."""

    def offer(self, frame: SharedFrame) -> None:
        """Take the next frame of the channel."""


class Served(Protocol):
    """What this needs of a feed."""

    tenant_id: int
    subscribers: dict[Channel, dict[Subscriber, None]]

    def flush(self) -> None:
        """Hand over what was held back."""


def spawn(work: Coroutine[Any, Any, Any]) -> None:
    """Run something beside; its failure is logged and disturbs nobody."""
    task = asyncio.get_running_loop().create_task(work)
    _tasks.add(task)
    task.add_done_callback(_done)


def _done(task: "asyncio.Task[Any]") -> None:
    _tasks.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("background_work_failed", exc_info=error)


class AccessCheck:
    """The rights of one feed's subscribers, as far as they were checked."""

    def __init__(self, feed: Served, access_version: int, store: ChannelStore | None) -> None:
        self.access_version = access_version
        self._feed = feed
        self._store = store
        self._needed = access_version
        self._stale = False
        self._task: asyncio.Task[None] | None = None
        self._current = asyncio.Event()
        self._current.set()

    @property
    def pending(self) -> bool:
        """Whether nothing may be handed over for now."""
        return self._task is not None

    def seen(self, access_version: int) -> None:
        """A commit was made under this version."""
        if access_version > self._needed:
            self._needed = access_version
            self.invalidate()

    def invalidate(self) -> None:
        """Hand nothing over until everybody was checked again."""
        self._stale = True
        if self._task is None and self._store is not None:
            self._current.clear()
            self._task = asyncio.get_running_loop().create_task(self._ask(self._store))

    def require(self, channel: Channel) -> None:
        """Raise `AccessMoved` when a channel was chosen under rights that are out of date."""
        if channel.access_version < self.access_version:
            raise AccessChanged

    async def wait_current(self, channel: Channel) -> None:
        """Wait until the subscribers are checked at least under the rights a channel was chosen under."""
        self.seen(channel.access_version)
        while self.pending:
            await self._current.wait()

    def close(self) -> None:
        """Stop asking."""
        if self._task is not None:
            self._task.cancel()
        self._current.set()

    async def _ask(self, store: ChannelStore) -> None:
        while self._stale or self.access_version < self._needed:
            self._stale = False
            asked = [(channel, one) for channel, subscribers in self._feed.subscribers.items() for one in subscribers]
            try:
                standing = await store.current_channels(self._feed.tenant_id, [one.user_id for _, one in asked])
            except Exception:
                logger.exception("rights_check_failed", tenant_id=self._feed.tenant_id)
                self._stale = True
                await asyncio.sleep(RETRY_SECONDS)
                continue
            self.access_version = max(self.access_version, standing.access_version)
            for channel, one in asked:
                if standing.channels.get(one.user_id) == channel.key:
                    one.channel = replace(one.channel, access_version=standing.access_version)
                else:
                    one.channel_changed()
        self._task = None
        self._current.set()
        self._feed.flush()
