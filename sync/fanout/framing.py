"""Pure: from what was committed to the `changes` frames every subscriber of a channel shares."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sync.channels.channel import Channel
from sync.log.commit import Commit
from sync.wire import frames
from sync.wire.chain import fold


@dataclass(frozen=True, slots=True)
class Segment:
    """Consecutive lines under one schema version: what one `changes` frame carries. `state_hash` is the chain at `to_cursor`."""

    schema_version: int
    lines: Sequence[bytes]
    from_cursor: int
    to_cursor: int
    state_hash: bytes


@dataclass(frozen=True, slots=True)
class SharedFrame:
    """An encoded `changes` frame; all subscribers hold the same text."""

    text: str
    from_cursor: int
    to_cursor: int
    state_hash: bytes


def segments(commits: Iterable[Commit], state_hash: bytes, *, max_bytes: int) -> Iterator[Segment]:
    """Cut commits that follow each other into pieces of at most `max_bytes`; `state_hash` is the chain before the first.

    The chain inside a commit is folded only where a piece ends there.
    """
    lines: list[bytes] = []
    start = at = version = size = 0
    known: bytes | None = None
    for commit in commits:
        if not lines:
            start = commit.from_cursor
        at = commit.from_cursor
        for line_version, line in commit.lines:
            if lines and (line_version != version or size + len(line) > max_bytes):
                state_hash = known or fold(state_hash, lines)
                yield Segment(version, lines, start, at, state_hash)
                lines, start, size = [], at, 0
            version, known = line_version, None
            lines.append(line)
            size += len(line) + 1
            at += 1
        known = commit.state_hash
    if lines:
        yield Segment(version, lines, start, at, known or fold(state_hash, lines))


def encode(channel: Channel, piece: Segment) -> SharedFrame:
    """Encode a piece as the frame that a channel's subscribers get."""
    text = frames.changes(
        channel.key,
        piece.lines,
        schema_version=piece.schema_version,
        from_cursor=piece.from_cursor,
        to_cursor=piece.to_cursor,
        state_hash=piece.state_hash,
    )
    return SharedFrame(text, piece.from_cursor, piece.to_cursor, piece.state_hash)
