"""Filtered channels on a real server: cost of changes and catch-up with many profiles, values, and subscribers."""

from dataclasses import dataclass

from benchmarks import wire
from benchmarks.live import Sender, Watcher, paced, update
from benchmarks.replicas import push_updates, sync_replica
from benchmarks.report import Figure, at_least, at_most, percentile
from benchmarks.server import CUSTOMERS, Server, moat
from moat_client.wire.chain import genesis

RATE = 50
"""Changes per second: few enough that a small server keeps up with a thousand channels."""


async def join_filtered(server: Server, device: dict[str, str]) -> wire.Connection:
    """Subscribe a device to its filtered channel, which its first hello creates. Write only after all have joined."""
    at = server.tenant["state"]
    connection = await wire.connect(server.port)
    welcome = await wire.greet(connection, device, at)
    start = genesis(welcome["server_epoch"], welcome["tenant"], welcome["channel"]).hex()
    connection.send({"type": "subscribe", **at, "state_hash": start, "channel": welcome["channel"]})
    await connection.until("live")
    connection.keep = False
    return connection


@dataclass(frozen=True, slots=True)
class Row:
    """The result for a number of channels and subscribers. CPU is the server's, in seconds."""

    name: str
    watcher: Watcher
    cpu_hello: float
    cpu_first: float
    cpu_change: float


async def _measure(server: Server, name: str, channels: int, seconds: float) -> Row:
    """Let all devices join, then write to the customers of the channels in turn.

    The first change is a separate figure: after each change of rights, the server once computes what the changes of
    these profiles must carry.
    """
    watcher, used = Watcher(), server.cpu_seconds()
    connections = [await join_filtered(server, device) for device in server.tenant["filtered"]]
    cpu_hello = (server.cpu_seconds() - used) / len(connections)
    each = len(connections) // channels
    for n, connection in enumerate(connections):
        connection.on_text = watcher.time if channels > 1 or n % 20 == 0 else watcher.count
    pusher = await wire.connect(server.port)
    await wire.greet(pusher, server.tenant["devices"][0], server.tenant["state"])
    sender, used = Sender(pusher, server.tenant["state"]), server.cpu_seconds()
    sender.put(update(0, "the first change"))
    await watcher.arrived(each, connections)
    cpu_first, used, watcher.changes = server.cpu_seconds() - used, server.cpu_seconds(), 0
    count = await paced(sender, watcher, RATE, seconds, lambda n, text: update(n % channels, text))
    await watcher.arrived(count * each, connections)
    return Row(name, watcher, cpu_hello, cpu_first, (server.cpu_seconds() - used) / count)


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' if count > 1 else ''}"


def _figures(row: Row, base: Row) -> list[Figure]:
    ratio = row.cpu_change / base.cpu_change
    return [
        Figure(f"{row.name}: write → subscriber, p50", percentile(row.watcher.samples, 0.5), "ms"),
        Figure(f"{row.name}: write → subscriber, p99", percentile(row.watcher.samples, 0.99), "ms"),
        Figure(f"{row.name}: server CPU", row.cpu_change * 1000, "ms/change", ratio=ratio, beside="one channel"),
        Figure(f"{row.name}: server CPU of the first change after rights changed", row.cpu_first * 1000, "ms"),
        Figure(f"{row.name}: server CPU of a first hello", row.cpu_hello * 1000, "ms"),
    ]


async def _channels(name: str, channels: int, seconds: float, **wanted: int) -> Row:
    """Measure channels with equal numbers of subscribers and equal shares of the changes."""
    async with moat(records=CUSTOMERS, **wanted) as server:
        return await _measure(server, name, channels, seconds)


async def profiles(
    counts: list[int], customers: int, subscribers: list[int], seconds: float, changes: int
) -> list[Figure]:
    """Measure all rows. The first of `counts` is 1, the baseline of the others."""
    rows = [await _channels(_many(count, "profile"), count, seconds, profiles=count) for count in counts]
    rows.append(await _channels(f"{customers:,} parameter values", customers, seconds, members=customers))
    rows += [
        await _channels(
            f"a filtered channel with {_many(count, 'subscriber')}", 1, seconds, profiles=1, devices_each=count
        )
        for count in subscribers
    ]
    figures = [figure for row in rows for figure in _figures(row, rows[0])]
    return figures + await _catch_up(changes)


async def _catch_up(changes: int) -> list[Figure]:
    """Measure a replica that sees 1% of the jobs and misses many changes, and one that sees them all."""
    records = 10 * CUSTOMERS
    async with moat(devices=2, records=records, profiles=1, customers_each=CUSTOMERS // 100) as server:
        writer, full = server.tenant["devices"]
        one = server.tenant["filtered"][0]
        paths = server.data / "one.db", server.data / "full.db"
        await sync_replica(server, one, paths[0])
        await sync_replica(server, full, paths[1])
        await push_updates(server, writer, server.tenant["state"], changes, records)
        filtered = await sync_replica(server, one, paths[0])
        everything = await sync_replica(server, full, paths[1])
    return [
        at_least(
            f"catch-up over {changes:,} changes, of which the channel sees 1%",
            changes / filtered.wall,
            "changes/s",
            500_000,
        ),
        at_most("the same: server CPU", filtered.server * 1000, "ms", 100),
        Figure("the same, with everything: server CPU", everything.server * 1000, "ms"),
    ]
