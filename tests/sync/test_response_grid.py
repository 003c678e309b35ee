"""Rejections in filtered channels leave on the response grid; nothing else waits."""

import asyncio
import time

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from sync.transports import response_grid
from sync.transports.response_grid import ResponseGrid, next_tick
from sync.transports.runtime import get_runtime
from tests.rest.api import Api
from tests.sync.live import serving
from tests.sync.test_profiles_live import Stage, client, op, patch
from tests.v1.http import Http

FAR = 0.4
"""Ticks so far apart that a wait for one stands out from any noise."""


@given(started=st.floats(0, 1e6), elapsed=st.floats(0, 10))
def test_a_tick_is_a_whole_number_of_steps_after_the_request_and_the_next_one(started, elapsed):
    steps = (next_tick(started, started + elapsed) - started) / response_grid.GRID_SECONDS
    assert abs(steps - round(steps)) < 1e-3
    assert -1e-6 < next_tick(started, started + elapsed) - (started + elapsed) <= response_grid.GRID_SECONDS + 1e-6


async def test_waits_end_in_the_order_of_their_ticks_and_all_at_once_when_it_is_stopped(monkeypatch):
    monkeypatch.setattr(response_grid, "GRID_SECONDS", FAR)
    waiting, ended, now = ResponseGrid(), [], time.perf_counter()
    both = [waiting.after(now), waiting.after(now - FAR / 2)]
    for name, future in zip(("late", "early"), both, strict=True):
        future.add_done_callback(lambda _, name=name: ended.append((name, time.perf_counter())))
    await asyncio.wait(both)
    await asyncio.sleep(0)
    assert [name for name, _ in ended] == ["early", "late"]
    assert ended[1][1] - now >= FAR
    monkeypatch.setattr(response_grid, "GRID_SECONDS", 600)
    last = waiting.after(time.perf_counter())
    await asyncio.to_thread(waiting.stop)
    await asyncio.wait_for(last, 5)
    assert not waiting._thread.is_alive()
    assert waiting.after(time.perf_counter()).done()


def test_a_loop_that_has_ended_disturbs_no_other_wait():
    waiting = ResponseGrid()

    async def leave() -> None:
        waiting.after(time.perf_counter())

    async def stay() -> None:
        await asyncio.wait_for(waiting.after(time.perf_counter()), 5)

    asyncio.run(leave())
    time.sleep(2 * response_grid.GRID_SECONDS)
    asyncio.run(stay())
    waiting.stop()


@pytest.fixture
def stage(transactional_db, monkeypatch):
    monkeypatch.setattr(response_grid, "GRID_SECONDS", FAR)
    return Stage()


async def _timed(work):
    started = time.perf_counter()
    return await work, time.perf_counter() - started


async def test_a_rejected_op_is_answered_at_a_tick_and_what_follows_it_after_it(stage):
    async with serving() as port, client(port, stage.devices["tom"]) as tom:
        await tom.follow()
        for record in ("j2", "j9"):
            [error], took = await _timed(tom.push(op("jobs", record, "update", patch(title="x"))))
            assert error["code"] == "not_found"
            assert took >= FAR
        started = time.perf_counter()
        await tom.say("push", op("jobs", "j9", "delete"), ref=901, **tom.state)
        await tom.say(
            "push", op("line_items", "l7", "insert", {"job": "j1", "text": "ok"}, base=0), ref=902, **tom.state
        )
        acks = [await tom.until("ack"), await tom.until("ack")]
        assert [ack["ref"] for ack in acks] == [901, 902]
        assert time.perf_counter() - started >= FAR


async def test_rejections_that_come_together_share_their_tick(stage):
    """Otherwise eight in a row would wait for eight ticks."""
    async with serving() as port, client(port, stage.devices["tom"]) as tom:
        await tom.follow()
        started = time.perf_counter()
        for ref in range(8):
            await tom.say("push", op("jobs", "j9", "delete"), ref=ref, **tom.state)
        assert [(await tom.until("ack"))["ref"] for _ in range(8)] == list(range(8))
        assert FAR <= time.perf_counter() - started < 5 * FAR


async def test_a_server_that_goes_down_says_first_what_waits_for_its_tick(stage):
    async with serving() as port, client(port, stage.devices["tom"]) as tom:
        await tom.follow()
        for ref in (801, 802, 803):
            await tom.say("push", op("jobs", "j9", "delete"), ref=ref, **tom.state)
        await asyncio.sleep(0.1)
        draining = asyncio.create_task((await get_runtime()).drain())
        said = [await tom.receive() for _ in range(4)]
        assert [message.get("ref") or message["type"] for message in said] == [801, 802, 803, "bye"]
        await draining


async def test_ranges_are_answered_at_ticks(stage):
    async with serving() as port, client(port, stage.devices["tom"]) as tom:
        await tom.follow()
        for record in ("j1", "j2", "j9"):
            for kind, about in (
                ("verify", {"ranges": [[record, record]]}),
                ("repair", {"low": record, "high": record}),
            ):
                started = time.perf_counter()
                await tom.say(kind, table="jobs", ref=7, **about)
                await tom.until("verify" if kind == "verify" else "rows")
                assert time.perf_counter() - started >= FAR, (kind, record)


def test_rejections_over_rest_leave_at_ticks_and_answers_do_not_wait_for_them(stage, monkeypatch):
    monkeypatch.setattr(response_grid, "GRID_SECONDS", 2.0)
    tom = Api(stage.tenant, stage.users["tom"])

    def took(method, path, body=None):
        started = time.perf_counter()
        status = tom(method, path, body).status_code
        return status, time.perf_counter() - started >= 2.0

    assert took("GET", "records/jobs/j1/") == (200, False)
    assert took("GET", "records/jobs/?id__in=j1,j2") == (200, True)
    for record in ("j2", "j9"):
        assert took("GET", f"records/jobs/{record}/") == (404, True)
        assert took("GET", f"records/jobs/{record}/history/") == (200, True)
        assert took("GET", f"records/line_items/?job={record}") == (200, True)
    assert took("POST", "records/jobs/bulk/", {"operations": [{"op": "delete", "id": "j2"}]}) == (207, True)


def test_what_a_cbor_client_may_not_write_is_rejected_at_a_tick(stage, monkeypatch):
    monkeypatch.setattr(response_grid, "GRID_SECONDS", 2.0)
    tom = Http(stage.tenant, user=stage.users["tom"])

    def took(record, body, **more):
        started = time.perf_counter()
        status, answer = tom.push(tom.op(record, 9, body, **more))
        return status == 200 and not answer["conflicts"], time.perf_counter() - started >= 2.0

    assert took("l7", {"job": "j1", "text": "ok"}, collection="line_items") == (True, False)
    assert took("j2", {"title": "mine", "technician": "tom"}, collection="jobs") == (False, True)
    assert took("j9", None, collection="jobs") == (False, True)


def test_who_is_not_let_in_is_answered_as_anywhere(stage):
    tom = Api(stage.tenant, stage.users["tom"])
    tom.token = "moat_wrong"
    session = Client(raise_request_exception=False)
    session.force_login(stage.users["tess"])
    for method, path in (
        ("GET", "records/jobs/"),
        ("GET", "records/jobs/j1/"),
        ("GET", "records/jobs/j1/history/"),
        ("GET", "conflicts/"),
    ):
        error = tom(method, path)
        assert (error.status_code, error.data["code"]) == (401, "bad_token"), path
        assert session.generic(method, f"/api/{path}", headers={"X-Moat-Tenant": "elsewhere"}).status_code == 403, path
    assert tom("POST", "records/jobs/bulk/", {"operations": []}).status_code == 401
