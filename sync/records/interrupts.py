"""Interrupt database reads whose caller is gone."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_local = threading.local()


class Interrupted(Exception):
    """The caller of this job is gone; no one waits for the result."""


class Interruptible:
    """Work of one thread that other threads may interrupt while it reads."""

    def __init__(self) -> None:
        self.interrupted = False
        self._lock = threading.Lock()
        self._cancel: Callable[[], object] | None = None

    def interrupt(self) -> None:
        """Cancel the statement that runs now and let no other begin. May block on the network (PostgreSQL).

        A statement that starts at this very moment can slip through, so call it again until the work has ended.
        """
        self.interrupted = True
        with self._lock:  # so that a statement of the thread's next job is never cancelled
            if self._cancel is not None:
                self._cancel()

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make this the work of the calling thread."""
        _local.work = self
        try:
            yield
        finally:
            _local.work = None

    def set_cancel(self, cancel: Callable[[], object] | None) -> None:
        """Say how to cancel a running statement; None if there is nothing to cancel any longer."""
        with self._lock:
            self._cancel = cancel


@contextmanager
def interruptible(cancel: Callable[[], object]) -> Iterator[None]:
    """Let another thread interrupt this thread's work by calling `cancel`. Does nothing outside of a pool."""
    work: Interruptible | None = getattr(_local, "work", None)
    if work is None:
        yield
        return
    work.set_cancel(cancel)
    try:
        yield
    finally:
        work.set_cancel(None)


def check_interrupted() -> None:
    """Raise `Interrupted` if the caller of this thread's work is gone."""
    work: Interruptible | None = getattr(_local, "work", None)
    if work is not None and work.interrupted:
        raise Interrupted
