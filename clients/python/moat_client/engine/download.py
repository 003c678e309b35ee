"""Download a snapshot's parts: several requests at a time, with retries of damaged parts.

Pure: no I/O, clock, or randomness.
"""

from dataclasses import dataclass, field

from moat_client.engine.events import Action, BeginDownload, DownloadReady, Install, PartStored, Send
from moat_client.wire.messages import Limits, Manifest, encode

_AHEAD = 8
_TRIES = 3


@dataclass(slots=True)
class Downloader:
    """One download at a time; starting another forgets the first."""

    manifest: Manifest | None = None
    progress: float = 0.0
    _ahead: int = _AHEAD
    _missing: list[int] = field(default_factory=list)
    _asked: set[int] = field(default_factory=set)
    _failures: int = 0

    def begin(self, manifest: Manifest, limits: Limits) -> list[Action]:
        """Begin a download, or go on with it."""
        self.manifest = manifest
        self.progress = 0.0
        self._ahead = max(1, min(_AHEAD, limits.requests_in_flight - 2))
        self._asked.clear()
        self._failures = 0
        return [BeginDownload(manifest)]

    def stop(self) -> None:
        """Forget the download; its parts stay on disk."""
        self.manifest = None

    def ready(self, event: DownloadReady) -> list[Action]:
        """Ask for what is missing."""
        if self.manifest is None:
            return []
        self._missing = [n for n in range(len(self.manifest.parts)) if n not in event.have]
        self._missing.reverse()
        return self._ask()

    def wants(self, snapshot: str, part: int) -> bool:
        """Return whether a part that arrived was asked for."""
        return self.manifest is not None and self.manifest.snapshot == snapshot and part in self._asked

    def stored(self, event: PartStored) -> list[Action] | None:
        """Go on after a part; None when too many came damaged."""
        self._asked.discard(event.part)
        self.progress = event.progress
        if not event.ok:
            self._failures += 1
            if self._failures >= _TRIES:
                return None
            self._missing.append(event.part)
        return self._ask()

    def _ask(self) -> list[Action]:
        if self.manifest is None:
            return []
        if not self._missing and not self._asked:
            return [Install()]
        actions: list[Action] = []
        while self._missing and len(self._asked) < self._ahead:
            part = self._missing.pop()
            self._asked.add(part)
            actions.append(Send(encode("part", snapshot=self.manifest.snapshot, part=part)))
        return actions
