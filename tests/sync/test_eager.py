"""Coroutines that run without a task until they wait."""

import asyncio

import pytest

from sync.transports.socket.eager import run_eagerly


async def test_what_never_waits_needs_no_task() -> None:
    done = []

    async def work() -> None:
        done.append(1)

    assert run_eagerly(work()) is None
    assert done == [1]


async def test_what_waits_is_finished_by_a_task() -> None:
    steps: list[object] = []
    event = asyncio.Event()

    async def work() -> None:
        steps.append("before")
        await event.wait()
        steps.append("between")
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        steps.append("after")

    task = run_eagerly(work())
    assert steps == ["before"]
    assert task is not None
    event.set()
    await task
    assert steps == ["before", "between", "after"]


async def test_failures_come_out_where_they_happen() -> None:
    async def work(wait: bool) -> None:
        if wait:
            await asyncio.sleep(0)
        raise ValueError

    with pytest.raises(ValueError):
        run_eagerly(work(False))
    task = run_eagerly(work(True))
    assert task is not None
    with pytest.raises(ValueError):
        await task


async def test_cancelling_the_task_cancels_the_coroutine() -> None:
    seen = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            seen.append("cleaned up")

    task = run_eagerly(work())
    assert task is not None
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cleaned up"]
