"""A tenant's turn in the writer: when it is over, the rest of its ops wait behind the other tenants."""

import time
from collections.abc import Callable

from sync.conf import EngineSettings


class Turn:
    """Ends after some time, or after some work. It ends between two txs and rejects nothing."""

    def __init__(self, settings: EngineSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends = clock() + settings.turn_seconds
        self._work = settings.turn_work

    def is_over(self, work: int) -> bool:
        """Return whether the turn is over, given the work done in it."""
        return work >= self._work or self._clock() >= self._ends
