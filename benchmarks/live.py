"""Latency of one write to another client, and fan-out to many subscribers of a channel."""

import asyncio
import itertools
import time
from typing import Any

import orjson

from benchmarks import wire
from benchmarks.report import Figure, at_least, at_most, percentile
from benchmarks.server import Server, bare, moat

_op_ids = itertools.count(1)


def update(number: int, text: str) -> dict[str, Any]:
    """Return an op line that edits one of the fixture's jobs; last writer wins over its own earlier edits."""
    payload = [{"op": "replace", "path": "/title", "value": text}]
    return {"op_id": next(_op_ids), "table": "jobs", "id": f"job-{number}", "op": "update", "base_version": 1, "payload": payload}


def push_frame(state: dict[str, Any], ops: list[dict[str, Any]], ref: int = 1) -> bytes:
    """Return a whole push frame."""
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
    """Write on one connection, see the change on another: durable, idle server."""
    bare_samples = await _bare_round_trips(count)
    async with moat(devices=2, records=100) as server:
        one, other = server.tenant["devices"][:2]
        state = server.tenant["state"]
        sender, receiver = await wire.join(server.port, one, state=state), await wire.join(server.port, other, state=state)
        samples = []
        for n in range(count):
            started = time.perf_counter()
            sender.send_raw(push_frame(state, [update(n % 100, f"edit {n}")]))
            await receiver.until("changes")
            samples.append((time.perf_counter() - started) * 1000)
            await asyncio.sleep(0.005)
    return [
        at_most(
            "write → other client, p50",
            percentile(samples, 0.5),
            "ms",
            2,
            bare=("bare socket, nothing stored", percentile(bare_samples, 0.5)),
        ),
        at_most(
            "write → other client, p99",
            percentile(samples, 0.99),
            "ms",
            8,
            bare=("bare socket, nothing stored", percentile(bare_samples, 0.99)),
        ),
    ]


class _Watcher:
    """Counts deliveries of all subscribers, and takes the time of each on a sample of them."""

    def __init__(self) -> None:
        self.sent: dict[str, float] = {}
        self.samples: list[float] = []
        self.changes = 0

    def count(self, payload: bytes) -> None:
        self.changes += payload.count(b"\n")

    def time(self, payload: bytes) -> None:
        now = time.perf_counter()
        for line in payload.split(b"\n")[1:]:
            self.changes += 1
            text = orjson.loads(line)["payload"][0]["value"]
            if text in self.sent:
                self.samples.append((now - self.sent[text]) * 1000)


async def _subscribers(server: Server, count: int, watcher: _Watcher) -> list[wire.Connection]:
    state, connections = server.tenant["state"], []
    for n, device in enumerate(server.tenant["devices"][1 : count + 1]):
        connection = await wire.join(server.port, device, state=state)
        connection.keep = False
        connection.on_text = watcher.time if n % 20 == 0 else watcher.count
        connections.append(connection)
    return connections


async def _paced(sender: wire.Connection, state: dict[str, Any], watcher: _Watcher, rate: int, seconds: float) -> None:
    started = time.perf_counter()
    for n in range(int(rate * seconds)):
        ahead = started + n / rate - time.perf_counter()
        if ahead > 0:
            await asyncio.sleep(ahead)
        text = f"{rate}/{n}"
        watcher.sent[text] = time.perf_counter()
        sender.send_raw(push_frame(state, [update(n % 1000, text)]))
    await asyncio.sleep(1)


async def _saturate(sender: wire.Connection, state: dict[str, Any], watcher: _Watcher, seconds: float, expected: int) -> float:
    watcher.changes, total, started = 0, 0, time.perf_counter()
    sender.keep, acks = True, 0
    in_flight = 0
    while time.perf_counter() - started < seconds:
        while in_flight < 4:
            sender.send_raw(push_frame(state, [update((total + n) % 1000, f"s{total + n}") for n in range(100)]))
            total, in_flight = total + 100, in_flight + 1
        await sender.until("ack")
        acks, in_flight = acks + 1, in_flight - 1
    deadline = time.perf_counter() + 60
    while watcher.changes < total * expected and time.perf_counter() < deadline:
        await asyncio.sleep(0.02)
    if watcher.changes < total * expected:
        raise RuntimeError(f"{watcher.changes} of {total * expected} deliveries arrived")
    return watcher.changes / (time.perf_counter() - started)


TARGETS = {20: (12, 30), 100: (35, 60), 500: (80, 120)}


async def fan_out(subscribers: int, seconds: float) -> list[Figure]:
    """Push at a steady pace, then as fast as acks come, with many subscribers of one channel."""
    figures = []
    async with moat(devices=subscribers + 1, records=1000) as server:
        state, watcher = server.tenant["state"], _Watcher()
        sender = await wire.join(server.port, server.tenant["devices"][0], state=state)
        connections = await _subscribers(server, subscribers, watcher)
        for rate, (p50, p99) in TARGETS.items():
            watcher.samples.clear()
            sender.keep = False
            await _paced(sender, state, watcher, rate, seconds)
            if not watcher.samples:
                raise RuntimeError("no change reached the subscribers")
            figures.append(at_most(f"fan-out to {subscribers}, {rate} changes/s, p50", percentile(watcher.samples, 0.5), "ms", p50))
            figures.append(at_most(f"fan-out to {subscribers}, {rate} changes/s, p99", percentile(watcher.samples, 0.99), "ms", p99))
        deliveries = await _saturate(sender, state, watcher, seconds, len(connections))
        figures.append(at_least(f"fan-out to {subscribers} at saturation", deliveries, "change deliveries/s", 500_000))
    return figures
