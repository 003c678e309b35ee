"""Pure: encode commits as the `changes` frames that all subscribers of a channel share."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sync.channels.channel import Channel
from sync.log.commit import Commit
from sync.wire import frames
from sync.wire.chain import fold


@dataclass(frozen=True, slots=True)
class Segment:
    """Consecutive lines of one schema version, for one `changes` frame. `state_hash` is the chain at `to_cursor`."""

    schema_version: int
    lines: Sequence[bytes]
    from_cursor: int
    to_cursor: int
    state_hash: bytes


@dataclass(frozen=True, slots=True)
class SharedFrame:
    """An encoded `changes` frame. All subscribers share the text."""

    text: str
    from_cursor: int
    to_cursor: int
    state_hash: bytes


def segments(commits: Iterable[Commit], state_hash: bytes, *, max_bytes: int) -> Iterator[Segment]:
    """Split consecutive commits into segments of at most `max_bytes`. `state_hash` is the chain before the first.

    The chain inside a commit is computed only where a segment ends there.
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


def encode(channel: Channel, segment: Segment) -> SharedFrame:
    """Encode a segment as the frame for a channel's subscribers."""
    text = frames.changes(
        channel.key,
        segment.lines,
        schema_version=segment.schema_version,
        from_cursor=segment.from_cursor,
        to_cursor=segment.to_cursor,
        state_hash=segment.state_hash,
    )
    return SharedFrame(text, segment.from_cursor, segment.to_cursor, segment.state_hash)
