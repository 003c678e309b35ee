"""The event stream on a real server: reconnects lose nothing, slow readers are bounded.

A stream that ends says why.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from moat_client.v1.http import _events
from sync.transports.runtime import get_runtime
from sync.transports.v1 import stream
from sync.transports.v1.stream import event
from tenants.models import Device, Tenant
from tenants.tokens import revoke
from tests.builders import make_tenant
from tests.sync.live import in_thread, serving
from tests.v1.conftest import Door, make_notes
from tests.v1.http import Http
from tests.v1.test_cbor import VECTORS


@pytest.mark.parametrize("case", VECTORS["sse_frames"], ids=lambda case: case["id"])
def test_events_look_as_clients_expect(case: dict[str, Any]) -> None:
    """Byte for byte, except that our IDs are the bare cursor, which existing clients read as they are."""
    fields = dict(line.split(": ", 1) for line in case["text"].splitlines() if line)
    data, identity = json.loads(fields["data"]), fields.get("id")
    cursor = None if identity is None else int(identity.split("-")[0])
    ours = event(fields["event"], data, cursor)
    assert ours == case["text"].replace(f"id: {identity}", f"id: {cursor}").encode()
    for text in (case["text"].encode(), ours):
        ((kind, read, event_id),) = _events(text.splitlines(keepends=True))
        assert (kind, read) == (fields["event"], data)
        assert event_id == (None if identity is None else identity if text != ours else str(cursor))


@pytest.fixture
def tenant(transactional_db: None) -> Tenant:
    made = make_tenant()
    make_notes(made)
    return made


class Events:
    """An open stream, event by event."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.lines = response.aiter_lines()
        self.last_id: str | None = None

    async def next(self) -> tuple[str, dict[str, Any]]:
        kind, data = "", ""
        async with asyncio.timeout(20):
            async for line in self.lines:
                if line == "":
                    return kind, json.loads(data)
                name, _, value = line.partition(": ")
                if name == "event":
                    kind = value
                elif name == "data":
                    data = value
                elif name == "id":
                    self.last_id = value
        raise EOFError

    async def of(self, wanted: str) -> dict[str, Any]:
        while True:
            kind, data = await self.next()
            if kind == wanted:
                return data


@asynccontextmanager
async def opened(port: int, door: Door, path: str = "stream", **headers: str) -> AsyncIterator[Events]:
    given = {"Authorization": f"Bearer {door.issued.token}", **headers}
    async with (
        httpx.AsyncClient(timeout=30) as client,
        client.stream("GET", f"http://127.0.0.1:{port}/v1/{path}", headers=given) as response,
    ):
        assert response.status_code == 200, await response.aread()
        yield Events(response)


@pytest.fixture
def make(tenant: Tenant) -> Callable[[], Any]:
    return lambda: in_thread(Door, tenant)


async def test_changes_arrive_as_they_happen_and_a_reconnect_loses_nothing(
    tenant: Tenant, make: Callable[[], Any]
) -> None:
    one, writer = await make(), await make()
    done = asyncio.Event()
    async with serving() as port:

        async def write() -> None:
            for n in range(40):
                await in_thread(writer.put, f"n{n % 7}", n + 1, {"title": str(n)})
            done.set()

        seen: list[int] = []
        async with opened(port, one) as events:
            first = await events.of("connected")
            task = asyncio.create_task(write())
            seen += [op["opId"] for op in (await events.of("operations"))["operations"]]
            last = events.last_id
        head = first["cursor"] + 40
        while seen[-1] < head:
            path = "events" if len(seen) % 2 else "stream"
            async with opened(port, one, path, **{"Last-Event-ID": f"{last}-1"}) as events:
                kind, data = await events.next()
                assert (kind, data["cursor"]) == ("connected", int(last or 0))
                for _ in range(3):
                    if seen[-1] < head:
                        data = await events.of("operations")
                        assert data["count"] == len(data["operations"])
                        seen += [op["opId"] for op in data["operations"]]
                        last = events.last_id
        assert seen == list(range(first["cursor"] + 1, head + 1))
        await task
        assert done.is_set()


async def test_pings_and_the_end_of_a_device_that_is_revoked(
    tenant: Tenant, make: Callable[[], Any], settings: Any
) -> None:
    settings.MOAT = {"V1_PING": 0.3}
    one = await make()
    async with serving() as port, opened(port, one) as events:
        assert (await events.of("ping"))["timestamp"] > 0
        await in_thread(lambda: revoke(Device.objects.get(pk=one.issued.device.pk)))
        assert (await events.of("error"))["code"] == 2
        with pytest.raises(EOFError):
            await events.next()


async def test_a_revoked_device_is_turned_away_from_a_busy_stream_too(
    tenant: Tenant, make: Callable[[], Any], settings: Any
) -> None:
    """Changes there never pause long enough for a ping."""
    settings.MOAT = {"V1_PING": 1.0}
    one, writer = await make(), await make()
    async with serving() as port, opened(port, one) as events:
        await events.of("connected")
        await in_thread(lambda: revoke(Device.objects.get(pk=one.issued.device.pk)))
        done = asyncio.Event()

        async def write() -> None:
            for n in range(400):
                if done.is_set():
                    return
                await in_thread(writer.put, "n1", n + 1, {"title": str(n)})
            raise AssertionError("the stream went on")

        task = asyncio.create_task(write())
        assert (await events.of("error"))["code"] == 2
        done.set()
        await task


