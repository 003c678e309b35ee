"""The live protocol over real sockets."""

import asyncio
import json
import threading

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from metadata.publish import publish
from sync.models import Change
from sync.transports.runtime import get_runtime
from sync.transports.socket.session import Session
from sync.wire.limits import Limits
from tenants.models import Tenant
from tenants.tokens import IssuedDevice, issue_device, revoke
from tests.builders import make_field_service, make_tenant, make_user
from tests.sync.live import Live, connected, in_thread, insert, serving, write


async def closed_with(client: Live) -> int:
    """Read until the server closes. Return its close code."""
    with pytest.raises(ConnectionClosed) as closed:
        async with asyncio.timeout(10):
            while True:
                await client.socket.recv()
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


async def test_a_new_client_gets_the_whole_log_and_then_lives(acme: Tenant, device) -> None:
    issued, other = await device(), await device()
    async with serving() as port, connected(port, issued) as client, connected(port, other) as pusher:
        welcome = await client.hello()
        assert (welcome["tenant"], welcome["chain"], welcome["channel"]) == (acme.slug, "new", "full")
        assert welcome["limits"] == Limits().wire()
        await client.say("subscribe", **client.state)
        assert (await client.receive())["mode"] == "log"
        live = await client.until("live")
        assert (live["cursor"], live["state_hash"]) == (acme.cursor, client.state_hash)
        await pusher.at(acme).live()
        (result,) = await pusher.push(insert("job-1"))
        assert result["status"] == "applied"
        await client.reach(result["cursor"])
        line = client.lines[-1]
        assert (line["table"], line["id"], line["device"], line["by"]) == (
            "jobs",
            "job-1",
            other.device.pk,
            other.device.user.username,
        )


async def test_the_pusher_gets_its_own_line_back(acme: Tenant, device) -> None:
    issued = await device()
    async with serving() as port, connected(port, issued) as client:
        await client.at(acme).live()
        (op, *_), results = (ops := [insert("a"), insert("b")]), await client.push(*ops)
        await client.reach(results[-1]["cursor"])
        assert [(line["device"], line["op_id"]) for line in client.lines] == [
            (issued.device.pk, o["op_id"]) for o in ops
        ]
        assert op["op_id"] == results[0]["op_id"]


async def test_what_the_admin_writes_is_seen_at_once(acme: Tenant, device) -> None:
    issued = await device()
    async with serving() as port, connected(port, issued) as client:
        await client.at(acme).live()
        assert await in_thread(write, acme, "from-admin") == 1
        await client.reach(acme.cursor + 1)


async def test_bad_tokens_are_turned_away_with_their_close_codes(acme: Tenant, device) -> None:
    issued, other = await device(), await device()
    async with serving() as port:
        for change, code in (
            ({"token": "moat_x"}, 4401),
            ({"token": other.token}, 4401),
            ({"protocol": "moat.v9"}, 4426),
        ):
            async with connected(port, issued) as client:
                with pytest.raises(AssertionError, match="error"):
                    await client.hello(**change)
                assert await closed_with(client) == code


async def test_a_browser_page_of_a_stranger_cannot_connect_and_ours_can(acme: Tenant, device, settings) -> None:
    settings.ALLOWED_HOSTS = ["127.0.0.1", "moat.example"]
    issued = await device()
    async with serving() as port:
        with pytest.raises(InvalidStatus) as error:
            async with connected(port, issued, origin="https://evil.example"):
                pass
        assert error.value.response.status_code == 403
        async with connected(port, issued, origin="https://moat.example", subprotocols=["moat.v1"]) as client:
            assert client.socket.subprotocol == "moat.v1"
            await client.hello()
        async with connected(port, issued, origin="https://127.0.0.1:8443") as client:
            await client.hello()


async def test_an_app_may_connect_when_its_origin_is_listed_whatever_the_hosts_are(
    acme: Tenant, device, settings
) -> None:
    settings.ALLOWED_HOSTS = ["localhost"]
    issued = await device()
    async with serving() as port:
        async with connected(port, issued, origin="capacitor://localhost") as client:
            await client.hello()
        for stranger in ("ionic://localhost", "capacitor://localhost:8000", "capacitor://elsewhere", "null"):
            with pytest.raises(InvalidStatus):
                async with connected(port, issued, origin=stranger):
                    pass
        settings.APP_ORIGINS = []
        with pytest.raises(InvalidStatus):
            async with connected(port, issued, origin="capacitor://localhost"):
                pass


async def test_a_newer_connection_of_a_device_replaces_the_older(acme: Tenant, device) -> None:
    issued = await device()
    async with serving() as port, connected(port, issued) as older, connected(port, issued) as newer:
        await older.at(acme).live()
        await newer.at(acme).live()
        assert (await older.receive())["code"] == "replaced"
        assert await closed_with(older) == 4409
        assert (await newer.push(insert("a")))[0]["status"] == "applied"


