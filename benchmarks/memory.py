"""Memory of an idle server and of an idle connection."""

import asyncio

from benchmarks import wire
from benchmarks.report import Figure, at_most
from benchmarks.server import moat


async def memory(connections: int) -> list[Figure]:
    """Measure resident memory before and after `connections` idle live subscribers connect."""
    async with moat(devices=connections + 1, records=100) as server:
        state, devices = server.tenant["state"], server.tenant["devices"]
        kept = [await wire.join(server.port, devices[0], state=state)]
        await asyncio.sleep(1)
        before = server.rss_kib()
        kept += [await wire.join(server.port, device, state=state) for device in devices[1:]]
        await asyncio.sleep(1)
        after = server.rss_kib()
        for connection in kept:
            connection.close()
    return [
        at_most("idle server", before / 1024, "MiB", 120),
        at_most(f"an idle connection, of {connections}", (after - before) / connections, "KiB", 40),
    ]
