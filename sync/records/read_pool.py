"""A thread pool for database reads, so that the event loop never waits for the database."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.db import close_old_connections, connections

P = ParamSpec("P")
T = TypeVar("T")

_local = threading.local()


class ReadPool:
    """A fixed number of threads, each with its own database connection. `stop` closes them all."""

    def __init__(self, threads: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="moat-read", initializer=self._begin)
        self._closers: list[Callable[[], None]] = []

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in one of the threads and return its result."""
        return await asyncio.get_running_loop().run_in_executor(
            self._executor, lambda: self._call(function, *args, **kwargs)
        )

    def stop(self) -> None:
        """Wait for running calls, cancel queued ones, and close the connections."""
        self._executor.shutdown(wait=True, cancel_futures=True)
        for close in self._closers:
            close()
        self._closers.clear()

    def _begin(self) -> None:
        connection = connections["default"]
        connection.inc_thread_sharing()  # so that `stop` may close it
        self._closers.append(connection.close)
        _local.closers = self._closers

    @staticmethod
    def _call(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        close_old_connections()
        try:
            return function(*args, **kwargs)
        finally:
            close_old_connections()


def closing_with_thread(close: Callable[[], None]) -> bool:
    """Register `close` to be called when the calling thread's pool stops. Return False for threads of no pool."""
    closers = getattr(_local, "closers", None)
    if closers is None:
        return False
    closers.append(close)
    return True
