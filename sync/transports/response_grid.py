"""Delay timing-sensitive responses to a fixed 20 ms grid.

A request for a hidden record runs the same statements as one for a missing record, but reading a row that exists
takes the database some microseconds longer. A caller who repeats the request often enough can measure that. Rounding
both up to the next tick hides the difference.

Event loops wait with millisecond resolution, counted from the moment of the call, which would leak the difference
again. A dedicated thread waits instead, accurate to about ten microseconds.
"""

import asyncio
import heapq
import threading
import time
from itertools import count
from typing import Final

GRID_SECONDS: Final = 0.02
"""Several times the duration of such a request, and too short for a person to notice."""

_Waiting = tuple[float, int, asyncio.AbstractEventLoop, "asyncio.Future[None]"]


def next_tick(started: float, now: float) -> float:
    """Return the first tick after `now`. Ticks are `GRID_SECONDS` apart, starting at `started`."""
    return started + ((now - started) // GRID_SECONDS + 1) * GRID_SECONDS


def wait_for_tick(started: float) -> None:
    """Block until the next tick after a request that arrived at `started` (`time.perf_counter`)."""
    now = time.perf_counter()
    time.sleep(next_tick(started, now) - now)


class ResponseGrid:
    """Wait for ticks on behalf of event loops, in one thread that starts with the first wait."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[_Waiting] = []
        self._numbers = count()
        self._thread: threading.Thread | None = None
        self._stopping = False

    def after(self, started: float) -> "asyncio.Future[None]":
        """Return a future of the running loop, done at the next tick after `started` (`time.perf_counter`)."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with self._changed:
            if self._stopping:
                future.set_result(None)
                return future
            heapq.heappush(self._waiting, (next_tick(started, time.perf_counter()), next(self._numbers), loop, future))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="moat-response-grid", daemon=True)
                self._thread.start()
            self._changed.notify()
        return future

    def stop(self) -> None:
        """End the thread and release all waiting futures at once. Blocks."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while (due := self._next()) is not None:
            loop, future = due
            try:
                loop.call_soon_threadsafe(_finish, future)
            except RuntimeError:  # the loop is closed, so nothing waits on it
                continue

    def _next(self) -> tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]"] | None:
        """Wait for the next tick. Return None once stopped with nothing left to release."""
        with self._changed:
            while True:
                wait = self._waiting[0][0] - time.perf_counter() if self._waiting else None
                if wait is not None and (wait <= 0 or self._stopping):
                    return heapq.heappop(self._waiting)[2:]
                if wait is None and self._stopping:
                    return None
                self._changed.wait(wait)


def _finish(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
