"""A WebSocket client that costs the load generator almost nothing, so that figures measure the server.

It implements just enough of RFC 6455 for a local, trusted server: no extensions, no fragmentation when sending, masked
with zeros.
"""

import asyncio
import os
from collections import deque
from typing import Any, cast

import orjson

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_PING, _PONG, _ERROR = b'{"type":"ping"', b'{"type":"pong"', b'{"type":"error"'


class Connection(asyncio.Protocol):
    """One connection. It always counts frames, but keeps them only while `keep` is true."""

    def __init__(self, path: str, host: str) -> None:
        self.keep = True
        self.frames = 0
        self.octets = 0
        self.lines = 0
        self.on_text: Any = None
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ).encode()
        self._buffer = bytearray()
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._inbox: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self.closed = False
        self.problem = "the server closed the connection"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the upgrade request."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake a waiting caller, so that a benchmark fails immediately instead of hanging."""
        self.closed = True
        if not self._opened.done():
            self._opened.set_exception(ConnectionError("the server closed the connection during the handshake"))
        self._wake()

    def data_received(self, data: bytes) -> None:
        """Split the stream into frames."""
        self._buffer += data
        if not self._opened.done():
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            if b" 101 " not in self._buffer[:end]:
                self._opened.set_exception(ConnectionError(bytes(self._buffer[:200]).decode(errors="replace")))
                return
            del self._buffer[: end + 4]
            self._opened.set_result(None)
        self._cut()

    def _cut(self) -> None:
        buffer, at = self._buffer, 0
        while len(buffer) - at >= 2:
            size, head = buffer[at + 1] & 0x7F, 2
            if size == 126:
                if len(buffer) - at < 4:
                    break
                size, head = int.from_bytes(buffer[at + 2 : at + 4], "big"), 4
            elif size == 127:
                if len(buffer) - at < 10:
                    break
                size, head = int.from_bytes(buffer[at + 2 : at + 10], "big"), 10
            if len(buffer) - at < head + size:
                break
            self._frame(buffer[at] & 0x0F, bytes(buffer[at + head : at + head + size]))
            at += head + size
        if at:
            del buffer[:at]

    def _frame(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self._send(PONG, payload)
            return
        if opcode == CLOSE:
            self.closed = True
            self.problem += f" with code {int.from_bytes(payload[:2], 'big')}"
            self.transport.close()
            return
        if payload.startswith(_PING):  # the protocol's own ping, which a client must answer (docs/spec/protocol.md §11)
            self._send(TEXT, payload.replace(_PING, _PONG, 1))
            return
        if payload.startswith(_ERROR):
            self.problem = f"{payload.decode()}, then the server closed the connection"
        self.frames += 1
        self.octets += len(payload)
        if self.on_text is not None:
            self.on_text(payload)
        if self.keep:
            self._inbox.append(payload)
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _send(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        if size < 126:
            head = bytes((0x80 | opcode, 0x80 | size))
        elif size < 65536:
            head = bytes((0x80 | opcode, 0xFE)) + size.to_bytes(2, "big")
        else:
            head = bytes((0x80 | opcode, 0xFF)) + size.to_bytes(8, "big")
        self.check()
        self.transport.write(head + b"\0\0\0\0" + payload)

    def check(self) -> None:
        """Raise ConnectionError if the connection is closed."""
        if self.closed:
            raise ConnectionError(self.problem)

    def fail(self, problem: str) -> None:
        """Abort the connection; the next use of it raises this problem."""
        self.problem, self.closed = problem, True
        self.transport.close()

    async def opened(self) -> None:
        """Wait for the upgrade to finish."""
        await self._opened

    def send(self, envelope: dict[str, Any], lines: list[dict[str, Any]] | None = None) -> None:
        """Send one NDJSON text frame."""
        self._send(TEXT, b"\n".join([orjson.dumps(envelope), *(orjson.dumps(line) for line in lines or ())]))

    def send_raw(self, payload: bytes) -> None:
        """Send one text frame unchanged."""
        self._send(TEXT, payload)

    async def receive(self) -> bytes:
        """Return the next kept frame. Raises ConnectionError if the server has closed the connection."""
        while not self._inbox:
            self.check()
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._inbox.popleft()

    async def until(self, kind: str) -> dict[str, Any]:
        """Return the envelope of the next frame of this `type`, skipping others. Raises RuntimeError on `error`."""
        while True:
            envelope = orjson.loads((await self.receive()).split(b"\n", 1)[0])
            if envelope["type"] == kind:
                return cast(dict[str, Any], envelope)
            if envelope["type"] == "error":
                raise RuntimeError(envelope)

    def close(self) -> None:
        """Close the connection."""
        self.transport.close()


async def connect(port: int, path: str = "/ws/sync") -> Connection:
    """Open a connection to 127.0.0.1."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Connection(path, f"127.0.0.1:{port}"), "127.0.0.1", port)
    await connection.opened()
    return connection


async def greet(connection: Connection, device: dict[str, str], at: dict[str, Any]) -> dict[str, Any]:
    """Send hello and return the welcome."""
    connection.send(
        {"type": "hello", "protocol": "moat.v1", **device, **at, "client": {"name": "benchmark", "pid": os.getpid()}}
    )
    return await connection.until("welcome")


async def join(port: int, device: dict[str, str], *, state: dict[str, Any] | None = None) -> Connection:
    """Open a connection, send hello, subscribe from `state` (cursor, state_hash, schema_version); return it live."""
    connection = await connect(port)
    at = state or {"cursor": 0, "state_hash": "", "schema_version": 0}
    await greet(connection, device, at)
    connection.send({"type": "subscribe", **at})
    await connection.until("live")
    return connection
