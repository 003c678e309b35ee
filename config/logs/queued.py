"""Keep the cost of logging off the threads that log: repeated events are counted, another thread writes the lines."""

import atexit
import contextlib
import logging
import os
import queue
import sys
import threading
import time
from collections import OrderedDict
from logging.handlers import QueueHandler, QueueListener
from typing import Any, TextIO

from sync import metrics

QUEUE_LINES = 2000
"""Lines that may wait for a slow or full log. Further lines are dropped and counted."""
_EXIT_SECONDS = 2.0
_KEYS = 1000
_ROUTINE_BURST = 20


class RepeatLimit(logging.Filter):
    """Let one line per second and kind of event pass, and tell the next one how many were suppressed.

    A kind is the logger, the event, and the type of its exception. Below WARNING, twenty lines per second pass.
    """

    def __init__(self, seconds: float = 1.0) -> None:
        super().__init__()
        self._seconds = seconds
        self._lock = threading.Lock()
        # kind -> [start of its second, lines let pass in it, lines suppressed since the last one]
        self._kinds: OrderedDict[tuple[str, int, str, str], list[float]] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record passes; sets `record.suppressed`."""
        now, burst = time.monotonic(), 1 if record.levelno >= logging.WARNING else _ROUTINE_BURST
        kind = (record.name, record.levelno, _event(record), _error_type(record))
        with self._lock:
            state = self._kinds.pop(kind, None) or [now, 0, 0]
            self._kinds[kind] = state
            if len(self._kinds) > _KEYS:
                self._kinds.popitem(last=False)
            if now - state[0] >= self._seconds:
                state[0], state[1] = now, 0
            if state[1] >= burst:
                state[2] += 1
                return False
            state[1] += 1
            suppressed, state[2] = int(state[2]), 0
        record.suppressed = suppressed
        return True


def _event(record: logging.LogRecord) -> str:
    """Return what is constant about a record: structlog's event, or the template of the message."""
    text = record.msg.get("event", "") if isinstance(record.msg, dict) else record.msg
    return str(text)[:200]


def _error_type(record: logging.LogRecord) -> str:
    given: Any = record.msg.get("exc_info") if isinstance(record.msg, dict) else record.exc_info
    if given is True:
        given = sys.exc_info()[1]
    error = given[1] if isinstance(given, tuple) and len(given) > 1 else given
    return type(error).__name__ if isinstance(error, BaseException) else ""


class Stream(logging.StreamHandler[TextIO]):
    """Writes lines. A line that cannot be written, as on a full disk, is counted, and nothing else happens."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # the name is the standard library's
        """Count the line. The default would print a traceback to the stream that just failed."""
        metrics.log_lines_dropped.inc()


class _Listener(QueueListener):
    def __init__(self, lines: "queue.Queue[Any]", target: logging.Handler) -> None:
        super().__init__(lines, target)
        self._lines = lines

    def stop(self) -> None:
        """Write what waits, but not for long: the process may be ending because its log is stuck."""
        thread, self._thread = self._thread, None
        if thread is not None:
            with contextlib.suppress(queue.Full):
                self._lines.put(None, timeout=_EXIT_SECONDS)  # the sentinel of QueueListener
            thread.join(_EXIT_SECONDS)


class QueuedLines(QueueHandler):
    """Formats a line in the thread that logs, where the exception is, and leaves the writing to a thread of its own."""

    def __init__(self, target: logging.Handler, lines: int = QUEUE_LINES) -> None:
        self._lines: queue.Queue[Any] = queue.Queue(lines)
        super().__init__(self._lines)
        self.target = target
        self._dropped = 0
        self._listener = _Listener(self._lines, target)

    def start(self) -> None:
        """Start the thread that writes."""
        self._listener.start()
        atexit.register(self.stop)
        os.register_at_fork(after_in_child=self._restart)

    def stop(self) -> None:
        """Write what waits and end the thread; a log that is stuck is given up after two seconds."""
        self._listener.stop()

    def _restart(self) -> None:
        # Only the forking thread lives on in a child process, and the queue's lock may be held by another one.
        self.queue = self._lines = queue.Queue(self._lines.maxsize)
        self._listener = _Listener(self._lines, self.target)
        self._listener.start()

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Return a record that holds its line and nothing else: no exception, whose frames would keep values alive."""
        return logging.makeLogRecord(
            {"msg": self.format(record), "name": record.name, "levelno": record.levelno, "levelname": record.levelname}
        )

    def enqueue(self, record: logging.LogRecord) -> None:
        """Queue a line without waiting. Lines that find the queue full are counted, and the log says so afterwards."""
        try:
            if self._dropped:
                self._lines.put_nowait(self._notice())
                self._dropped = 0
            self._lines.put_nowait(record)
        except queue.Full:
            self._dropped += 1
            metrics.log_lines_dropped.inc()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # the name is the standard library's
        """Count a line that could not be formatted."""
        metrics.log_lines_dropped.inc()

    def _notice(self) -> logging.LogRecord:
        notice = logging.LogRecord(__name__, logging.WARNING, "", 0, "log_lines_dropped: %s", (self._dropped,), None)
        return self.prepare(notice)
