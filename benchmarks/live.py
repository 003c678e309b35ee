"""Latency from a write to another client, and fan-out to many subscribers of a channel."""

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import Any

import orjson

from benchmarks import wire
from benchmarks.report import Figure, at_least, at_most, median, percentile, spread
from benchmarks.server import Server, bare, moat

MakeOp = Callable[[int, str], dict[str, Any]]
_op_ids = itertools.count(1)
PUSHES_IN_FLIGHT = 8
"""The server's `limits.pushes_in_flight`. A client that exceeds it receives `overloaded` and is eventually closed."""


def update(number: int, text: str) -> dict[str, Any]:
    """Return an op line that edits one of the fixture's jobs; it overwrites this client's own earlier edits."""
    payload = [{"op": "replace", "path": "/title", "value": text}]
    return {
        "op_id": next(_op_ids),
        "table": "jobs",
        "id": f"job-{number}",
        "op": "update",
        "base_version": 1,
        "payload": payload,
    }


def push_frame(state: dict[str, Any], ops: list[dict[str, Any]], ref: int = 1) -> bytes:
    """Return a complete push frame."""
    return b"\n".join([orjson.dumps({"type": "push", "ref": ref, **state}), *(orjson.dumps(op) for op in ops)])


async def _bare_round_trips(count: int) -> list[float]:
    async with bare() as server:
        sender, receiver = await wire.connect(server.port, "/"), await wire.connect(server.port, "/")
        samples = []
        for _ in range(count):
            started = time.perf_counter()
            sender.send_raw(b"x" * 200)
            await receiver.receive()
            samples.append((time.perf_counter() - started) * 1000)
            await asyncio.sleep(0.005)
        return samples


async def latency(count: int) -> list[Figure]:
    """Write on one connection and wait for the change on another: durable, idle server."""
    bare_samples = await _bare_round_trips(count)
    async with moat(devices=2, records=100) as server:
        one, other = server.tenant["devices"][:2]
        state = server.tenant["state"]
        sender, receiver = (
            await wire.join(server.port, one, state=state),
            await wire.join(server.port, other, state=state),
        )
        samples = []
        for n in range(count):
            started = time.perf_counter()
            sender.send_raw(push_frame(state, [update(n % 100, f"edit {n}")]))
            await receiver.until("changes")
            samples.append((time.perf_counter() - started) * 1000)
            await asyncio.sleep(0.005)
    beside = "bare socket, nothing stored"
    return [
        at_most(
            "write → other client, p50", percentile(samples, 0.5), "ms", 2, bare=(beside, percentile(bare_samples, 0.5))
        ),
        at_most(
            "write → other client, p99",
            percentile(samples, 0.99),
            "ms",
            8,
            bare=(beside, percentile(bare_samples, 0.99)),
        ),
    ]


class Sender:
    """Pushes as a client does: limits the frames in flight, and batches the ops that accumulate meanwhile."""

    def __init__(self, connection: wire.Connection, state: dict[str, Any]) -> None:
        self._connection = connection
        self._state = state
        self._in_flight = 0
        self._moved = asyncio.Event()
        self._waiting: list[dict[str, Any]] = []
        connection.keep = False
        connection.on_text = self._take

    def _take(self, payload: bytes) -> None:
        if payload.startswith(b'{"type":"ack"'):
            self._in_flight -= 1
            if b'"rejected"' in payload or b'"conflict"' in payload:
                self._connection.fail(payload[:300].decode())
            self._send()
            self._moved.set()
        elif payload.startswith(b'{"type":"error"'):
            self._connection.fail(payload.decode())

    def put(self, *ops: dict[str, Any]) -> None:
        """Push ops as soon as the limit allows."""
        self._waiting += ops
        self._send()

    def _send(self) -> None:
        if self._waiting and self._in_flight < PUSHES_IN_FLIGHT:
            ops, self._waiting = self._waiting, []
            self._in_flight += 1
            self._connection.send_raw(push_frame(self._state, ops))

    async def at_most(self, in_flight: int) -> None:
        """Wait until at most this many frames are in flight."""
        while self._in_flight > in_flight:
            self._connection.check()
            self._moved.clear()
            await self._moved.wait()


