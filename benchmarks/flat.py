"""Check that the cost of a change does not grow with unrelated records, tenants, and idle connections."""

import time

from benchmarks import wire
from benchmarks.live import push_frame, update
from benchmarks.report import Figure, at_most, median
from benchmarks.server import Server, moat


async def _cost(server: Server, count: int) -> float:
    """Return the median time in ms from sending one op to its durable ack."""
    state = server.tenant["state"]
    sender = await wire.join(server.port, server.tenant["devices"][0], state=state)
    samples = []
    for n in range(count):
        started = time.perf_counter()
        sender.send_raw(push_frame(state, [update(n % 100, f"flat {n}")]))
        await sender.until("ack")
        samples.append((time.perf_counter() - started) * 1000)
    return median(samples)


async def flat(count: int, records: int, tenants: int, idle: int) -> list[Figure]:
    """Compare the cost of a change on a small server with servers that have more of everything."""
    async with moat(devices=1, records=1000) as server:
        small = await _cost(server, count)
    async with moat(devices=1, records=records) as server:
        many_records = await _cost(server, count)
    async with moat(tenants=tenants, devices=1, records=1000) as server:
        many_tenants = await _cost(server, count)
    async with moat(tenants=2, devices=idle, records=1000) as server:
        other = server.tenants[1]
        kept = [await wire.join(server.port, device, state=other["state"]) for device in other["devices"]]
        many_idle = await _cost(server, count)
        for connection in kept:
            connection.close()
    return [
        at_most(f"a change with {records:,} records, compared with 1,000", many_records / small, "×", 1.5),
        at_most(f"a change with {tenants} tenants, compared with 1", many_tenants / small, "×", 1.5),
        at_most(f"a change with {idle} idle connections of another tenant", many_idle / small, "×", 1.5),
    ]
