"""Pure: feeds of a tenant's filtered channels: which channels a change concerns, and their frames.

A feed emits a frame only when its channel sees something, so cost grows only with the channels that see a change.
Between frames a feed lags behind the head. `TenantFeed.advance` closes the gap with a frame without lines.
"""

from collections.abc import Iterable, Iterator

from sync.channels.channel import Channel
from sync.channels.projection import Side, project
from sync.channels.routing import index_term, values_of
from sync.fanout.framing import SharedFrame
from sync.log.commit import Commit
from sync.wire import frames
from sync.wire.chain import link
from sync.wire.lines import decode_line
from sync.wire.system_tables import SYSTEM_TABLES


class ChannelFeed:
    """The feed of one filtered channel: the cursor its subscribers have reached, and the chain there."""

    def __init__(self, channel: Channel, position: int, schema_version: int = 0) -> None:
        self.channel = channel
        self.position = position
        self.schema_version = schema_version
        self.since_checkpoint = 0
        self._state: bytes | None = None
        self._lines: list[tuple[int, int, bytes]] = []

    @property
    def started(self) -> bool:
        """Whether its chain is known. Until then the feed only collects lines."""
        return self._state is not None

    @property
    def state_hash(self) -> bytes:
        """The chain at `position`."""
        if self._state is None:
            raise RuntimeError("The channel feed has not started.")
        return self._state

    def start(self, state_hash: bytes, schema_version: int) -> None:
        """Set the chain at `position`."""
        self._state = state_hash
        self.schema_version = max(self.schema_version, schema_version)

    def add(self, cursor: int, schema_version: int, line: bytes) -> None:
        """Add a projected line."""
        self._lines.append((cursor, schema_version, line))

    def emit(self, head: int, *, empty: bool = False) -> Iterator[SharedFrame]:
        """Yield frames of the added lines. With `empty`, a frame without lines closes any gap up to the head."""
        if self._state is None:
            return
        lines, self._lines = self._lines, []
        start = 0
        for index, (cursor, version, _) in enumerate(lines):
            last = index + 1 == len(lines)
            if last or lines[index + 1][1] != version:
                yield self._frame([line for _, _, line in lines[start : index + 1]], version, head if last else cursor)
                start = index + 1
        if empty and self.position < head:
            yield self._frame([], self.schema_version, head)

    def _frame(self, lines: list[bytes], schema_version: int, to_cursor: int) -> SharedFrame:
        state = self.state_hash
        for line in lines:
            state = link(state, line)
        text = frames.changes(
            self.channel.key,
            lines,
            schema_version=schema_version,
            from_cursor=self.position,
            to_cursor=to_cursor,
            state_hash=state,
        )
        frame = SharedFrame(text, self.position, to_cursor, state)
        self.position, self._state, self.schema_version = to_cursor, state, schema_version
        self.since_checkpoint += len(lines)
        return frame


class ChannelFeeds:
    """The channel feeds of a tenant, indexed by the values their rules allow."""

    def __init__(self) -> None:
        self.by_channel: dict[Channel, ChannelFeed] = {}
        self._unfiltered: dict[str, dict[Channel, None]] = {}
        self._by_value: dict[str, dict[str, dict[str, dict[Channel, None]]]] = {}

    def __bool__(self) -> bool:
        return bool(self.by_channel)

    def add(self, feed: ChannelFeed) -> None:
        """Add a feed."""
        self.by_channel[feed.channel] = feed
        for bucket in self._buckets(feed.channel):
            bucket[feed.channel] = None

    def remove(self, channel: Channel) -> None:
        """Remove a feed."""
        feed = self.by_channel.pop(channel, None)
        if feed is not None:
            for bucket in self._buckets(feed.channel):
                bucket.pop(channel, None)

    def _buckets(self, channel: Channel) -> Iterator[dict[Channel, None]]:
        for rule in channel.rules.tables if channel.rules else ():
            for table in SYSTEM_TABLES:
                yield self._bucket(table, "object_name", rule.object_name)
            term = index_term(rule)
            if term is None:
                yield self._unfiltered.setdefault(rule.table, {})
            else:
                for value in term.allowed:
                    yield self._bucket(rule.table, term.key.text, value)

    def _bucket(self, table: str, key: str, value: str) -> dict[Channel, None]:
        return self._by_value.setdefault(table, {}).setdefault(key, {}).setdefault(value, {})

    def concerned(self, table: str, side: Side | None) -> Iterable[Channel]:
        """Return the channels that a change may concern. `projection` decides whether it does."""
        found: dict[Channel, None] = dict(self._unfiltered.get(table, {}))
        if side is None:
            return found
        for key, by_value in self._by_value.get(table, {}).items():
            for routing in (side.before, side.after):
                for value in values_of(routing, key):
                    found.update(by_value.get(value, {}))
        return found

    def add_commits(self, commits: Iterable[Commit]) -> list[ChannelFeed]:
        """Add commits. Return the feeds whose channels see some of their changes."""
        touched: dict[Channel, ChannelFeed] = {}
        for commit in commits:
            for offset, (version, line) in enumerate(commit.lines):
                cursor = commit.from_cursor + offset + 1
                change = decode_line(line)
                side = commit.sides.get(cursor)
                for channel in self.concerned(change["table"], side):
                    feed = self.by_channel[channel]
                    projected = project(line, side, feed.channel.rules, change) if feed.channel.rules else None
                    if projected is not None:
                        feed.add(cursor, version, projected)
                        touched[channel] = feed
        return list(touched.values())
