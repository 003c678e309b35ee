"""Filtered channels on a real server: what a change costs beside many profiles, parameter values and subscribers, and their catch-up."""

from benchmarks import wire
from benchmarks.live import Sender, Watcher, paced, update
from benchmarks.replicas import push_updates, sync_replica
from benchmarks.report import Figure, at_least, at_most, percentile
from benchmarks.server import CUSTOMERS, Server, moat
from moat_client.hashchain import genesis

RATE = 50
"""Changes per second: few enough that a small server keeps up beside a thousand channels."""


async def join_filtered(server: Server, device: dict[str, str]) -> wire.Connection:
    """Subscribe a device to its filtered channel, which is born with its first hello: nothing may be written before all have joined."""
    at = server.tenant["state"]
    connection = await wire.connect(server.port)
    welcome = await wire.greet(connection, device, at)
    born = genesis(welcome["server_epoch"], welcome["tenant"], welcome["channel"]).hex()
    connection.send({"type": "subscribe", **at, "state_hash": born, "channel": welcome["channel"]})
    await connection.until("live")
    connection.keep = False
    return connection


async def _measure(server: Server, connections: list[wire.Connection], channels: int, each: int, seconds: float) -> tuple[Watcher, float]:
    """Write to the customers of the channels in turn; return what arrived, and the server's CPU seconds per change."""
    watcher = Watcher()
    for n, connection in enumerate(connections):
        connection.on_text = watcher.time if channels > 1 or n % 20 == 0 else watcher.count
    pusher = await wire.connect(server.port)
    await wire.greet(pusher, server.tenant["devices"][0], server.tenant["state"])
    used = server.cpu_seconds()
    count = await paced(Sender(pusher, server.tenant["state"]), watcher, RATE, seconds, lambda n, text: update(n % channels, text))
    await watcher.arrived(count * each, connections)
    return watcher, (server.cpu_seconds() - used) / count


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' if count > 1 else ''}"


def _figures(name: str, watcher: Watcher, cpu: float, base: float) -> list[Figure]:
    return [
        Figure(f"{name}: write → subscriber, p50", percentile(watcher.samples, 0.5), "ms"),
        Figure(f"{name}: write → subscriber, p99", percentile(watcher.samples, 0.99), "ms"),
        Figure(f"{name}: server CPU", cpu * 1000, "ms/change", ratio=cpu / base, beside="one channel"),
    ]


async def _channels(name: str, channels: int, seconds: float, **wanted: int) -> tuple[str, Watcher, float]:
    """Every channel has one subscriber, and sees its share of the changes."""
    async with moat(records=CUSTOMERS, **wanted) as server:
        connections = [await join_filtered(server, device) for device in server.tenant["filtered"]]
        watcher, cpu = await _measure(server, connections, channels, 1, seconds)
    return name, watcher, cpu


async def _subscribers(subscribers: int, seconds: float) -> tuple[str, Watcher, float]:
    """One channel has many subscribers."""
    async with moat(records=CUSTOMERS, profiles=1, devices_each=subscribers) as server:
        connections = [await join_filtered(server, device) for device in server.tenant["filtered"]]
        watcher, cpu = await _measure(server, connections, 1, subscribers, seconds)
    return f"a filtered channel with {_many(subscribers, 'subscriber')}", watcher, cpu


async def profiles(counts: list[int], customers: int, subscribers: list[int], seconds: float, changes: int) -> list[Figure]:
    """Measure all rows; the first of `counts` is 1, what the others are compared with."""
    rows = [await _channels(_many(count, "profile"), count, seconds, profiles=count) for count in counts]
    rows.append(await _channels(f"{customers:,} parameter values", customers, seconds, members=customers))
    rows += [await _subscribers(count, seconds) for count in subscribers]
    base = rows[0][2]
    figures = [figure for row in rows for figure in _figures(*row, base)]
    return figures + await _catch_up(changes)


async def _catch_up(changes: int) -> list[Figure]:
    """A replica that sees 1 % of the jobs misses many changes; beside it one that sees them all."""
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
        at_least(f"catch-up over {changes:,} changes, of which the channel sees 1 %", changes / filtered.wall, "changes/s", 500_000),
        at_most("the same: server CPU", filtered.server * 1000, "ms", 100),
        Figure("the same, with everything: server CPU", everything.server * 1000, "ms"),
    ]
