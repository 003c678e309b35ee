"""How long to wait before the next attempt.

Pure: no I/O, clock, or randomness.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

LONGEST_WAIT: Final = 3600.0
"""Seconds. A longer `retry_after`, perhaps from a proxy with a wrong clock, is cut to an hour."""


@dataclass(slots=True)
class Backoff:
    """Exponential backoff with full jitter: a random delay within a window that doubles up to `cap` seconds.

    `draw` returns a number in [0, 1). A wait is never shorter than the server's `retry_after`, up to `LONGEST_WAIT`.
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
        return wait if retry_after is None else min(max(0.0, retry_after), LONGEST_WAIT) + wait * 0.5

    def reset(self) -> None:
        """Return to the smallest window, after a success."""
        self.tries = 0
