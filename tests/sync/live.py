"""A server in this process on a real socket, and a wire client that checks every frame."""

import asyncio
import gzip
import hashlib
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from django.db import connections
from websockets.asyncio.client import ClientConnection, connect

from config.asgi import application
from sync.settle.push import push
from sync.wire.chain import fold
from sync.wire.ops import Actor, Op
from tenants.models import Tenant
from tenants.tokens import IssuedDevice

_op_ids = itertools.count(1)


@asynccontextmanager
async def serving() -> AsyncIterator[int]:
    """Run the real application with uvicorn on a free port, in this event loop."""
    config = uvicorn.Config(
        application, port=0, ws="websockets-sansio", ws_per_message_deflate=False, log_level="warning", lifespan="on"
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        assert not task.done()
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task


async def in_thread(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function that uses the database in a thread, and close the thread's connection."""

    def call() -> Any:
        try:
            return function(*args, **kwargs)
        finally:
            connections.close_all()

    return await asyncio.to_thread(call)


def write(tenant: Tenant, *records: str, by: str = "admin") -> int:
    """Insert jobs through the engine, as the admin does. Return how many were applied."""
    results = push(
        Actor(tenant.pk, by),
        [Op(n, None, "jobs", record, "insert", 0, {"title": record}) for n, record in enumerate(records, 1)],
    )
    return sum(result.status == "applied" for result in results)


class Live:
    """One connection. Every `changes` frame must build on the cursor and carry the right chain."""

    def __init__(self, socket: ClientConnection, issued: IssuedDevice) -> None:
        self.socket, self.issued = socket, issued
        self.cursor, self.state_hash, self.schema_version, self.epoch = 0, "", 0, None
        self.lines: list[dict[str, Any]] = []
        self.frames = 0
        self.rows: list[tuple[dict[str, Any], list[Any]]] = []
        self.refs = itertools.count(1)

    @property
    def state(self) -> dict[str, Any]:
        return {"schema_version": self.schema_version, "cursor": self.cursor, "state_hash": self.state_hash}

    def at(self, tenant: Tenant) -> "Live":
        """Start from the tenant's current state, as if everything had been received."""
        self.cursor, self.schema_version, self.epoch = tenant.cursor, tenant.schema_version, tenant.server_epoch
        self.state_hash = bytes(tenant.state_hash).hex()
        return self

    async def say(self, kind: str, *lines: Any, **keys: Any) -> None:
        await self.socket.send("\n".join(json.dumps(part) for part in ({"type": kind, **keys}, *lines)))

    async def receive(self) -> dict[str, Any]:
        """Return the next message, after responding to pings and applying changes."""
        async with asyncio.timeout(20):
            data = await self.socket.recv()
        if isinstance(data, bytes):
            size = int.from_bytes(data[:4], "big")
            return {"type": "binary", **json.loads(data[4 : 4 + size]), "data": data[4 + size :]}
        head, *lines = data.split("\n")
        message = json.loads(head)
        if message["type"] == "ping":
            await self.say("pong", ref=message.get("ref"), cursor=self.cursor)
            return await self.receive()
        if message["type"] == "changes":
            self._apply(message, lines)
        elif message["type"] == "rows":
            self.rows.append((message, [json.loads(line) for line in lines]))
        return message

    def _apply(self, message: dict[str, Any], lines: list[str]) -> None:
        assert message["from"] == self.cursor, (message, self.cursor)
        assert message["to"] == self.cursor + len(lines)
        if not self.state_hash:
            self.state_hash = hashlib.sha256(f"moat.v1\0{self.epoch}\0{self.tenant}".encode()).hexdigest()
        self.state_hash = fold(bytes.fromhex(self.state_hash), [line.encode() for line in lines]).hex()
        assert message["state_hash"] == self.state_hash
        for line in map(json.loads, lines):
            assert line["schema_version"] == message["schema_version"]
            assert line["cursor"] == self.cursor + 1
            self.cursor += 1
            self.lines.append(line)
        self.frames += 1

    async def until(self, kind: str) -> dict[str, Any]:
        while (message := await self.receive())["type"] != kind:
            assert message["type"] not in ("error", "bye"), message
        return message

    async def hello(self, **changed: Any) -> dict[str, Any]:
        keys = {
            "protocol": "moat.v1",
            "token": self.issued.token,
            "device": self.issued.device.pk,
            "server_epoch": self.epoch,
            **self.state,
        }
        await self.say("hello", **{**keys, **changed})
        welcome = await self.until("welcome")
        self.epoch, self.tenant = welcome["server_epoch"], welcome["tenant"]
        return welcome

    async def live(self) -> "Live":
        await self.hello()
        await self.say("subscribe", **self.state)
        await self.until("live")
        return self

    async def push(self, *ops: dict[str, Any]) -> list[dict[str, Any]]:
        ref = next(self.refs)
        await self.say("push", *ops, ref=ref, **self.state)
        ack = await self.until("ack")
        assert ack["ref"] == ref
        return list(ack["results"])

    async def reach(self, cursor: int) -> None:
        while self.cursor < cursor:
            message = await self.receive()
            assert message["type"] not in ("error", "bye"), message

    async def download(self, manifest: dict[str, Any]) -> bytes:
        """Fetch all parts of a snapshot over the socket, check every hash, and return the file."""
        whole = b""
        for number, part in enumerate(manifest["parts"]):
            await self.say("part", snapshot=manifest["snapshot"], part=number)
            data = (await self.until("binary"))["data"]
            assert len(data) == part["size"]
            assert hashlib.sha256(data).hexdigest() == part["sha256"]
            piece = gzip.decompress(data)
            assert len(piece) <= 1024 * 1024
            whole += piece
        assert len(whole) == manifest["size"]
        assert hashlib.sha256(whole).hexdigest() == manifest["sha256"]
        return whole


def insert(record: str, **values: Any) -> dict[str, Any]:
    """Return an op line that inserts a job."""
    return {
        "op_id": next(_op_ids),
        "table": "jobs",
        "id": record,
        "op": "insert",
        "base_version": 0,
        "payload": {"title": record, **values},
    }


@asynccontextmanager
async def connected(port: int, issued: IssuedDevice, **options: Any) -> AsyncIterator[Live]:
    """Open a connection."""
    async with connect(
        f"ws://127.0.0.1:{port}/ws/sync", max_size=None, compression=None, close_timeout=1, **options
    ) as socket:
        yield Live(socket, issued)
