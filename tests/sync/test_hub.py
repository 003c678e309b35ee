"""Fan-out inside a process, with a log in memory."""

import asyncio
import random
import threading

import pytest

from sync.channels.channel import Channel
from sync.fanout.framing import SharedFrame
from sync.fanout.hub import Hub
from sync.log.commit import Commit
from sync.wire import frames
from sync.wire.chain import fold

CHANNEL = Channel(1, "acme")
GENESIS = b"\x00" * 32


class MemoryLog:
    """A tenant's log, and the hub's reader of it."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.reads = 0
        self.chunk = 1000
        self.broken = False

    def state(self, cursor: int) -> bytes:
        return fold(GENESIS, self.lines[:cursor])

    def commit(self, count: int = 1) -> Commit:
        start = len(self.lines)
        self.lines += [b'{"cursor":%d}' % (start + n + 1) for n in range(count)]
        return self.between(start, len(self.lines))

    def between(self, start: int, end: int) -> Commit:
        return Commit(1, start, end, [(1, line) for line in self.lines[start:end]], self.state(end))

    async def read(self, tenant_id: int, after: int) -> list[Commit]:
        self.reads += 1
        end = min(len(self.lines), after + self.chunk)
        found = self.between(after, end)
        await asyncio.sleep(0)
        if self.broken:
            raise OSError("database is down")
        return [found] if end > after else []


class RecordingSubscriber:
    """A subscriber that checks that it receives every change once, in order."""

    def __init__(self, cursor: int = 0) -> None:
        self.cursor = cursor
        self.frames: list[SharedFrame] = []

    def offer(self, frame: SharedFrame) -> None:
        assert frame.from_cursor == self.cursor
        self.cursor = frame.to_cursor
        self.frames.append(frame)


@pytest.fixture
async def hub():
    log = MemoryLog()
    hub = Hub(log.read)
    hub.start()
    yield hub, log
    hub.stop()


async def until(condition) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # no event to wait for
            await asyncio.sleep(0.001)


async def test_all_subscribers_get_one_shared_frame(hub) -> None:
    hub, log = hub
    subscribers = [RecordingSubscriber() for _ in range(3)]
    for each in subscribers:
        assert await hub.join(each, CHANNEL, 0, GENESIS) == 0
    hub.on_commit(log.commit(2))
    await until(lambda: all(e.cursor == 2 for e in subscribers))
    assert subscribers[0].frames[0].text is subscribers[1].frames[0].text is subscribers[2].frames[0].text
    assert subscribers[0].frames[0].text == frames.changes(
        "full", log.lines, schema_version=1, from_cursor=0, to_cursor=2, state_hash=log.state(2)
    )


async def test_concurrent_commits_share_one_frame(hub) -> None:
    hub, log = hub
    subscriber = RecordingSubscriber()
    await hub.join(subscriber, CHANNEL, 0, GENESIS)
    await asyncio.sleep(0.01)
    for _ in range(10):
        hub.on_commit(log.commit())
    await until(lambda: subscriber.cursor == 10)
    assert len(subscriber.frames) == 1


async def test_lost_repeated_and_unordered_commits_are_repaired_from_the_log(hub) -> None:
    hub, log = hub
    subscriber = RecordingSubscriber()
    await hub.join(subscriber, CHANNEL, 0, GENESIS)
    first, second, third, _lost, fifth = (log.commit() for _ in range(5))
    for commit in (second, first, first, third, fifth, second):
        hub.on_commit(commit)
    await until(lambda: subscriber.cursor == 5)


async def test_a_wake_up_delivers_commits_of_another_process(hub) -> None:
    hub, log = hub
    subscriber = RecordingSubscriber()
    await hub.join(subscriber, CHANNEL, 0, GENESIS)
    await asyncio.sleep(0.01)
    log.chunk = 3
    log.commit(10)
    hub.wake(1, 10)
    await until(lambda: subscriber.cursor == 10)
    hub.wake(1, 10)
    hub.wake(2, 99)
    hub.wake(1, 11)  # a wrong cursor costs one read
    await asyncio.sleep(0.01)
    assert subscriber.cursor == 10


async def test_commits_between_the_read_and_the_first_join_are_delivered(hub) -> None:
    hub, log = hub
    hub.on_commit(log.commit(4))  # no subscriber yet
    subscriber = RecordingSubscriber()
    assert await hub.join(subscriber, CHANNEL, 0, GENESIS) == 0
    await until(lambda: subscriber.cursor == 4)


async def test_a_subscriber_ahead_of_the_hub_waits_for_it(hub) -> None:
    hub, log = hub
    early = RecordingSubscriber()
    await hub.join(early, CHANNEL, 0, GENESIS)
    await asyncio.sleep(0.01)
    log.commit(3)
    late = RecordingSubscriber(3)
    assert await hub.join(late, CHANNEL, 3, log.state(3)) == 3
    hub.on_commit(log.commit())
    await until(lambda: early.cursor == late.cursor == 4)


async def test_a_database_outage_delays_changes_but_loses_none(hub, monkeypatch) -> None:
    monkeypatch.setattr("sync.fanout.hub.RETRY_SECONDS", 0.01)
    hub, log = hub
    subscriber = RecordingSubscriber()
    await hub.join(subscriber, CHANNEL, 0, GENESIS)
    await asyncio.sleep(0.01)
    log.broken = True
    log.commit(2)
    hub.wake(1, 2)
    await asyncio.sleep(0.05)
    hub.on_commit(log.commit())
    log.broken = False
    await until(lambda: subscriber.cursor == 3)


async def test_the_feed_closes_with_its_last_subscriber(hub) -> None:
    hub, log = hub
    subscriber = RecordingSubscriber()
    await hub.join(subscriber, CHANNEL, 0, GENESIS)
    assert hub.heads == {1: 0}
    hub.leave(subscriber, CHANNEL)
    assert hub.heads == {}
    hub.on_commit(log.commit())
    hub.leave(subscriber, CHANNEL)


@pytest.mark.parametrize("seed", range(5))
async def test_i4_every_subscriber_receives_every_change_once_in_order(hub, seed: int) -> None:
    """Threads announce commits in any order and lose some. Each subscriber receives a gap-free stream."""
    hub, log = hub
    rnd = random.Random(seed)
    log.chunk = rnd.choice([1, 3, 50])
    subscribers: list[RecordingSubscriber] = []
    delayed: list[Commit] = []
    for _ in range(150):
        choice = rnd.random()
        if choice < 0.6:
            delayed.append(log.commit(rnd.randint(1, 3)))
        if choice < 0.15:
            cursor = rnd.randint(0, len(log.lines))
            subscriber = RecordingSubscriber(cursor)
            subscriber.cursor = await hub.join(subscriber, CHANNEL, cursor, log.state(cursor))
            assert subscriber.cursor >= cursor
            subscribers.append(subscriber)
        elif choice > 0.95 and len(subscribers) > 1:
            hub.leave(subscribers.pop(rnd.randrange(len(subscribers))), CHANNEL)
        rnd.shuffle(delayed)
        while delayed and rnd.random() < 0.6:
            commit = delayed.pop()
            if rnd.random() < 0.8:
                thread = threading.Thread(target=hub.on_commit, args=(commit,))
                thread.start()
                thread.join()
        await asyncio.sleep(0)
    hub.wake(1, len(log.lines))
    await until(lambda: all(e.cursor == len(log.lines) for e in subscribers))
