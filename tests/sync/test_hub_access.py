"""I8 in the fan-out: a feed sends nothing while it does not know which channel each subscriber belongs to."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from metadata.access import Rules, TableRule
from sync.channels.channel import ChainPosition, Channel, ChannelAssignments
from sync.channels.projection import Side
from sync.errors import AccessChanged
from sync.fanout import access_check
from sync.fanout.framing import SharedFrame
from sync.fanout.hub import Hub
from sync.log.commit import Commit
from sync.wire.chain import fold
from sync.wire.lines import encode_change

GENESIS = b"\x00" * 32
FULL = Channel(1, "acme")
NOTES = Rules((TableRule("note", "notes", create=False, update=False, delete=False, readable=None, writable=None),))


class Database:
    """What the hub asks of the database. `answer` is the standing of every member, `gate` holds the query back."""

    def __init__(self) -> None:
        self.answer: ChannelAssignments | Exception = ChannelAssignments(0, {})
        self.gate = asyncio.Event()
        self.queries = 0
        self.on_query: Callable[[], None] = lambda: None

    async def chain_at(self, channel: Channel, cursor: int) -> ChainPosition:
        return ChainPosition(GENESIS, 1)

    async def remember(self, channel: Channel, cursor: int, state_hash: bytes) -> None:
        """Keep no checkpoint."""

    async def current_channels(self, tenant_id: int, user_ids: Sequence[int]) -> ChannelAssignments:
        self.queries += 1
        answer = self.answer
        await asyncio.sleep(0)  # a query runs in a thread: it always yields
        await self.gate.wait()
        self.on_query()
        if isinstance(answer, Exception):
            raise answer
        return answer


class Reader:
    """A subscriber that leaves when its channel changes, as a connection does."""

    def __init__(self, hub: Hub, channel: Channel, user_id: int = 1) -> None:
        self.hub, self.channel, self.user_id = hub, channel, user_id
        self.frames: list[SharedFrame] = []
        self.left = False

    def offer(self, frame: SharedFrame) -> None:
        self.frames.append(frame)

    def channel_changed(self) -> None:
        self.left = True
        self.hub.leave(self, self.channel)


class Log:
    """A tenant's commits, one line each."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def commit(self, access_version: int) -> Commit:
        start = len(self.lines)
        cursor = start + 1
        record = {"title": "secret"}
        self.lines.append(encode_change(cursor, 1, "notes", f"n{cursor}", "insert", 1, record, "2026-01-01", "olga"))
        sides = {cursor: Side(None, {})}
        return Commit(1, start, cursor, [(1, self.lines[-1])], fold(GENESIS, self.lines), sides, access_version)


@pytest.fixture
async def stage(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Hub, Database, Log]]:
    monkeypatch.setattr(access_check, "RETRY_SECONDS", 0.05)

    async def read(tenant_id: int, after: int) -> list[Commit]:
        return []

    database = Database()
    hub = Hub(read, database)
    hub.start()
    yield hub, database, Log()
    hub.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0.001)


