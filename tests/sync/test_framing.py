"""Splitting commits into shared frames."""

from hypothesis import given
from hypothesis import strategies as st

from sync.fanout.framing import segments
from sync.log.commit import Commit
from sync.wire.chain import fold

START = b"\x01" * 32


def commits_of(versions: list[list[int]], cursor: int = 10) -> list[Commit]:
    out, state = [], START
    for group in versions:
        lines = [(version, b"line %d" % (cursor + n) * 3) for n, version in enumerate(group)]
        state = fold(state, [line for _, line in lines])
        out.append(Commit(1, cursor, cursor + len(lines), lines, state))
        cursor += len(lines)
    return out


@given(st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=5), max_size=6), st.integers(1, 200))
def test_segments_have_every_line_once_in_order_with_one_version_and_the_right_chain(
    versions: list[list[int]], max_bytes: int
) -> None:
    commits = commits_of(versions)
    lines = [line for commit in commits for line in commit.lines]
    got, cursor, state = [], 10, START
    for piece in segments(commits, START, max_bytes=max_bytes):
        assert piece.from_cursor == cursor
        assert piece.to_cursor == cursor + len(piece.lines)
        assert len(piece.lines) == 1 or sum(map(len, piece.lines)) <= max_bytes
        state = fold(state, piece.lines)
        assert piece.state_hash == state
        got += [(piece.schema_version, line) for line in piece.lines]
        cursor = piece.to_cursor
    assert got == lines


def test_commits_that_fit_share_one_segment() -> None:
    commits = commits_of([[1], [1, 1], [1]])
    (piece,) = segments(commits, START, max_bytes=10_000)
    assert (piece.from_cursor, piece.to_cursor, piece.state_hash) == (10, 14, commits[-1].state_hash)
