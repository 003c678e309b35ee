"""Whatever one device asks the server to read, others are served, and what it leaves behind ends."""

import asyncio
import threading
from contextlib import AsyncExitStack
from typing import Any

import pytest

from metadata.publish import publish
from sync.catchup.digest import range_digests
from sync.transports.runtime import Runtime, get_runtime
from sync.transports.socket import requests
from tenants.models import Tenant
from tenants.tokens import issue_device
from tests.builders import make_field_service, make_tenant, make_user
from tests.sync.live import Live, connected, in_thread, insert, serving, write
from tests.sync.test_read_pool import ENDLESS

RANGES = [[None, f"z{n}"] for n in range(64)]


def other_tenant() -> Tenant:
    tenant = make_tenant("other")
    make_field_service(tenant)
    publish(tenant.pk)
    tenant.refresh_from_db()
    return tenant


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Let a verify of many ranges never end; return what is set when one has begun."""
    begun = threading.Event()
    real = range_digests

    def slow(reader: Any, channel: Any, schema: Any, table: str, ranges: Any) -> Any:
        if len(ranges) < len(RANGES):
            return real(reader, channel, schema, table, ranges)
        begun.set()
        return reader.all(ENDLESS[reader.vendor])

    monkeypatch.setattr(requests, "range_digests", slow)
    return begun


async def idle(runtime: Runtime) -> None:
    """Wait until no scan runs."""
    for _ in range(600):
        if not runtime.scans.busy:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("scans go on although their clients are gone")


async def verified(client: Live) -> Any:
    await client.say("verify", table="jobs", ranges=[[None, None]])
    return (await client.until("verify"))["ranges"]


async def test_scans_of_one_device_hold_up_no_other_and_end_with_its_connection(
    acme: Tenant, device: Any, scans: threading.Event
) -> None:
    other = await in_thread(other_tenant)
    await in_thread(write, other, "there")
    theirs = await in_thread(lambda: issue_device(other, make_user(other), "test"))
    async with serving() as port:
        runtime = await get_runtime()
        async with AsyncExitStack() as attack:
            for _ in range(6):
                bully = await attack.enter_async_context(connected(port, await device()))
                await bully.hello()
                await bully.say("verify", table="jobs", ranges=RANGES)
            assert await asyncio.to_thread(scans.wait, 20)
            async with connected(port, theirs) as client:
                await client.live()
                assert (await client.push(insert("mine")))[0]["status"] == "applied"
                assert (await verified(client))[0][0] == 2  # a scan of another tenant is not held up either
        async with asyncio.timeout(30), connected(port, await device()) as client:
            await client.hello()
            assert (await verified(client))[0][0] == 0  # a thread of its tenant's share is free again
            await idle(runtime)


async def test_a_device_that_has_too_much_waiting_gets_a_code_and_can_come_back(
    acme: Tenant, device: Any, scans: threading.Event, settings: Any
) -> None:
    settings.MOAT = {"DEVICE_SCANS": 1}
    issued = await device()
    async with serving() as port, connected(port, issued) as first:
        await first.hello()
        await first.say("verify", table="jobs", ranges=RANGES)
        assert await asyncio.to_thread(scans.wait, 20)
        runtime = await get_runtime()
        older = runtime.members.pop(issued.device.pk)  # as if another process served the older connection
        async with connected(port, issued) as second:
            await second.hello()
            await second.say("verify", table="jobs", ranges=[[None, None]], ref=7)
            answer = await second.receive()
            assert (answer["type"], answer["code"], answer["ref"]) == ("error", "overloaded", 7)
            assert answer["retry_after"] > 0
            await first.socket.close()
            await idle(runtime)
            assert older not in runtime.aborts
            assert (await verified(second))[0][0] == 0