async def a_while() -> None:
    """Let the event loop run everything that is due."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize("filtered", [False, True], ids=["full", "filtered"])
async def test_i8_a_change_made_under_newer_rights_waits_for_the_access_check(stage, filtered: bool) -> None:
    hub, database, log = stage
    channel = Channel(1, "acme", "k1", rules=NOTES) if filtered else FULL
    stays, goes = Reader(hub, channel, 1), Reader(hub, channel, 2)
    for reader in (stays, goes):
        await hub.join(reader, channel, 0, GENESIS)
    database.answer = ChannelAssignments(1, {1: channel.key, 2: "elsewhere"})
    hub.on_commit(log.commit(1))
    await until(lambda: database.queries == 1)
    await a_while()
    hub.advance()
    assert stays.frames == goes.frames == []
    database.gate.set()
    await until(lambda: bool(stays.frames))
    assert [frame.to_cursor for frame in stays.frames] == [1]
    assert goes.left
    assert goes.frames == []
    assert stays.channel.access_version == 1


@pytest.mark.filterwarnings("ignore")
async def test_i8_nothing_is_sent_while_the_database_cannot_say_who_may_have_it(stage) -> None:
    hub, database, log = stage
    reader = Reader(hub, FULL)
    await hub.join(reader, FULL, 0, GENESIS)
    database.gate.set()
    database.answer = OSError("The database is down.")
    hub.on_commit(log.commit(1))
    await until(lambda: database.queries >= 3)
    assert reader.frames == []
    assert not reader.left
    database.answer = ChannelAssignments(1, {1: "elsewhere"})
    await until(lambda: reader.left)
    await a_while()
    assert reader.frames == []


@pytest.mark.parametrize("missing", [{}, {1: "elsewhere"}], ids=["no member", "another channel"])
async def test_a_change_of_rights_alone_starts_the_check(stage, missing: dict[int, str]) -> None:
    hub, database, log = stage
    reader = Reader(hub, FULL)
    await hub.join(reader, FULL, 0, GENESIS)
    database.gate.set()
    database.answer = ChannelAssignments(1, missing)
    hub.access_changed(1)
    hub.on_commit(log.commit(0))
    await until(lambda: reader.left)
    await a_while()
    assert reader.frames == []


async def test_i8_rights_that_change_during_a_check_are_checked_again_before_anything_is_sent(stage) -> None:
    hub, database, log = stage
    reader = Reader(hub, FULL)
    await hub.join(reader, FULL, 0, GENESIS)
    database.answer = ChannelAssignments(1, {1: FULL.key})
    hub.on_commit(log.commit(1))
    await until(lambda: database.queries == 1)
    hub.access_changed(1)
    await a_while()
    database.answer = ChannelAssignments(1, {1: "elsewhere"})
    database.gate.set()
    await until(lambda: reader.left)
    await a_while()
    assert reader.frames == []


async def test_an_answer_older_than_the_commit_is_not_enough(stage) -> None:
    """A commit was made under version 2; a database that still returns version 1 is queried again, after a pause."""
    hub, database, log = stage
    reader = Reader(hub, FULL)
    await hub.join(reader, FULL, 0, GENESIS)
    database.gate.set()
    database.answer = ChannelAssignments(1, {1: FULL.key})
    hub.on_commit(log.commit(2))
    await until(lambda: database.queries >= 1)
    await a_while()
    assert database.queries == 1, "no tight loop"
    await until(lambda: database.queries >= 3)
    assert reader.frames == []
    database.answer = ChannelAssignments(2, {1: "elsewhere"})
    await until(lambda: reader.left)
    assert reader.frames == []


async def test_i8_a_channel_chosen_under_older_rights_is_not_joined(stage) -> None:
    hub, _database, log = stage
    newer = Channel(1, "acme", access_version=1)
    first, late = Reader(hub, newer, 1), Reader(hub, FULL, 2)
    await hub.join(first, newer, 0, GENESIS)
    with pytest.raises(AccessChanged):
        await hub.join(late, FULL, 0, GENESIS)
    hub.on_commit(log.commit(1))
    await until(lambda: bool(first.frames))
    assert late.frames == []


async def test_who_joins_under_newer_rights_waits_until_everyone_was_checked(stage) -> None:
    hub, database, log = stage
    first = Reader(hub, FULL, 1)
    await hub.join(first, FULL, 0, GENESIS)
    newer = Channel(1, "acme", access_version=1)
    second = Reader(hub, newer, 2)
    database.answer = ChannelAssignments(1, {1: "elsewhere"})
    joining = asyncio.create_task(hub.join(second, newer, 0, GENESIS))
    await until(lambda: database.queries == 1)
    await a_while()
    assert not joining.done()
    database.gate.set()
    assert await joining == 0
    assert first.left
    hub.on_commit(log.commit(1))
    await until(lambda: bool(second.frames))
    assert first.frames == []


async def test_rights_that_change_while_a_subscriber_waits_to_join_keep_it_out(stage) -> None:
    hub, database, log = stage
    first = Reader(hub, FULL, 1)
    await hub.join(first, FULL, 0, GENESIS)
    database.answer = ChannelAssignments(2, {1: FULL.key})
    hub.access_changed(1)
    await a_while()
    late = Reader(hub, FULL, 2)
    joining = asyncio.create_task(hub.join(late, FULL, 0, GENESIS))
    await until(lambda: database.queries == 1)
    database.gate.set()
    with pytest.raises(AccessChanged):
        await joining
    hub.on_commit(log.commit(2))
    await until(lambda: bool(first.frames))
    assert late.frames == []


async def test_a_subscriber_that_waits_for_the_access_check_is_cancelled_when_the_hub_stops(stage) -> None:
    hub, database, _log = stage
    await hub.join(Reader(hub, FULL), FULL, 0, GENESIS)
    hub.access_changed(1)
    await until(lambda: database.queries == 1)
    late = asyncio.create_task(hub.join(Reader(hub, FULL, 2), FULL, 0, GENESIS))
    await a_while()
    hub.stop()
    with pytest.raises(asyncio.CancelledError):
        await late
