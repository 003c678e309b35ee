"""First sync and catch-up of whole replicas: received, chain verified, applied to SQLite, durable."""

import asyncio
import time
from pathlib import Path

from benchmarks import wire
from benchmarks.baseline import sqlite_rows_per_second
from benchmarks.live import push_frame, update
from benchmarks.report import Figure, at_least
from benchmarks.server import Server, moat
from moat_client.replica import Replica
from moat_client.sync import Sync


async def _sync(server: Server, device: dict[str, str], path: Path) -> float:
    """Bring the replica at `path` in step and return the seconds it took."""
    with Replica.open(path) as replica:
        sync = Sync(replica, f"http://127.0.0.1:{server.port}", token=device["token"], device=device["device"])
        started = time.perf_counter()
        await sync.once(within=600)
        return time.perf_counter() - started


def _jobs(path: Path) -> int:
    with Replica.open(path) as replica:
        return replica.count("jobs")


async def first_sync(records: int) -> list[Figure]:
    """The first newcomer, who waits for the snapshot to be built, the second, who does not, and one after 1,000 more changes."""
    bare = ("bare SQLite, executemany", sqlite_rows_per_second())
    async with moat(devices=4, records=records) as server:
        devices, state = server.tenant["devices"], server.tenant["state"]
        paths = [server.data / f"replica-{n}.db" for n in range(3)]
        first = await _sync(server, devices[0], paths[0])
        second = await _sync(server, devices[1], paths[1])
        await push_updates(server, devices[3], state, 1000, records)
        third = await _sync(server, devices[2], paths[2])
        if {_jobs(path) for path in paths} != {records}:
            raise RuntimeError("a replica lacks records")
    return [
        at_least(f"first sync of {records:,} records, snapshot ready", records / second, "rows/s", 500_000, bare=bare),
        at_least("the same, snapshot to be built first", records / first, "rows/s", 100_000, bare=bare),
        Figure("the same, 1,000 changes after the snapshot", records / third, "rows/s"),
    ]


async def push_updates(server: Server, device: dict[str, str], state: dict[str, object], count: int, records: int) -> None:
    """Change that many records, in frames of 500."""
    sender = await wire.join(server.port, device, state=state)
    sender.keep = True
    for start in range(0, count, 500):
        sender.send_raw(push_frame(state, [update((start + n) % records, f"missed {start + n}") for n in range(min(500, count - start))]))
        await sender.until("ack")
    sender.close()


async def catch_up(changes: int) -> list[Figure]:
    """A replica that has everything goes away, misses many changes, and comes back."""
    records = 20_000
    async with moat(devices=2, records=records) as server:
        devices, path = server.tenant["devices"], server.data / "replica.db"
        await _sync(server, devices[0], path)
        await push_updates(server, devices[1], server.tenant["state"], changes, records)
        await asyncio.sleep(0.5)
        seconds = await _sync(server, devices[0], path)
    bare = ("bare SQLite, executemany", sqlite_rows_per_second())
    return [at_least(f"catch-up of {changes:,} missed changes", changes / seconds, "changes/s", 60_000, bare=bare)]