class Watcher:
    """Counts the deliveries to all subscribers, and times each delivery to a sample of them."""

    def __init__(self) -> None:
        self.sent: dict[str, float] = {}
        self.samples: list[float] = []
        self.changes = 0

    def count(self, payload: bytes) -> None:
        """Count a frame of an untimed subscriber."""
        self.changes += payload.count(b"\n")

    def time(self, payload: bytes) -> None:
        """Count a frame of a timed subscriber, and time its changes."""
        now = time.perf_counter()
        lines = payload.split(b"\n")[1:]
        self.changes += len(lines)
        if self.sent:
            for line in lines:
                if (sent := self.sent.get(orjson.loads(line)["payload"][0]["value"])) is not None:
                    self.samples.append((now - sent) * 1000)

    async def arrived(self, changes: int, connections: list[wire.Connection], within: float = 60) -> None:
        """Wait until this many changes were delivered since `changes` was last set to 0. Raises RuntimeError."""
        deadline = time.perf_counter() + within
        while self.changes < changes:
            for connection in connections:
                connection.check()
            if time.perf_counter() > deadline:
                raise RuntimeError(f"{self.changes:,} of {changes:,} deliveries arrived within {within:g} s")
            await asyncio.sleep(0.02)


async def subscribe_all(server: Server, devices: list[dict[str, str]], watcher: Watcher) -> list[wire.Connection]:
    """Subscribe each device; time every twentieth."""
    connections = []
    for n, device in enumerate(devices):
        connection = await wire.join(server.port, device, state=server.tenant["state"])
        connection.keep = False
        connection.on_text = watcher.time if n % 20 == 0 else watcher.count
        connections.append(connection)
    return connections


async def paced(sender: Sender, watcher: Watcher, rate: int, seconds: float, op: MakeOp = update) -> int:
    """Push at a steady rate even if the server falls behind; return the number of ops.

    Latency counts from when an op was due.
    """
    started = time.perf_counter()
    for n in range(int(rate * seconds)):
        due = started + n / rate
        if (ahead := due - time.perf_counter()) > 0:
            await asyncio.sleep(ahead)
        elif n % 10 == 0:
            await asyncio.sleep(0)
        text = f"{rate}/{n}"
        watcher.sent[text] = due
        sender.put(op(n % 1000, text))
    return int(rate * seconds)


async def _saturate(sender: Sender, watcher: Watcher, connections: list[wire.Connection], seconds: float) -> float:
    """Return change deliveries/s with about a thousand ops always in flight."""
    watcher.sent.clear()
    watcher.changes, total, started = 0, 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        await sender.at_most(4)
        sender.put(*(update((total + n) % 1000, f"s{total + n}") for n in range(200)))
        total += 200
    await watcher.arrived(total * len(connections), connections)
    return watcher.changes / (time.perf_counter() - started)


TARGETS = {20: (12, 30), 100: (35, 60), 500: (80, 120)}


async def fan_out(subscribers: int, seconds: float) -> list[Figure]:
    """Push at a steady rate, then as fast as acks arrive, with many subscribers of one channel."""
    figures = []
    async with moat(devices=subscribers + 1, records=1000) as server:
        first, *others = server.tenant["devices"]
        watcher = Watcher()
        pusher = await wire.connect(server.port)
        await wire.greet(pusher, first, server.tenant["state"])
        sender = Sender(pusher, server.tenant["state"])
        connections = await subscribe_all(server, others, watcher)
        for rate, (p50, p99) in TARGETS.items():
            watcher.samples.clear()
            watcher.changes, used = 0, server.cpu_seconds()
            count = await paced(sender, watcher, rate, seconds)
            await watcher.arrived(count * subscribers, connections)
            cpu = (server.cpu_seconds() - used) / count
            name = f"fan-out to {subscribers}, {rate} changes/s"
            figures.append(at_most(f"{name}, p50", percentile(watcher.samples, 0.5), "ms", p50))
            figures.append(at_most(f"{name}, p99", percentile(watcher.samples, 0.99), "ms", p99))
            figures.append(Figure(f"{name}, server CPU", cpu * 1000, "ms/change"))
        runs = [await _saturate(sender, watcher, connections, seconds / 3) for _ in range(3)]
        figures.append(
            at_least(
                f"fan-out to {subscribers} at saturation",
                median(runs),
                "change deliveries/s",
                500_000,
                spread=spread(runs),
            )
        )
    return figures