async def test_a_device_revoked_in_mid_stream_is_turned_away_at_once(acme: Tenant, device) -> None:
    issued, other = await device(), await device()
    async with serving() as port, connected(port, issued) as client, connected(port, other) as neighbour:
        await client.at(acme).live()
        await neighbour.at(acme).live()
        await in_thread(revoke, issued.device)
        assert (await client.receive())["code"] == "revoked"
        assert await closed_with(client) == 4401
        assert (await neighbour.push(insert("a")))[0]["status"] == "applied"


async def test_a_device_that_another_process_revoked_is_found_out(acme: Tenant, device, settings) -> None:
    settings.MOAT = {"REVOCATION_SECONDS": 0.1}
    issued = await device()

    def behind_our_back() -> None:
        issued.device.user.is_active = False
        type(issued.device.user).objects.filter(pk=issued.device.user.pk).update(is_active=False)

    async with serving() as port, connected(port, issued) as client:
        await client.at(acme).live()
        await in_thread(behind_our_back)
        assert (await client.receive())["code"] == "revoked"
        assert await closed_with(client) == 4401


async def test_a_client_that_says_nothing_is_closed(acme: Tenant, device, settings) -> None:
    settings.MOAT = {"LIMITS": {"hello_seconds": 0.1}}
    async with serving() as port, connected(port, await device()) as client:
        assert (await client.receive())["code"] == "hello_timeout"
        assert await closed_with(client) == 4408


async def test_too_many_errors_close_the_connection(acme: Tenant, device) -> None:
    async with serving() as port, connected(port, await device()) as client:
        await client.at(acme).live()
        for _ in range(51):
            await client.socket.send("rubbish")
        assert await closed_with(client) == 4429


async def test_pings_are_answered_and_refs_come_back(acme: Tenant, device) -> None:
    async with serving() as port, connected(port, await device()) as client:
        await client.at(acme).live()
        await client.say("ping", ref=5)
        pong = await client.until("pong")
        assert (pong["ref"], pong["cursor"]) == (5, acme.cursor)


async def test_a_client_behind_a_schema_gets_the_commands(acme: Tenant, device) -> None:
    async with serving() as port, connected(port, await device()) as client:
        await client.hello()
        await client.say("schema", ref=1, **{"from": 0})
        answer = await client.until("schema")
        assert (answer["from"], answer["to"], answer["ref"]) == (0, acme.schema_version, 1)
        assert [r["schema_version"] for r in answer["revisions"]] == [1]
        assert {c["command"] for c in answer["revisions"][0]["commands"]} == {"create_table"}


async def test_cursors_that_cannot_be_are_told_apart(acme: Tenant, device) -> None:
    issued = await device()
    async with serving() as port, connected(port, issued) as client:
        client.at(acme)
        assert (await client.hello(cursor=0, state_hash=""))["chain"] == "new"
        for wrong, expected in (({"cursor": 999}, "ahead"), ({"state_hash": "ab" * 32}, "repair")):
            await client.say("subscribe", **{**client.state, **wrong})
            answer = await client.receive()
            assert answer.get("mode", answer.get("code")) == expected
    async with serving() as port, connected(port, issued) as client:
        client.at(acme)
        welcome = await client.hello(server_epoch="f" * 32)
        assert welcome["chain"] == "epoch"
        await client.say("subscribe", **client.state)
        assert (await client.receive())["code"] == "epoch"


async def test_a_client_killed_and_back_gets_exactly_what_it_missed(acme: Tenant, device) -> None:
    issued = await device()
    async with serving() as port:
        async with connected(port, issued) as client:
            await client.at(acme).live()
            await client.push(insert("a"))
            await client.reach(acme.cursor + 1)
            kept = dict(client.__dict__)
        await in_thread(write, acme, *(f"job-{n}" for n in range(50)))
        async with connected(port, issued) as client:
            client.__dict__.update({k: v for k, v in kept.items() if k != "socket"})
            assert (await client.hello())["chain"] == "ok"
            await client.say("subscribe", **client.state)
            await client.until("live")
            assert client.cursor == acme.cursor + 51


async def test_a_slow_reader_falls_back_to_the_log_and_gets_everything_once(acme: Tenant, device, settings) -> None:
    """The reader stops reading while megabytes are committed.

    It leaves the live stream, memory stays bounded, and nothing is lost.
    """
    settings.MOAT = {"OUTBOX_BYTES": 50_000, "OUTBOX_FRAMES": 8, "CHUNK_BYTES": 30_000, "WINDOW_BYTES": 200_000}
    async with (
        serving() as port,
        connected(port, await device(), max_queue=1) as slow,
        connected(port, await device()) as fast,
        connected(port, await device()) as writer,
    ):
        for client in (slow, fast, writer):
            await client.at(acme).live()
        runtime = await get_runtime()
        most = 0
        for n in range(60):
            results = await writer.push(*(insert(f"job-{n}-{k}", notes="x" * 2000) for k in range(20)))
            assert {r["status"] for r in results} == {"applied"}
            most = max(most, *(member._buffer.waiting_bytes for member in runtime.aborts))
        head = acme.cursor + 60 * 20
        assert most < 1_500_000  # the send buffer's limit bounds the stream, not acks
        await asyncio.gather(fast.reach(head), slow.reach(head))
        assert len(slow.lines) == len(fast.lines) == 60 * 20


