"""Log from a thread that must not fail: no record values, at most one line per event and second, and no exceptions."""

import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import PurePath
from typing import Any

import structlog

logger = structlog.get_logger(__name__)
_SECONDS = 1.0
_FRAMES = 5
_TEXT = 200


class QuietLog:
    """Logs events of one thread. Lines that are left out are counted in the next one, as `suppressed`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: dict[str, float] = {}
        self._suppressed: dict[str, int] = {}

    def warning(self, event: str, **values: Any) -> None:
        """Log a warning."""
        self._write(logger.warning, event, values)

    def failed(self, event: str, error: BaseException, **values: Any) -> None:
        """Log an unexpected error: its type and where it was raised.

        Its message is left out, because it may quote a record.
        """
        if self._is_due(event):
            self._write(logger.error, event, {**values, **_described(error)}, due=True)

    def _write(self, write: Callable[..., Any], event: str, values: dict[str, Any], *, due: bool = False) -> None:
        if not due and not self._is_due(event):
            return
        if suppressed := self._suppressed.pop(event, 0):
            values["suppressed"] = suppressed
        with suppress(Exception):  # such as a full disk: losing a line is better than losing the thread
            write(event, **values)

    def _is_due(self, event: str) -> bool:
        now = self._clock()
        last = self._last.get(event)
        if last is not None and now - last < _SECONDS:
            self._suppressed[event] = self._suppressed.get(event, 0) + 1
            return False
        self._last[event] = now
        return True


def described(error: BaseException) -> str:
    """Return the message of a database error, cut short."""
    return str(error)[:_TEXT]


def _described(error: BaseException) -> dict[str, Any]:
    frames = traceback.extract_tb(error.__traceback__, limit=-_FRAMES)
    return {
        "error": type(error).__name__,
        "where": [f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames],
    }
