"""Download a snapshot's parts: several requests at a time, with retries of damaged parts.

Pure: no I/O, clock, or randomness.
"""

from dataclasses import dataclass, field

from moat_client.engine.events import Action, DownloadReady, Install, PartStored, Send, StartDownload
from moat_client.wire.messages import Limits, Manifest, encode

_AHEAD = 8
_TRIES = 3


@dataclass(slots=True)
class Downloader:
    """One download at a time; starting another drops the first."""

    manifest: Manifest | None = None
    progress: float = 0.0
    _ahead: int = _AHEAD
    _missing: list[int] = field(default_factory=list)
    _requested: set[int] = field(default_factory=set)
    _failures: int = 0

    def start(self, manifest: Manifest, limits: Limits) -> list[Action]:
        """Start or resume a download."""
        self.manifest = manifest
        self.progress = 0.0
        self._ahead = max(1, min(_AHEAD, limits.requests_in_flight - 2))
        self._requested.clear()
        self._failures = 0
        return [StartDownload(manifest)]

    def stop(self) -> None:
        """Stop the download; its parts stay on disk."""
        self.manifest = None

    def ready(self, event: DownloadReady) -> list[Action]:
        """Request the missing parts."""
        if self.manifest is None:
            return []
        self._missing = [n for n in range(len(self.manifest.parts)) if n not in event.have]
        self._missing.reverse()
        return self._request()

    def wants(self, snapshot: str, part: int) -> bool:
        """Return whether an arrived part was requested."""
        return self.manifest is not None and self.manifest.snapshot == snapshot and part in self._requested

    def stored(self, event: PartStored) -> list[Action] | None:
        """Continue after a part; return None when too many were damaged."""
        self._requested.discard(event.part)
        self.progress = event.progress
        if not event.ok:
            self._failures += 1
            if self._failures >= _TRIES:
                return None
            self._missing.append(event.part)
        return self._request()

    def _request(self) -> list[Action]:
        if self.manifest is None:
            return []
        if not self._missing and not self._requested:
            return [Install()]
        actions: list[Action] = []
        while self._missing and len(self._requested) < self._ahead:
            part = self._missing.pop()
            self._requested.add(part)
            actions.append(Send(encode("part", snapshot=self.manifest.snapshot, part=part)))
        return actions
