"""Whatever a client sends, its socket stays open or ends with a close code: it never just breaks off."""

import json
import os
import random
import struct
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from sync.transports.socket.websocket import Once
from tenants.models import Tenant
from tests.contract.peer import Peer
from tests.contract.servers import ServerProcess

pytestmark = pytest.mark.contract

FIN, TEXT, BINARY, CONTINUATION, CLOSE = 0x80, 0x1, 0x2, 0x0, 0x8


def frame(opcode: int, data: bytes, *, masked: bool = True, final: bool = True) -> bytes:
    """A WebSocket frame, as a client that follows no rules may make it."""
    mask = os.urandom(4) if masked else b""
    first, size = (FIN if final else 0) | opcode, len(data)
    bit = FIN if masked else 0
    length = (
        struct.pack("!BB", first, bit | size)
        if size < 126
        else struct.pack("!BBH", first, bit | 126, size)
        if size < 65536
        else struct.pack("!BBQ", first, bit | 127, size)
    )
    body = bytes(byte ^ mask[place % 4] for place, byte in enumerate(data)) if masked else data
    return length + mask + body


HELLO = b'{"type":"hello","protocol":"moat.v1","token":"%b"}'
BROKEN: dict[str, list[bytes]] = {
    "text that is not UTF-8": [frame(TEXT, b"\xff\xfe\xfd")],
    "a surrogate in UTF-8": [frame(TEXT, b'{"type":"\xed\xa0\x80"}')],
    "a character cut in two": [frame(TEXT, "ü".encode()[:1], final=False), frame(CONTINUATION, "ü".encode()[1:])],
    "half a character": [frame(TEXT, "ü".encode()[:1])],
    "a frame without a mask": [frame(TEXT, b"{}", masked=False)],
    "an unknown opcode": [frame(0x3, b"{}"), frame(0xB, b"{}")],
    "reserved bits": [bytes([0xF1, 0x80]) + b"\0\0\0\0"],
    "a continuation of nothing": [frame(CONTINUATION, b"{}")],
    "a message inside a message": [frame(TEXT, b"{", final=False), frame(TEXT, b"}")],
    "a fragmented ping": [frame(0x9, b"x", final=False)],
    "a long ping": [frame(0x9, b"x" * 200)],
    "a close without a code": [frame(CLOSE, b"")],
    "a close with half a code": [frame(CLOSE, b"\x03")],
    "a close with a forbidden code": [frame(CLOSE, struct.pack("!H", 1006))],
    "a close whose reason is not UTF-8": [frame(CLOSE, struct.pack("!H", 1000) + b"\xff")],
    "a length of 2^63": [struct.pack("!BBQ", FIN | TEXT, FIN | 127, 2**63 - 1) + b"\0\0\0\0"],
    "binary": [frame(BINARY, os.urandom(100))],
    "empty": [frame(TEXT, b"")],
    "many at once": [frame(TEXT, b"{}") * 200],
    "a lone surrogate as an escape": [frame(TEXT, b'{"type":"\\ud800","ref":1}')],
    "deep": [frame(TEXT, b"[" * 100_000)],
    "hello as a number": [frame(TEXT, b'{"type":"hello","protocol":5,"token":{},"device":[],"cursor":"x"}')],
    "a token with a NUL": [frame(TEXT, HELLO % b"moat_\\u0000")],
}


def outcome(socket: ClientConnection, parts: list[bytes]) -> str:
    """Send bytes below the protocol; return `answered`, `open`, or the close code. Fails if the socket breaks off."""
    try:
        for part in parts:
            socket.socket.sendall(part)
    except OSError:
        pass  # closed meanwhile; the code is still to be read
    try:
        socket.recv(timeout=2)
    except TimeoutError:
        return "open"
    except ConnectionClosed as closed:
        assert closed.rcvd is not None, "it broke off without a close frame"
        return str(closed.rcvd.code)
    return "answered"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["uvicorn", "daphne"])
def test_broken_frames_end_with_a_code(kind: str, transactional_db: None) -> None:
    server = ServerProcess(kind=kind).start()
    failures = {}
    try:
        for name, parts in BROKEN.items():
            if kind == "daphne" and name.startswith("a close"):
                continue  # the client is closing anyway; autobahn does not answer a close frame that it cannot read
            with connect(f"ws://127.0.0.1:{server.port}/ws/sync", compression=None, close_timeout=1) as socket:
                try:
                    outcome(socket, parts)
                except AssertionError as error:
                    failures[name] = str(error)
    finally:
        server.stop()
    assert failures == {}


@pytest.mark.slow
def test_random_bytes_and_random_messages_end_with_a_code(tenant: Tenant, open_peer: Any) -> None:
    server, chance = ServerProcess().start(), random.Random(7)
    failures = []
    peer: Peer = open_peer(tenant, server.port)
    hello = {"type": "hello", "protocol": "moat.v1", "token": peer.token, "device": peer.device, **peer.state()}
    try:
        for number in range(60):
            with connect(f"ws://127.0.0.1:{server.port}/ws/sync", compression=None, close_timeout=1) as socket:
                if number % 2:
                    socket.send(json.dumps(hello))
                    socket.recv(timeout=20)
                message = bytearray(
                    json.dumps({"type": chance.choice(["push", "verify", "hello", "pong"]), "ref": 1}).encode()
                )
                for _ in range(chance.randrange(6)):
                    message[chance.randrange(len(message))] = chance.randrange(256)
                try:
                    outcome(socket, [frame(chance.choice([TEXT, TEXT, TEXT, BINARY]), bytes(message))])
                except AssertionError as error:
                    failures.append((bytes(message), str(error)))
    finally:
        server.stop()
    assert failures == []


def test_an_abort_is_carried_out_once() -> None:
    calls: list[int] = []
    abort = Once(lambda: calls.append(1))
    abort()
    abort()
    assert calls == [1]
