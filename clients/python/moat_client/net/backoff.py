"""PURE: how long to wait before the next try."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

LONGEST_ASKED: Final = 3600.0
"""Seconds. Whoever is asked to wait longer, by a proxy with a wrong clock, looks again after an hour."""


def seconds_asked(header: object, now: datetime | None = None) -> float | None:
    """Return the seconds that a `Retry-After` asks to wait: of a number of them, or until a date of HTTP; None for anything else."""
    text = ("" if header is None else str(header)).strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    until = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (until - (now or datetime.now(UTC))).total_seconds())


@dataclass(slots=True)
class Backoff:
    """Exponential backoff with full jitter: a random moment within a window that doubles up to `cap` seconds.

    `draw` returns a number in [0, 1). What the server asked for (`retry_after`) is never undercut, up to `LONGEST_ASKED`.
    """

    draw: Callable[[], float]
    base: float = 0.5
    cap: float = 60.0
    tries: int = 0

    def next(self, retry_after: float | None = None) -> float:
        """Return the seconds to wait, and widen the window."""
        window = min(self.cap, self.base * 2.0 ** min(self.tries, 30))
        self.tries += 1
        wait = self.draw() * window
        return wait if retry_after is None else min(max(0.0, retry_after), LONGEST_ASKED) + wait * 0.5

    def reset(self) -> None:
        """Start over with the smallest window, after a success."""
        self.tries = 0
