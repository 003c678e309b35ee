"""First sync and catch-up of complete replicas: received, chain verified, applied to SQLite, durable."""

import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import wire
from benchmarks.baseline import sqlite_rows_per_second
from benchmarks.live import push_frame, update
from benchmarks.report import Figure, at_least, median, spread
from benchmarks.server import Server, moat
from moat_client.replica import Replica
from moat_client.sync import Sync


@dataclass(frozen=True, slots=True)
class Took:
    """The time a sync took: wall seconds, and CPU seconds of the client (this process) and of the server."""

    wall: float
    client: float
    server: float


async def sync_replica(server: Server, device: dict[str, str], path: Path) -> Took:
    """Bring the replica at `path` up to date."""
    with Replica.open(path) as replica:
        sync = Sync(replica, f"http://127.0.0.1:{server.port}", token=device["token"], device=device["device"])
        wall, client, used = time.perf_counter(), time.process_time(), server.cpu_seconds()
        await sync.once(within=300)
        return Took(time.perf_counter() - wall, time.process_time() - client, server.cpu_seconds() - used)


def _jobs(path: Path) -> int:
    with Replica.open(path) as replica:
        return replica.count("jobs")


async def first_sync(records: int) -> list[Figure]:
    """Sync new replicas: one that waits for the snapshot, three that find it ready, one after 1,000 more changes."""
    bare = ("bare SQLite, executemany", sqlite_rows_per_second())
    async with moat(devices=6, records=records) as server:
        devices, state = server.tenant["devices"], server.tenant["state"]
        paths = [server.data / f"replica-{n}.db" for n in range(5)]
        first = await sync_replica(server, devices[0], paths[0])
        ready = [
            await sync_replica(server, device, path) for device, path in zip(devices[1:4], paths[1:4], strict=True)
        ]
        await push_updates(server, devices[5], state, 1000, records)
        last = await sync_replica(server, devices[4], paths[4])
        if {_jobs(path) for path in paths} != {records}:
            raise RuntimeError("a replica is missing records")
    rates = [records / took.wall for took in ready]
    return [
        at_least(
            f"first sync of {records:,} records, snapshot ready",
            median(rates),
            "rows/s",
            500_000,
            bare=bare,
            spread=spread(rates),
        ),
        Figure("the same, per CPU second of the client", records / median([took.client for took in ready]), "rows/s"),
        Figure(
            "the same, per CPU second of the server",
            records / max(median([took.server for took in ready]), 0.01),
            "rows/s",
        ),
        at_least("the same, snapshot to be built first", records / first.wall, "rows/s", 100_000, bare=bare),
        Figure("the same, 1,000 changes after the snapshot", records / last.wall, "rows/s"),
    ]


async def push_updates(
    server: Server, device: dict[str, str], state: dict[str, object], count: int, records: int
) -> None:
    """Write this many changes, to each record in turn."""
    sender = await wire.connect(server.port)
    await wire.greet(sender, device, state)
    for start in range(0, count, 500):
        sender.send_raw(
            push_frame(
                state, [update((start + n) % records, f"missed {start + n}") for n in range(min(500, count - start))]
            )
        )
        await sender.until("ack")
    sender.close()


async def catch_up(changes: int) -> list[Figure]:
    """Measure complete replicas that miss many changes: by the log, and by rows if fewer records changed."""
    bare = ("bare SQLite, executemany", sqlite_rows_per_second())
    log = await _missed(changes, records=changes)
    rows = await _missed(changes, records=changes // 5)
    rates, row_rates = [changes / took.wall for took in log], [changes / took.wall for took in rows]
    return [
        at_least(
            f"catch-up of {changes:,} missed changes, by the log",
            median(rates),
            "changes/s",
            60_000,
            bare=bare,
            spread=spread(rates),
        ),
        Figure("the same, per CPU second of the client", changes / median([took.client for took in log]), "changes/s"),
        Figure("the same, per CPU second of the server", changes / median([took.server for took in log]), "changes/s"),
        at_least(
            f"the same of {changes // 5:,} records, by rows",
            median(row_rates),
            "changes/s",
            60_000,
            bare=bare,
            spread=spread(row_rates),
        ),
    ]


async def _missed(changes: int, records: int) -> list[Took]:
    async with moat(devices=4, records=records) as server:
        *devices, writer = server.tenant["devices"]
        paths = [server.data / f"replica-{n}.db" for n in range(len(devices))]
        for device, path in zip(devices, paths, strict=True):
            await sync_replica(server, device, path)
        await push_updates(server, writer, server.tenant["state"], changes, records)
        return [await sync_replica(server, device, path) for device, path in zip(devices, paths, strict=True)]
