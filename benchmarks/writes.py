"""Durable ops per second through real sockets."""

import asyncio
import time
from typing import Any

from benchmarks import wire
from benchmarks.baseline import sqlite_ops_per_second
from benchmarks.live import push_frame, update
from benchmarks.report import Figure, at_least, at_most, percentile
from benchmarks.server import moat


async def _pusher(
    connection: wire.Connection,
    state: dict[str, Any],
    mine: range,
    per_frame: int,
    until: float,
    latencies: list[float],
) -> int:
    accepted = 0
    while time.perf_counter() < until:
        ops = [update(mine[(accepted + n) % len(mine)], f"t{accepted + n}") for n in range(per_frame)]
        started = time.perf_counter()
        connection.send_raw(push_frame(state, ops))
        ack = await connection.until("ack")
        latencies.append((time.perf_counter() - started) * 1000)
        rejected = [r for r in ack["results"] if r["status"] not in ("applied", "merged")]
        if rejected:
            raise RuntimeError(rejected[0])
        accepted += per_frame
    return accepted


async def _run(connections: int, per_frame: int, seconds: float) -> tuple[float, list[float]]:
    async with moat(devices=connections, records=5000) as server:
        state = server.tenant["state"]
        joined = [await wire.connect(server.port) for _ in range(connections)]
        for connection, device in zip(joined, server.tenant["devices"], strict=True):
            connection.send(
                {"type": "hello", "protocol": "moat.v1", **device, **state, "client": {"name": "benchmark"}}
            )
            await connection.until("welcome")
        latencies: list[float] = []
        started = time.perf_counter()
        share = 5000 // connections  # each connection has its own records, to avoid conflicts
        pushers = [
            _pusher(c, state, range(n * share, (n + 1) * share), per_frame, started + seconds, latencies)
            for n, c in enumerate(joined)
        ]
        accepted = sum(await asyncio.gather(*pushers))
        return accepted / (time.perf_counter() - started), latencies


async def durable(seconds: float) -> list[Figure]:
    """Push on 50 connections with one op in flight each, then on four with 100 ops per frame; all acks are durable."""
    bare_50, bare_100 = sqlite_ops_per_second(50), sqlite_ops_per_second(100)
    single, latencies = await _run(50, 1, seconds)
    bulk, _ = await _run(4, 100, seconds)
    return [
        at_least(
            "durable ops, 50 connections × 1 in flight",
            single,
            "ops/s",
            8_000,
            bare=("bare SQLite, 50 a commit", bare_50),
        ),
        at_most("ack of one op among 50 connections, p50", percentile(latencies, 0.5), "ms", 5),
        at_least("durable ops, 100 a frame", bulk, "ops/s", 20_000, bare=("bare SQLite, 100 a commit", bare_100)),
    ]
