"""A thread pool for database reads, so that the event loop never waits for the database."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

from django.db import close_old_connections, connections

from sync.errors import SyncError
from sync.records.interrupts import Interruptible
from sync.records.turns import SERVER, Asker, Turns
from sync.wire.codes import Code

P = ParamSpec("P")
T = TypeVar("T")

_local = threading.local()
RETRY_AFTER = 1.0
FIRST_INTERRUPT, LAST_INTERRUPT = 0.05, 1.0


class _Job(Interruptible):
    """One call, and the future that its caller waits for."""

    def __init__(self, asker: Asker, call: Callable[[], Any], result: "asyncio.Future[Any]") -> None:
        super().__init__()
        self.asker, self.call, self.result = asker, call, result
        self.ended = False


class ReadPool:
    """A fixed number of threads, each with its own database connection. `stop` closes them all.

    Callers share the threads fairly: tenants take turns, and so do the devices of a tenant. One tenant never holds all
    threads (unless there is only one), one device at most `per_device`. A device that has `most_per_device` jobs
    waiting or running gets `overloaded`. A call whose caller is cancelled is dropped, or interrupted if it runs.
    """

    def __init__(
        self, threads: int, *, name: str = "read", per_device: int | None = None, most_per_device: int | None = None
    ) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=f"moat-{name}", initializer=self._begin)
        self._closers: list[Callable[[], None]] = []
        self._threads = self._free = threads
        self._most = most_per_device
        self._turns: Turns[_Job] = Turns(max(1, threads - 1), per_device or threads)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = False

    @property
    def busy(self) -> int:
        """How many threads are at work."""
        return self._threads - self._free

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in one of the threads, for the server itself, and return its result."""
        return await self.run_for(SERVER, function, *args, **kwargs)

    async def run_for(self, asker: Asker, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function for a tenant's device and return its result. Raises SyncError `overloaded`."""
        if self._stopped:
            raise RuntimeError("The pool has stopped.")
        if self._most is not None and self._turns.jobs_of(asker.device) >= self._most:
            raise SyncError(
                Code.OVERLOADED, "This device has too many requests waiting. Try again later.", retry_after=RETRY_AFTER
            )
        self._loop = asyncio.get_running_loop()
        job = _Job(asker, partial(function, *args, **kwargs), self._loop.create_future())
        self._turns.add(job)
        self._start_jobs()
        try:
            result: T = await job.result
        except asyncio.CancelledError:
            self._abandon(job)
            raise
        return result

    def stop(self) -> None:
        """Wait for running calls, cancel queued ones, and close the connections. Not for the loop's thread."""
        self._stopped = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._cancel_waiting)
        self._executor.shutdown(wait=True, cancel_futures=True)
        for close in self._closers:
            close()
        self._closers.clear()

    def _cancel_waiting(self) -> None:
        for job in self._turns.clear():
            job.result.cancel()

    def _start_jobs(self) -> None:
        """Give the free threads to those whose turn it is."""
        while not self._stopped and self._free and (job := self._turns.take()) is not None:
            self._free -= 1
            running = asyncio.get_running_loop().run_in_executor(self._executor, self._call, job)
            running.add_done_callback(partial(self._ended, job))

    def _ended(self, job: _Job, running: "asyncio.Future[Any]") -> None:
        job.ended = True
        self._free += 1
        self._turns.finished(job)
        error = None if running.cancelled() else running.exception()
        if not job.result.done():
            if running.cancelled():
                job.result.cancel()
            elif error is not None:
                job.result.set_exception(error)
            else:
                job.result.set_result(running.result())
        self._start_jobs()

    def _abandon(self, job: _Job) -> None:
        """Its caller is gone: the job need not run, or not to its end."""
        if not self._turns.remove(job) and not job.ended:
            self._interrupt(job, FIRST_INTERRUPT)

    def _interrupt(self, job: _Job, again_after: float) -> None:
        job.interrupted = True
        if job.ended or self._loop is None or self._loop.is_closed():
            return
        self._loop.run_in_executor(None, job.interrupt)
        self._loop.call_later(again_after, self._interrupt, job, min(again_after * 2, LAST_INTERRUPT))

    def _begin(self) -> None:
        connection = connections["default"]
        connection.inc_thread_sharing()  # so that `stop` may close it
        self._closers.append(connection.close)
        _local.closers = self._closers

    @staticmethod
    def _call(job: _Job) -> Any:
        close_old_connections()
        try:
            with job.current():
                return job.call()
        finally:
            if job.interrupted and connections["default"].vendor == "postgresql":
                connections["default"].close()  # a late cancel request must not hit the next job's statement
            close_old_connections()


def closing_with_thread(close: Callable[[], None]) -> bool:
    """Register `close` to be called when the calling thread's pool stops. Return False for threads of no pool."""
    closers = getattr(_local, "closers", None)
    if closers is None:
        return False
    closers.append(close)
    return True
