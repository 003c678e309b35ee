"""One connection's way from the log to the live stream."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from sync.channels.channel import Channel
from sync.conf import StreamSettings
from sync.fanout.framing import SharedFrame
from sync.transports.socket.stream import Mode, Stream

LINE = (1, "x")


class MovingLog:
    """A log that never ends: after `chunks` of (lines, text), every read finds one line more."""

    def __init__(self, *chunks: tuple[int, str]) -> None:
        self.chunks = list(chunks)
        self.joined_at: list[int] = []

    async def read(self, function: Any, channel: Channel, after: int, state_hash: bytes, up_to: int | None) -> Any:
        await asyncio.sleep(0)
        lines, text = self.chunks.pop(0) if self.chunks else LINE
        return [SharedFrame(text, after, after + lines if up_to is None else up_to, b"")]

    async def join(self, subscriber: Any, channel: Channel, cursor: int, state_hash: bytes) -> int:
        self.joined_at.append(cursor)
        await asyncio.sleep(0)
        return cursor + 3  # others wrote meanwhile

    def leave(self, subscriber: Any, channel: Channel) -> None:
        """Nothing to do."""


async def caught_up(log: MovingLog) -> tuple[Stream, list[str]]:
    """Catch up with a log until live; return what was sent."""
    sent: list[str] = []

    async def room() -> None:
        await asyncio.sleep(0)

    buffer: Any = SimpleNamespace(put=sent.append, room=room, full=False)
    hub: Any = log
    read: Any = log.read
    settings = StreamSettings(chunk_lines=10, chunk_bytes=1000)
    stream = Stream(
        Channel(1, "acme"), buffer, hub, read, settings, user_id=1, on_pruned=room, on_access_changed=lambda: None
    )  # fmt: skip
    stream.start(0, b"")
    async with asyncio.timeout(20):
        while stream.mode is not Mode.LIVE:  # noqa: ASYNC110
            await asyncio.sleep(0)
    return stream, sent


async def test_a_stream_goes_live_although_others_write_all_the_time() -> None:
    log = MovingLog()
    stream, sent = await caught_up(log)
    assert log.joined_at == [1]
    assert stream.cursor == 4
    assert '"live"' in sent[-1]


@pytest.mark.parametrize("chunks", [[(10, "x"), (10, "x"), (4, "x")], [(7, "x" * 600), (9, "x" * 600), (8, "x")]])
async def test_full_chunks_are_read_before_the_stream_joins(chunks: list[tuple[int, str]]) -> None:
    log = MovingLog(*chunks)
    await caught_up(log)
    assert log.joined_at == [24]
