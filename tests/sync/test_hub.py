"""Fan-out inside a process, against a log in memory."""

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
    """A tenant's log, and the hub's way to read it."""

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


class Ears:
    """A subscriber that checks that it hears every change once, in order."""

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
        while not condition():  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0.001)


async def test_everybody_gets_the_very_same_frame(hub) -> None:
    hub, log = hub
    ears = [Ears() for _ in range(3)]
    for each in ears:
        assert await hub.join(each, CHANNEL, 0, GENESIS) == 0
    hub.on_commit(log.commit(2))
    await until(lambda: all(e.cursor == 2 for e in ears))
    assert ears[0].frames[0].text is ears[1].frames[0].text is ears[2].frames[0].text
    assert ears[0].frames[0].text == frames.changes(
        "full", log.lines, schema_version=1, from_cursor=0, to_cursor=2, state_hash=log.state(2)
    )


async def test_commits_of_one_moment_travel_in_one_frame(hub) -> None:
    hub, log = hub
    ear = Ears()
    await hub.join(ear, CHANNEL, 0, GENESIS)
    await asyncio.sleep(0.01)
    for _ in range(10):
        hub.on_commit(log.commit())
    await until(lambda: ear.cursor == 10)
    assert len(ear.frames) == 1


async def test_commits_out_of_order_lost_and_repeated_are_put_right_from_the_log(hub) -> None:
    hub, log = hub
    ear = Ears()
    await hub.join(ear, CHANNEL, 0, GENESIS)
    first, second, third, _lost, fifth = (log.commit() for _ in range(5))
    for commit in (second, first, first, third, fifth, second):
        hub.on_commit(commit)
    await until(lambda: ear.cursor == 5)


async def test_a_wake_up_is_enough_to_get_what_another_process_wrote(hub) -> None:
    hub, log = hub
    ear = Ears()
    await hub.join(ear, CHANNEL, 0, GENESIS)
    await asyncio.sleep(0.01)
    log.chunk = 3
    log.commit(10)
    hub.wake(1, 10)
    await until(lambda: ear.cursor == 10)
    hub.wake(1, 10)
    hub.wake(2, 99)
    hub.wake(1, 11)  # a lie costs one read
    await asyncio.sleep(0.01)
    assert ear.cursor == 10


async def test_what_was_committed_between_the_read_and_the_first_join_is_not_missed(hub) -> None:
    hub, log = hub
    hub.on_commit(log.commit(4))  # nobody listens yet
    ear = Ears()
    assert await hub.join(ear, CHANNEL, 0, GENESIS) == 0
    await until(lambda: ear.cursor == 4)


async def test_who_is_ahead_of_the_hub_waits_until_the_hub_is_there(hub) -> None:
    hub, log = hub
    early = Ears()
    await hub.join(early, CHANNEL, 0, GENESIS)
    await asyncio.sleep(0.01)
    log.commit(3)
    late = Ears(3)
    assert await hub.join(late, CHANNEL, 3, log.state(3)) == 3
    hub.on_commit(log.commit())
    await until(lambda: early.cursor == late.cursor == 4)


async def test_a_database_that_is_down_for_a_while_costs_time_but_no_change(hub, monkeypatch) -> None:
    monkeypatch.setattr("sync.fanout.hub.RETRY_SECONDS", 0.01)
    hub, log = hub
    ear = Ears()
    await hub.join(ear, CHANNEL, 0, GENESIS)
    await asyncio.sleep(0.01)
    log.broken = True
    log.commit(2)
    hub.wake(1, 2)
    await asyncio.sleep(0.05)
    hub.on_commit(log.commit())
    log.broken = False
    await until(lambda: ear.cursor == 3)


async def test_the_last_one_out_ends_the_feed(hub) -> None:
    hub, log = hub
    ear = Ears()
    await hub.join(ear, CHANNEL, 0, GENESIS)
    assert hub.heads == {1: 0}
    hub.leave(ear, CHANNEL)
    assert hub.heads == {}
    hub.on_commit(log.commit())
    hub.leave(ear, CHANNEL)


@pytest.mark.parametrize("seed", range(5))
async def test_i4_every_subscriber_hears_every_change_once_in_order_whatever_the_timing(hub, seed: int) -> None:
    """Threads announce commits in any order and lose some, subscribers come and go; each hears a gap-free stream."""
    hub, log = hub
    rnd = random.Random(seed)
    log.chunk = rnd.choice([1, 3, 50])
    ears: list[Ears] = []
    delayed: list[Commit] = []
    for _ in range(150):
        choice = rnd.random()
        if choice < 0.6:
            delayed.append(log.commit(rnd.randint(1, 3)))
        if choice < 0.15:
            cursor = rnd.randint(0, len(log.lines))
            ear = Ears(cursor)
            ear.cursor = await hub.join(ear, CHANNEL, cursor, log.state(cursor))
            assert ear.cursor >= cursor
            ears.append(ear)
        elif choice > 0.95 and len(ears) > 1:
            hub.leave(ears.pop(rnd.randrange(len(ears))), CHANNEL)
        rnd.shuffle(delayed)
        while delayed and rnd.random() < 0.6:
            commit = delayed.pop()
            if rnd.random() < 0.8:
                thread = threading.Thread(target=hub.on_commit, args=(commit,))
                thread.start()
                thread.join()
        await asyncio.sleep(0)
    hub.wake(1, len(log.lines))
    await until(lambda: all(e.cursor == len(log.lines) for e in ears))
