"""Answers whose time could tell something leave at even marks after their question came.

A question about a hidden record runs the statements of one about no record, but a row that is there takes the database some
microseconds more, and whoever asks often enough sees that. Rounded up to a mark, both take the same time. Event loops wait to a
millisecond at best, rounded from when they were asked: that would show the difference again. So a thread waits, to some ten
microseconds whatever came before.
"""

import asyncio
import heapq
import threading
import time
from itertools import count
from typing import Final

GRID_SECONDS: Final = 0.02
"""Several times what such a question takes, and less than a person notices."""

_Waiting = tuple[float, int, asyncio.AbstractEventLoop, "asyncio.Future[None]"]


def next_mark(begun: float, now: float) -> float:
    """Return the first mark after `now`; marks are every `MARK_SECONDS` from `begun`."""
    return begun + ((now - begun) // GRID_SECONDS + 1) * GRID_SECONDS


def wait_for_tick(begun: float) -> None:
    """Block until the next mark after a question that came at `begun`, in seconds of `time.perf_counter`."""
    now = time.perf_counter()
    time.sleep(next_mark(begun, now) - now)


class ResponseGrid:
    """Waits for marks on behalf of event loops, in one thread that begins with the first wait."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._waiting: list[_Waiting] = []
        self._numbers = count()
        self._thread: threading.Thread | None = None
        self._stopping = False

    def after(self, begun: float) -> "asyncio.Future[None]":
        """Return a future of the running loop that is done at the next mark after `begun`, in seconds of `time.perf_counter`."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with self._news:
            if self._stopping:
                future.set_result(None)
                return future
            heapq.heappush(self._waiting, (next_mark(begun, time.perf_counter()), next(self._numbers), loop, future))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="moat-marks", daemon=True)
                self._thread.start()
            self._news.notify()
        return future

    def stop(self) -> None:
        """End the thread; whoever still waits is let go at once. Blocks."""
        with self._news:
            self._stopping = True
            self._news.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while (due := self._next()) is not None:
            loop, future = due
            try:
                loop.call_soon_threadsafe(_finish, future)
            except RuntimeError:  # the loop is closed: nobody waits any more
                continue

    def _next(self) -> tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]"] | None:
        """Wait for the next mark; None when stopped and nobody waits."""
        with self._news:
            while True:
                wait = self._waiting[0][0] - time.perf_counter() if self._waiting else None
                if wait is not None and (wait <= 0 or self._stopping):
                    return heapq.heappop(self._waiting)[2:]
                if wait is None and self._stopping:
                    return None
                self._news.wait(wait)


def _finish(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
