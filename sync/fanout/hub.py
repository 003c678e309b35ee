"""In-process fan-out: one feed per tenant with subscribers here, and one encoded frame per channel for all of them.

Everything runs on the event loop, except `Hub.on_commit` and `Hub.access_changed`, which any thread may call. The log
is authoritative: if a commit does not follow the feed's head (another process wrote in between, a wake-up, a lost
message), the feed reads the log from its head. A subscriber joins at the feed's head and is offered every later
frame, in order, until it leaves.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace

import structlog

from sync import metrics
from sync.channels.channel import FULL_ACCESS, Channel
from sync.errors import LogPruned
from sync.fanout.access_check import AccessCheck, ChannelStore, Subscriber, spawn
from sync.fanout.channel_feed import ChannelFeed, ChannelFeeds
from sync.fanout.framing import SharedFrame, encode, segments
from sync.log.commit import Commit

logger = structlog.get_logger(__name__)

MAX_FRAME_BYTES = 1024 * 1024
MAX_WAITING_COMMITS = 1000
RETRY_SECONDS = 1.0
CHECKPOINT_LINES = 1000

LogReader = Callable[[int, int], Awaitable[list[Commit]]]
"""Reads a tenant's log after a cursor: some commits in order, none if the cursor is the head."""


class TenantFeed:
    """One tenant's changes, in order, on their way to the subscribers in this process."""

    def __init__(
        self,
        tenant_id: int,
        head: int,
        state_hash: bytes,
        read: LogReader,
        *,
        access_version: int = 0,
        store: ChannelStore | None = None,
    ) -> None:
        self.tenant_id = tenant_id
        self.head = self.flushed = head
        self.channel_feeds = ChannelFeeds()
        self.access = AccessCheck(self, access_version, store)
        self.joining = 0
        self._store = store
        self.subscribers: dict[Channel, dict[Subscriber, None]] = {}
        self._state_hash = state_hash
        self._flushed_hash = state_hash
        self._pending: list[Commit] = []
        self._waiting: deque[Commit] = deque(maxlen=MAX_WAITING_COMMITS)
        self._wanted = head
        self._read = read
        self._reading: asyncio.Task[None] | None = None
        self._flush_due = False
        self._arrivals: list[tuple[int, asyncio.Future[None]]] = []

    def add(self, commit: Commit) -> None:
        """Add a commit. Commits may arrive in any order."""
        if commit.to_cursor <= self.head:
            return
        if commit.from_cursor == self.head and self._reading is None:
            self._append(commit)
        else:
            self._waiting.append(commit)
            self.wake(commit.to_cursor)

    def wake(self, cursor: int) -> None:
        """Make the feed read the log up to a cursor."""
        self._wanted = max(self._wanted, cursor)
        if self._wanted > self.head:
            self.recheck()

    def recheck(self) -> None:
        """Read the log, even if no newer commit is known."""
        if self._reading is None:
            self._reading = asyncio.get_running_loop().create_task(self._catch_up())

    async def reach(self, cursor: int) -> None:
        """Wait until the feed's head reaches a cursor."""
        if self.head >= cursor:
            return
        arrival = asyncio.get_running_loop().create_future()
        self._arrivals.append((cursor, arrival))
        self.wake(cursor)
        await arrival

    def flush(self) -> None:
        """Offer all commits since the last flush, as one frame per channel if sizes and schema versions allow."""
        self._flush_due = False
        if not self._pending or self.access.pending:
            return
        commits, self._pending = self._pending, []
        plain = [channel for channel in self.subscribers if not channel.filtered]
        for segment in segments(commits, self._flushed_hash, max_bytes=MAX_FRAME_BYTES) if plain else ():
            for channel in plain:
                self._offer(channel, encode(channel, segment), len(segment.lines))
        self._flushed_hash, self.flushed = self._state_hash, self.head
        for channel_feed in self.channel_feeds.add_commits(commits) if self.channel_feeds else ():
            self.emit(channel_feed)

    def emit(self, channel_feed: ChannelFeed, *, empty: bool = False) -> None:
        """Offer a filtered channel's frames. With `empty`, its subscribers reach the head even without any lines."""
        for frame in channel_feed.emit(self.flushed, empty=empty):
            self._offer(channel_feed.channel, frame, 1)
        if channel_feed.since_checkpoint >= CHECKPOINT_LINES and self._store is not None:
            channel_feed.since_checkpoint = 0
            spawn(self._store.remember(channel_feed.channel, channel_feed.position, channel_feed.state_hash))

    def advance(self) -> None:
        """Bring idle subscribers of filtered channels to the head."""
        if not self.access.pending:
            self.flush()
            for channel_feed in self.channel_feeds.by_channel.values():
                self.emit(channel_feed, empty=True)

    def _offer(self, channel: Channel, frame: SharedFrame, lines: int) -> None:
        subscribers = self.subscribers.get(channel, {})
        for subscriber in tuple(subscribers):
            subscriber.offer(frame)
        metrics.frames_sent.inc(len(subscribers))
        metrics.change_deliveries.inc(len(subscribers) * lines)

    def close(self) -> None:
        """Stop reading. Tasks that wait for a cursor are cancelled."""
        self.access.close()
        if self._reading is not None:
            self._reading.cancel()
        for _, arrival in self._arrivals:
            arrival.cancel()

    def _append(self, commit: Commit) -> None:
        self._pending.append(commit)
        self.head, self._state_hash = commit.to_cursor, commit.state_hash
        self.access.require_version(commit.access_version)
        if not self._flush_due:
            self._flush_due = True
            asyncio.get_running_loop().call_soon(self.flush)
        if self._arrivals:
            for cursor, arrival in self._arrivals:
                if cursor <= self.head and not arrival.done():
                    arrival.set_result(None)
            self._arrivals = [(cursor, arrival) for cursor, arrival in self._arrivals if not arrival.done()]

    async def _catch_up(self) -> None:
        """Read the log from the head to its end, and insert commits that arrived meanwhile in order."""
        while True:
            wanted = self._wanted
            try:
                commits = await self._read(self.tenant_id, self.head)
            except Exception:
                logger.exception("feed_read_failed", tenant_id=self.tenant_id, head=self.head)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            for commit in commits:
                self._append(commit)
            self._append_waiting()
            if commits or self._waiting or self._wanted > wanted:
                continue
            if not self._arrivals:
                break
            await asyncio.sleep(RETRY_SECONDS)
        self._wanted = self.head
        self._reading = None

    def _append_waiting(self) -> None:
        while self._waiting and self._waiting[0].from_cursor <= self.head:
            commit = self._waiting.popleft()
            if commit.from_cursor == self.head:
                self._append(commit)


