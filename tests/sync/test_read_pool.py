"""The threads that read: shared fairly, bounded per device, and free again when a caller is gone."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from django.db import connection

from sync.errors import SyncError
from sync.records.read_pool import ReadPool
from sync.records.read_transaction import read_transaction
from sync.records.turns import SERVER, Asker, Turns
from sync.wire.codes import Code

ENDLESS = {
    "postgresql": "SELECT pg_sleep(600)",
    "sqlite": "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n",
}
"""Statements that do not end within the life of a test."""

pytestmark = pytest.mark.django_db(transaction=True)


class Waiting:
    def __init__(self, tenant: int | None, device: str | None) -> None:
        self.asker = Asker(tenant, device)


def order(turns: Turns[Waiting]) -> list[tuple[int | None, str | None]]:
    """Run all waiting jobs one after the other."""
    taken = []
    while (job := turns.take()) is not None:
        taken.append((job.asker.tenant, job.asker.device))
        turns.finished(job)
    return taken


def test_tenants_take_turns_and_within_a_tenant_its_devices_do() -> None:
    turns: Turns[Waiting] = Turns(1, 1)
    for asker in [(1, "a")] * 4 + [(1, "b")] + [(2, "c")] * 2 + [(None, None)]:
        turns.add(Waiting(*asker))
    assert order(turns) == [
        (1, "a"), (2, "c"), (None, None), (1, "b"), (2, "c"), (1, "a"), (1, "a"), (1, "a"),
    ]  # fmt: skip


def test_a_tenant_and_a_device_run_no_more_than_their_share() -> None:
    turns: Turns[Waiting] = Turns(2, 1)
    jobs = [Waiting(1, "a"), Waiting(1, "a"), Waiting(1, "b"), Waiting(1, "c"), Waiting(2, "d")]
    for job in jobs:
        turns.add(job)
    assert [turns.take() for _ in range(4)] == [jobs[0], jobs[4], jobs[2], None]
    turns.finished(jobs[2])
    assert [turns.take() for _ in range(2)] == [jobs[3], None]  # `a` still runs its first
    turns.finished(jobs[0])
    assert turns.take() is jobs[1]


def test_a_job_counts_for_its_device_until_it_is_done_or_removed() -> None:
    turns: Turns[Waiting] = Turns(9, 9)
    jobs = [Waiting(1, "a") for _ in range(3)]
    for job in jobs:
        turns.add(job)
    first = turns.take()
    assert first is jobs[0]
    assert turns.jobs_of("a") == 3
    assert turns.remove(jobs[1])
    assert not turns.remove(jobs[1])
    assert not turns.remove(first)
    turns.finished(first)
    assert turns.jobs_of("a") == 1
    assert turns.clear() == [jobs[2]]
    assert turns.jobs_of("a") == 0
    assert turns.take() is None


@asynccontextmanager
async def pool_of(threads: int, **options: Any) -> AsyncIterator[ReadPool]:
    pool = ReadPool(threads, **options)
    try:
        yield pool
    finally:
        await asyncio.to_thread(pool.stop)


class Gate:
    """Work that says when it began, and goes on when it may."""

    def __init__(self) -> None:
        self.begun, self.may_end = threading.Event(), threading.Event()

    def __call__(self) -> bool:
        self.begun.set()
        return self.may_end.wait(20)

    async def has_begun(self) -> bool:
        return await asyncio.to_thread(self.begun.wait, 20)


async def test_one_tenant_never_holds_all_threads(transactional_db: None) -> None:
    gate = Gate()
    async with pool_of(2) as pool, asyncio.timeout(20):
        held = [asyncio.create_task(pool.run_for(Asker(1, f"d{n}"), gate)) for n in range(10)]
        assert await gate.has_begun()
        assert await pool.run_for(Asker(2, "other"), lambda: "served") == "served"
        gate.may_end.set()
        assert await asyncio.gather(*held) == [True] * 10


async def test_a_device_with_too_much_waiting_is_rejected_with_a_code(transactional_db: None) -> None:
    gate = Gate()
    async with pool_of(3, per_device=1, most_per_device=2) as pool, asyncio.timeout(20):
        held = [asyncio.create_task(pool.run_for(Asker(1, "a"), gate)) for _ in range(2)]
        assert await gate.has_begun()
        with pytest.raises(SyncError) as refused:
            await pool.run_for(Asker(1, "a"), lambda: None)
        assert (refused.value.code, refused.value.retry_after) == (Code.OVERLOADED, 1.0)
        assert await pool.run_for(Asker(1, "b"), lambda: "served") == "served"
        gate.may_end.set()
        await asyncio.gather(*held)
        assert await pool.run_for(Asker(1, "a"), lambda: "served") == "served"


async def test_a_waiting_call_whose_caller_is_gone_never_runs(transactional_db: None) -> None:
    gate, ran = Gate(), []
    async with pool_of(1) as pool, asyncio.timeout(20):
        held = asyncio.create_task(pool.run(gate))
        waiting = asyncio.create_task(pool.run_for(Asker(1, "a"), lambda: ran.append("waiting")))
        assert await gate.has_begun()
        waiting.cancel()
        gate.may_end.set()
        assert await held
        await pool.run(lambda: None)
        assert waiting.cancelled()
        assert ran == []


def endless(begun: threading.Event, read: Callable[[Any, str], object]) -> object:
    """Run a statement that does not end."""
    with read_transaction() as reader:
        begun.set()
        return read(reader, ENDLESS[reader.vendor])


@pytest.mark.parametrize("read", [lambda reader, sql: reader.all(sql), lambda reader, sql: list(reader.stream(sql))])
async def test_a_query_whose_caller_is_gone_is_interrupted(transactional_db: None, read: Any) -> None:
    begun = threading.Event()
    async with pool_of(1) as pool, asyncio.timeout(30):
        query = asyncio.create_task(pool.run_for(Asker(1, "a"), endless, begun, read))
        assert await asyncio.to_thread(begun.wait, 20)
        query.cancel()
        assert await pool.run(one_row) == [(1,)]  # the only thread is free again, and its connection works
        assert query.cancelled()


async def test_work_between_two_queries_is_interrupted_too(transactional_db: None) -> None:
    gate, reached = Gate(), threading.Event()

    def work() -> None:
        with read_transaction() as reader:
            gate()
            reader.all("SELECT 1")
            reached.set()

    async with pool_of(1) as pool, asyncio.timeout(30):
        query = asyncio.create_task(pool.run(work))
        assert await gate.has_begun()
        query.cancel()
        await asyncio.sleep(0)
        gate.may_end.set()
        await pool.run(one_row)
        assert not reached.is_set()


async def test_an_interrupt_that_comes_late_hits_no_other_query(transactional_db: None) -> None:
    async with pool_of(1) as pool, asyncio.timeout(60):
        for _ in range(30):
            query = asyncio.create_task(pool.run_for(Asker(1, "a"), one_row))
            await asyncio.sleep(0)
            query.cancel()
            assert await pool.run_for(SERVER, one_row) == [(1,)]


async def test_the_pool_stops_with_work_waiting(transactional_db: None) -> None:
    gate = Gate()
    pool = ReadPool(1)
    held, waiting = (asyncio.create_task(pool.run(gate)) for _ in range(2))
    assert await gate.has_begun()
    stopping = asyncio.create_task(asyncio.to_thread(pool.stop))
    async with asyncio.timeout(20):
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        gate.may_end.set()
        assert await held
        await stopping
    with pytest.raises(RuntimeError):
        await pool.run(one_row)


def one_row() -> list[tuple[Any, ...]]:
    assert connection.vendor
    with read_transaction() as reader:
        return reader.all("SELECT 1")
