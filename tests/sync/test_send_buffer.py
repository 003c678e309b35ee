"""The send buffer of a connection stays bounded."""

import asyncio
from typing import Any

import orjson
import pytest

from sync.conf import StreamSettings
from sync.transports.socket.send_buffer import SendBuffer


class Socket:
    """A socket that can be slow, closed, or accept everything."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.gone = False

    async def send(self, event: dict[str, Any]) -> None:
        await self.open.wait()
        if self.gone:
            raise ConnectionError
        self.sent.append(event)

    @property
    def texts(self) -> list[str]:
        return [e["text"] for e in self.sent if not e.get("text", "{").startswith('{"type":"ping"')]

    @property
    def pings(self) -> list[int]:
        return [orjson.loads(e["text"])["ref"] for e in self.sent if e.get("text", "").startswith('{"type":"ping"')]


@pytest.fixture
def made():
    broken: list[bool] = []

    def make(**settings: Any) -> tuple[Socket, SendBuffer, list[bool]]:
        socket = Socket()
        return socket, SendBuffer(socket.send, StreamSettings(**settings), on_broken=broken.append), broken

    return make


async def test_frames_leave_in_order_and_the_close_comes_last(made) -> None:
    socket, outbox, _ = made()
    for n in range(5):
        outbox.put(f"frame {n}")
    outbox.put(b"binary")
    outbox.close(4409)
    outbox.put("too late")
    await outbox.flushed()
    assert [e.get("text") or e.get("bytes") or e["code"] for e in socket.sent] == [
        *(f"frame {n}" for n in range(5)),
        b"binary",
        4409,
    ]


async def test_room_is_given_only_when_half_of_it_is_free(made) -> None:
    socket, outbox, _ = made(outbox_bytes=100)
    socket.open.clear()
    for _ in range(4):
        outbox.put("x" * 40)
    waiting = asyncio.ensure_future(outbox.room())
    await asyncio.sleep(0.01)
    assert outbox.full
    assert not waiting.done()
    socket.open.set()
    async with asyncio.timeout(20):
        await waiting


async def test_a_client_that_never_reads_is_given_up_before_it_fills_memory(made) -> None:
    socket, outbox, broken = made(outbox_bytes=100)
    socket.open.clear()
    for _ in range(1000):
        outbox.put("x" * 40)
    assert broken == [True]
    assert outbox.waiting_bytes == 0
    outbox.discard()
    await asyncio.sleep(0)


async def test_no_more_than_a_window_is_under_way_unconfirmed(made) -> None:
    socket, outbox, broken = made(window_bytes=800, outbox_bytes=10_000)
    for n in range(50):
        outbox.put(f"{n:03}" + "x" * 97)
    await asyncio.sleep(0.05)
    assert 8 <= len(socket.texts) <= 10
    outbox.confirm(socket.pings[2])
    await asyncio.sleep(0.01)
    assert 12 <= len(socket.texts) <= 16
    while len(socket.texts) < 50:
        outbox.confirm(socket.pings[-1])
        await asyncio.sleep(0.001)
    assert [t[:3] for t in socket.texts] == [f"{n:03}" for n in range(50)]
    assert broken == []


async def test_a_client_that_confirms_nothing_in_time_is_given_up(made) -> None:
    _, outbox, broken = made(window_bytes=800, pong_seconds=0.05, outbox_bytes=10_000)
    for _ in range(50):
        outbox.put("x" * 100)
    outbox.confirm(12345)
    await asyncio.sleep(0.1)
    assert broken == [True]


async def test_a_socket_that_is_gone_breaks_the_outbox_quietly(made) -> None:
    socket, outbox, broken = made()
    socket.gone = True
    outbox.put("x")
    await outbox.flushed()
    assert broken == [False]
    outbox.put("y")
    assert outbox.waiting_bytes == 0