class Hub:
    """The feeds of one process."""

    def __init__(self, read: LogReader, store: ChannelStore | None = None) -> None:
        self._read = read
        self._store = store
        self._feeds: dict[int, TenantFeed] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Bind to the running event loop."""
        self._loop = asyncio.get_running_loop()

    def stop(self) -> None:
        """Close all feeds. No more frames are offered."""
        self._loop = None
        for feed in self._feeds.values():
            feed.close()
        self._feeds.clear()

    @property
    def running(self) -> bool:
        """Whether the hub accepts commits."""
        return self._loop is not None

    @property
    def heads(self) -> dict[int, int]:
        """The head of every feed, by tenant."""
        return {feed.tenant_id: feed.head for feed in self._feeds.values()}

    def on_commit(self, commit: Commit) -> None:
        """Pass a commit to its feed. Can be called from any thread; never blocks."""
        loop = self._loop
        if loop is not None and not loop.is_closed() and commit.tenant_id in self._feeds:
            loop.call_soon_threadsafe(self._add, commit)

    def _add(self, commit: Commit) -> None:
        if (feed := self._feeds.get(commit.tenant_id)) is not None:
            feed.add(commit)

    def wake(self, tenant_id: int, cursor: int) -> None:
        """Make a tenant's feed read the log up to a cursor, after a notification from another process."""
        if (feed := self._feeds.get(tenant_id)) is not None:
            feed.wake(cursor)

    def access_changed(self, tenant_id: int) -> None:
        """Check a tenant's subscribers again. Can be called from any thread; never blocks."""
        loop = self._loop
        if loop is not None and not loop.is_closed() and tenant_id in self._feeds:
            loop.call_soon_threadsafe(self._invalidate, tenant_id)

    def access_version_at(self, tenant_id: int, access_version: int) -> None:
        """Check a tenant's subscribers if this access version, read from the database, is newer."""
        if (feed := self._feeds.get(tenant_id)) is not None:
            feed.access.require_version(access_version)

    def _invalidate(self, tenant_id: int) -> None:
        if (feed := self._feeds.get(tenant_id)) is not None:
            feed.access.invalidate()

    def advance(self) -> None:
        """Bring idle subscribers of filtered channels to the head. Call it from time to time."""
        for feed in tuple(self._feeds.values()):
            feed.advance()

    async def join(self, subscriber: Subscriber, channel: Channel, cursor: int, state_hash: bytes) -> int:
        """Add a subscriber that has everything up to `cursor`. Return the head H >= cursor.

        The subscriber is offered every frame after H. It reads the changes between cursor and H from the log itself.
        `state_hash` is the channel's chain at `cursor`. Raises `AccessChanged` if access changed since the channel was
        chosen, and `LogPruned` if the log does not reach back.
        """
        feed = await self._feed(channel, cursor, state_hash)
        feed.joining += 1
        try:
            await feed.reach(cursor)
            channel_feed = await self._channel_feed(feed, channel) if channel.filtered else None
            await feed.access.wait_current(channel)
            # Nothing below awaits, so no frame can be lost between the returned head and the subscription.
            feed.access.require(channel)
            feed.flush()
            if channel_feed is not None:
                feed.emit(channel_feed, empty=True)
            feed.subscribers.setdefault(channel, {})[subscriber] = None
        finally:
            feed.joining -= 1
            self._end_if_empty(feed)
        return feed.flushed

    async def _feed(self, channel: Channel, cursor: int, state_hash: bytes) -> TenantFeed:
        tenant_id = channel.tenant_id
        if tenant_id not in self._feeds and channel.filtered and self._store is not None:
            start = await self._store.chain_at(replace(channel, key=FULL_ACCESS, rules=None), cursor)
            if start is None:
                raise LogPruned
            state_hash = start.state_hash
        feed = self._feeds.get(tenant_id)
        if feed is None:
            version = channel.access_version
            feed = TenantFeed(tenant_id, cursor, state_hash, self._read, access_version=version, store=self._store)
            self._feeds[tenant_id] = feed
            feed.recheck()  # the feed missed any commit made after the subscriber read the log
        return feed

    async def _channel_feed(self, feed: TenantFeed, channel: Channel) -> ChannelFeed:
        """Return the started feed of a filtered channel. While its chain is read, it collects commits."""
        channel_feed = feed.channel_feeds.by_channel.get(channel)
        if channel_feed is None:
            feed.flush()
            channel_feed = ChannelFeed(channel, feed.flushed)
            feed.channel_feeds.add(channel_feed)
        if not channel_feed.started and self._store is not None:
            start = await self._store.chain_at(channel, channel_feed.position)
            if start is None:
                feed.channel_feeds.remove(channel)
                raise LogPruned
            if not channel_feed.started:
                channel_feed.start(start.state_hash, start.schema_version)
        if feed.channel_feeds.by_channel.get(channel) is not channel_feed:
            raise LogPruned
        return channel_feed

    def leave(self, subscriber: Subscriber, channel: Channel) -> None:
        """Remove a subscriber. The feed closes with its last subscriber."""
        feed = self._feeds.get(channel.tenant_id)
        if feed is None:
            return
        subscribers = feed.subscribers.get(channel, {})
        subscribers.pop(subscriber, None)
        if not subscribers:
            feed.subscribers.pop(channel, None)
            if not feed.joining:
                feed.channel_feeds.remove(channel)
        self._end_if_empty(feed)

    def _end_if_empty(self, feed: TenantFeed) -> None:
        if not feed.subscribers and not feed.joining and self._feeds.get(feed.tenant_id) is feed:
            feed.close()
            del self._feeds[feed.tenant_id]