async def test_filters_bodies_and_bad_starts(tenant: Tenant, make: Callable[[], Any]) -> None:
    one = await make()
    async with serving() as port:
        async with opened(port, one, "stream?collections=blobs&bodies=1&deviceId=" + one.issued.device.pk) as events:
            await events.of("connected")
            await in_thread(one.put, "n1", 1, {"title": "A"})
            await in_thread(one.put, "b1", 1, b"\xa1aa\x01", collection="blobs")
            (op,) = (await events.of("operations"))["operations"]
            assert (op["collection"], op["entityCbor"]) == ("blobs", "oWFhAQ==")
        async with opened(port, one, "stream?sinceCursor=999999") as events:
            assert (await events.of("error"))["code"] == 11
        async with httpx.AsyncClient() as client:
            for path, status in (("stream?sinceCursor=x", 400), ("stream?deviceId=other", 403)):
                answer = await client.get(
                    f"http://127.0.0.1:{port}/v1/{path}", headers={"Authorization": f"Bearer {one.issued.token}"}
                )
                assert answer.status_code == status
            assert (await client.get(f"http://127.0.0.1:{port}/v1/stream")).status_code == 401


async def test_streams_are_few_per_device_and_end_with_the_server(
    tenant: Tenant, make: Callable[[], Any], settings: Any
) -> None:
    settings.MOAT = {"V1_STREAMS": 1}
    one = await make()
    async with serving() as port:
        async with opened(port, one) as events:
            await events.of("connected")
            async with httpx.AsyncClient() as client:
                answer = await client.get(
                    f"http://127.0.0.1:{port}/v1/stream", headers={"Authorization": f"Bearer {one.issued.token}"}
                )
                assert answer.status_code == 429
        for _ in range(100):
            if not stream._open:
                break
            await asyncio.sleep(0.05)
        assert not stream._open
        async with opened(port, one) as events:
            await events.of("connected")
            await (await get_runtime()).drain()
            assert (await events.of("error"))["code"] == 9
            with pytest.raises(EOFError):
                await events.next()


async def test_streams_that_open_at_once_are_counted_too(tenant: Tenant, make: Callable[[], Any]) -> None:
    one = await make()
    headers = {"Authorization": f"Bearer {one.issued.token}"}
    async with serving() as port, httpx.AsyncClient(timeout=30) as client:
        request = client.build_request("GET", f"http://127.0.0.1:{port}/v1/stream", headers=headers)
        answers = await asyncio.gather(*(client.send(request, stream=True) for _ in range(20)))
        assert sorted(answer.status_code for answer in answers) == [200] * 4 + [429] * 16
        for answer in answers:
            await answer.aclose()
        for _ in range(400):
            if not stream._open:
                break
            await asyncio.sleep(0.05)
        assert not stream._open


def test_a_stream_that_nobody_ever_reads_gives_its_place_back() -> None:
    caller = SimpleNamespace(device="d1", identity=SimpleNamespace(tenant_id=1))
    wanted = stream.Wanted(None, None, bodies=False)
    opened = stream._Stream(None, caller, wanted)  # type: ignore[arg-type]
    assert stream._open == {"d1": 1}
    events = opened.events()
    del opened, events
    assert not stream._open


@pytest.mark.parametrize("path", ["stream", "events"])
def test_a_stream_is_asked_for_by_get_and_in_few_words(notes: Tenant, path: str) -> None:
    one = Http(notes)
    status, answer = one.call(path, {})
    assert (status, answer["code"], one.response.headers["Allow"]) == (405, 12, "GET")
    long = "&".join(["collections=a"] * 1500)
    response = one.client.get(f"/v1/{path}?{long}", headers={"Authorization": f"Bearer {one.token}"})
    assert (response.status_code, response.json()["code"]) == (400, 1)


async def test_a_slow_reader_holds_back_the_reading_and_gets_everything(
    tenant: Tenant, make: Callable[[], Any]
) -> None:
    one, writer = await make(), await make()
    read: list[int] = []
    real = stream.pull

    def counted(*arguments: Any, **more: Any) -> Any:
        page = real(*arguments, **more)
        read.append(page.next_cursor)
        return page

    stream.pull = counted  # type: ignore[assignment]
    try:
        async with serving() as port, opened(port, one, "stream?bodies=1") as events:
            start = (await events.of("connected"))["cursor"]
            for batch in range(20):
                await in_thread(
                    writer.push, *(writer.op(f"b{batch}-{n}", 1, bytes(20_000), collection="blobs") for n in range(50))
                )
            await asyncio.sleep(1)
            held = max(read, default=0) - start
            assert held < 900, "the server read on although nobody took what it had"
            seen = 0
            while seen < 1000:
                seen += (await events.of("operations"))["count"]
            assert seen == 1000
    finally:
        stream.pull = real  # type: ignore[assignment]
