"""Find what differs by bisection, and fetch only that (docs/spec/protocol.md §9).

Pure: no I/O, clock, or randomness.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from moat_client.engine.events import (
    Action,
    Adopt,
    ApplyRepair,
    ComputeDigests,
    CutRange,
    Digest,
    DigestRanges,
    DigestsReady,
    RangesReady,
    Send,
    Span,
)
from moat_client.engine.keyspace import between
from moat_client.wire.messages import Limits, Rows, Verified, encode

_SMALL = 500
_PIECES = 16
_MOST = 5000


@dataclass(slots=True)
class Repairer:
    """One repair: verify all tables, cut those that differ into small ranges, replace these, and adopt the position.

    One request is open at a time; other responses are ignored. Nothing is deleted up front.
    """

    channel: str
    server_epoch: str
    limits: Limits = field(default_factory=Limits)
    _ref: int = 1_000_000
    _first: Verified | None = None
    _latest: int = 0
    _here: dict[str, Digest] = field(default_factory=dict)
    _cut: list[tuple[str, Span, int]] = field(default_factory=list)
    _guess: list[tuple[str, Span]] = field(default_factory=list)
    _compare: list[tuple[str, list[tuple[Span, Digest]]]] = field(default_factory=list)
    _fetch: list[tuple[str, Span]] = field(default_factory=list)
    _frames: list[Rows] = field(default_factory=list)

    def start(self) -> list[Action]:
        """Request the digests of all tables."""
        return [self._request("verify")]

    def _request(self, kind: str, **keys: Any) -> Send:
        self._ref += 1
        return Send(encode(kind, **keys, ref=self._ref))

    def verified(self, answer: Verified) -> list[Action]:
        """Handle the server's digests: of tables first, of ranges later."""
        if answer.ref not in (None, self._ref):
            return []
        self._latest = max(self._latest, answer.cursor)
        if answer.table is not None:
            return self._ranges_verified(answer)
        if self._first is None:
            self._first = answer
        return [ComputeDigests(tuple(answer.tables))]

    def digests(self, event: DigestsReady) -> list[Action]:
        """Compare the tables."""
        there = self._first.tables if self._first else {}
        for table, digest in there.items():
            here = event.tables.get(table)
            if here is not None and here != digest:
                self._narrow(table, (None, None), here[0], digest[0])
        return self._next()

    def cut(self, event: RangesReady) -> list[Action]:
        """Request the server's digests of the pieces of a range."""
        size = max(1, self.limits.ranges_per_verify)
        pieces = list(event.pieces)
        self._compare.extend((event.table, pieces[at : at + size]) for at in range(0, len(pieces), size))
        return self._next()

    def _ranges_verified(self, answer: Verified) -> list[Action]:
        table, pieces = self._compare.pop(0)
        for (span, here), there in zip(pieces, answer.ranges, strict=True):
            if here == there:
                continue
            self._narrow(table, span, here[0], there[0])
        return self._next()

    def _narrow(self, table: str, span: Span, here: int, there: int) -> None:
        """Cut a range that differs at local IDs; where there are few, at IDs that could exist."""
        if max(here, there) <= _SMALL or (here <= _PIECES and there <= _MOST):
            self._fetch.append((table, span))
        elif here > _PIECES:
            self._cut.append((table, span, max(here, there)))
        else:
            self._guess.append((table, span))

    def rows(self, frame: Rows) -> list[Action]:
        """Handle records of a range; the last frame has none remaining."""
        if frame.ref not in (None, self._ref) or not self._fetch:
            return []
        self._frames.append(frame)
        if frame.remaining:
            return []
        table, span = self._fetch.pop(0)
        frames, self._frames = tuple(self._frames), []
        return [ApplyRepair(table, span, frames), *self._next()]

    def _next(self) -> list[Action]:
        if self._cut:
            table, span, count = self._cut.pop(0)
            return [CutRange(table, span, max(2, min(_PIECES, count // _SMALL + 1)))]
        if self._guess:
            table, span = self._guess.pop(0)
            return [DigestRanges(table, tuple(pairwise([span[0], *between(*span, pieces=_PIECES), span[1]])))]
        if self._compare:
            table, pieces = self._compare[0]
            return [self._request("verify", table=table, ranges=[span for span, _ in pieces])]
        if self._fetch:
            table, (low, high) = self._fetch[0]
            return [self._request("repair", table=table, low=low, high=high)]
        first = self._first or Verified(0, "")
        return [Adopt(first.cursor, first.state_hash, self.channel, self.server_epoch, self._latest)]


def differing(here: DigestsReady, there: Verified) -> tuple[str, ...]:
    """Return the tables whose count or digest differs."""
    return tuple(table for table, digest in there.tables.items() if here.tables.get(table) != digest)