async def test_i4_two_hundred_subscribers_see_every_change_in_order_while_twenty_writers_push(
    acme: Tenant, device
) -> None:
    """Every subscriber checks each frame's position in the stream and its chain."""
    issued = [await device() for _ in range(200)]
    async with serving() as port:
        clients = [Live(None, each).at(acme) for each in issued]  # type: ignore[arg-type]
        ready, everybody = asyncio.Semaphore(20), asyncio.Barrier(len(clients))
        head = acme.cursor + 20 * 10 * 3

        async def take_part(client: Live, number: int) -> None:
            async with connected(port, client.issued, open_timeout=60) as opened:
                client.socket = opened.socket
                async with ready:
                    await client.live()
                await everybody.wait()
                if number < 20:
                    for n in range(10):
                        results = await client.push(*(insert(f"w{number}-{n}-{k}") for k in range(3)))
                        assert {r["status"] for r in results} == {"applied"}
                await client.reach(head)

        async with asyncio.timeout(120), asyncio.TaskGroup() as group:
            for number, client in enumerate(clients):
                group.create_task(take_part(client, number))
        assert {tuple(line["cursor"] for line in client.lines) for client in clients} == {
            tuple(range(acme.cursor + 1, head + 1))
        }
        assert len({client.state_hash for client in clients}) == 1
    stored = [
        json.loads(bytes(line))
        for line in await in_thread(
            lambda: list(
                Change.objects.filter(tenant=acme, cursor__gt=acme.cursor)
                .order_by("cursor")
                .values_list("line", flat=True)
            )
        )
    ]
    assert clients[0].lines == stored


async def test_i8_tenants_never_see_each_other(acme: Tenant, device) -> None:
    def other_tenant() -> tuple[Tenant, IssuedDevice]:
        tenant = make_tenant()
        make_field_service(tenant)
        publish(tenant.pk)
        tenant.refresh_from_db()
        return tenant, issue_device(tenant, make_user(tenant), "x")

    issued = await device()
    stranger_tenant, stranger_device = await in_thread(other_tenant)
    async with serving() as port, connected(port, issued) as client, connected(port, stranger_device) as stranger:
        await client.at(acme).live()
        await stranger.at(stranger_tenant).live()
        await client.push(insert("a"))
        await client.reach(acme.cursor + 1)
        await stranger.push(insert("a"))
        await stranger.reach(stranger_tenant.cursor + 1)
        assert [line["device"] for line in stranger.lines] == [stranger_device.device.pk]
        assert [line["device"] for line in client.lines] == [issued.device.pk]


async def test_a_server_that_ends_says_bye_and_writes_what_was_pushed(acme: Tenant, device) -> None:
    async with serving() as port, connected(port, await device()) as client:
        await client.at(acme).live()
        runtime = await get_runtime()
        for n in range(5):
            await client.say("push", insert(f"late-{n}"), ref=n, **client.state)
        await asyncio.sleep(0.05)
        draining = asyncio.create_task(runtime.drain())
        seen = []
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                seen.append(await client.receive())
        await draining
        assert closed.value.rcvd.code == 1012
        assert [m["ref"] for m in seen if m["type"] == "ack"] == list(range(5))
        bye = next(m for m in seen if m["type"] == "bye")
        assert (bye["reason"], bye["retry_after"]) == ("drain", 2.0)


async def test_a_large_frame_is_parsed_off_the_event_loop_and_a_small_one_on_it(
    acme: Tenant, device, monkeypatch
) -> None:
    issued, threads = await device(), []
    read = Session.read

    def noted(self, text):
        threads.append(threading.current_thread())
        return read(self, text)

    monkeypatch.setattr(Session, "read", noted)
    async with serving() as port, connected(port, issued) as client:
        await client.at(acme).live()
        threads.clear()
        results = await client.push(insert("small"))
        results += await client.push(*(insert(f"large-{n}", notes="x" * 20_000) for n in range(5)))
    assert [result["status"] for result in results] == ["applied"] * 6
    assert [thread is threading.main_thread() for thread in threads] == [True, False]


async def test_an_abort_for_two_reasons_still_closes_with_the_code(acme: Tenant, device) -> None:
    issued = await device()
    async with serving() as port, connected(port, issued) as client:
        await client.at(acme).live()
        runtime = await get_runtime()
        (connection,) = runtime.aborts
        connection._broken(slow=True)
        runtime.abort(connection, None)
        assert await closed_with(client) == 4413
