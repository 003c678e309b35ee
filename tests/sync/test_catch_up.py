"""Catch-up by log, rows, or snapshot; verification and repair."""

import asyncio
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction

from metadata.canonical import canonical_json
from sync.catchup.digest import digest_of
from sync.catchup.digest_index import forget
from sync.catchup.plan import Plan, Position, plan, read_log, tenant_state
from sync.catchup.snapshots.build import build
from sync.channels.channel import Channel
from sync.errors import LogPruned, SyncError
from sync.models import Change
from sync.records.read_transaction import read_transaction
from sync.settle.push import push
from sync.wire.ops import Actor, Op
from tenants.models import Tenant
from tests.sync.live import Live, connected, in_thread, insert, serving, write


@pytest.fixture(autouse=True)
def _fresh_digests() -> None:
    forget()


def prune(tenant: Tenant, up_to: int) -> None:
    """Prune the log up to a cursor."""
    with transaction.atomic():
        Change.objects.filter(tenant=tenant, cursor__lte=up_to).delete()
        Tenant.objects.filter(pk=tenant.pk).update(pruned_cursor=up_to)


def chosen(tenant: Tenant, position: Position) -> Plan:
    with read_transaction() as reader:
        return plan(reader, tenant_state(reader, tenant.pk), position)


def position(tenant: Tenant, **changed: Any) -> Position:
    state = {
        "schema_version": tenant.schema_version,
        "cursor": tenant.cursor,
        "state_hash": bytes(tenant.state_hash),
        "server_epoch": None,
    }
    return Position(**{**state, **changed})


def refusal(tenant: Tenant, where: Position) -> str:
    with pytest.raises(SyncError) as refused:
        chosen(tenant, where)
    return refused.value.code


def test_the_cheapest_mode_is_chosen(acme: Tenant, settings) -> None:
    settings.MOAT = {"LOG_ALWAYS": 20, "SNAPSHOT_ROWS": 20}
    new = position(acme, cursor=0, state_hash=None, schema_version=0)
    assert chosen(acme, new).mode == "snapshot"  # the missed changes exceed a tenth of the snapshot limit
    settings.MOAT = {"LOG_ALWAYS": 20, "SNAPSHOT_ROWS": 100}
    assert chosen(acme, new).mode == "log"
    at_start = position(acme)
    write(acme, *(f"job-{n}" for n in range(10)))
    assert chosen(acme, at_start).mode == "log"
    for _ in range(10):
        push(
            Actor(acme.pk, "x"),
            [
                Op(
                    n + 1,
                    None,
                    "jobs",
                    f"job-{n}",
                    "update",
                    None,
                    [{"op": "replace", "path": "/crew", "value": random.randrange(10**6)}],
                )
                for n in range(10)
            ],
        )
    assert chosen(acme, at_start) == Plan("rows", chosen(acme, at_start).state, 10)
    assert refusal(acme, position(acme, schema_version=0)) == "schema_behind"
    write(acme, *(f"new-{n}" for n in range(200)))
    assert chosen(acme, at_start).mode == "log"  # as many rows as lines, so lines are chosen
    prune(acme, acme.cursor + 300)
    assert chosen(acme, at_start).mode == "snapshot"  # most of the data has changed


def test_impossible_replicas_are_rejected_with_different_codes(acme: Tenant) -> None:
    assert refusal(acme, position(acme, cursor=999)) == "ahead"
    assert refusal(acme, position(acme, server_epoch="f" * 32)) == "epoch"
    assert chosen(acme, position(acme, state_hash=b"\0" * 32)).mode == "repair"
    assert chosen(acme, position(acme, cursor=acme.cursor - 1, state_hash=b"\0" * 32)).mode == "repair"
    assert chosen(acme, position(acme, state_hash=None)).mode == "repair"


def test_reading_a_pruned_log_fails_even_if_the_log_is_empty(acme: Tenant) -> None:
    prune(acme, acme.cursor - 1)
    with pytest.raises(LogPruned):
        read_log(acme.pk, 0, 10)
    prune(acme, acme.cursor)
    with pytest.raises(LogPruned):
        read_log(acme.pk, 0, 10)
    assert read_log(acme.pk, acme.cursor, 10) == []


def stored(path: Path, table: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as replica:
        columns = [c[1] for c in replica.execute(f'PRAGMA table_info("{table}")')]
        return [tuple(columns), *sorted(replica.execute(f'SELECT * FROM "{table}"').fetchall())]


async def test_rows_bring_a_late_client_to_the_head_including_deletes(
    acme: Tenant, device, settings, tmp_path: Path
) -> None:
    """Applying the rows to an old replica gives the contents of a fresh snapshot."""
    settings.MOAT = {"LOG_ALWAYS": 5}
    full = {
        "title": "t",
        "price": "1.50",
        "urgent": False,
        "attrs": {"a": [1, "ä"]},
        "distance": 0.1,
        "due": "2026-01-02",
        "starts_at": "2026-01-02T03:04:05.000006Z",
    }

    def before() -> None:
        push(Actor(acme.pk, "x"), [Op(n + 1, None, "jobs", f"job-{n}", "insert", 0, full) for n in range(8)])

    def after() -> None:
        for n in range(20):
            push(
                Actor(acme.pk, "x"),
                [Op(1, None, "jobs", f"job-{n % 3}", "update", None, [{"op": "replace", "path": "/crew", "value": n}])],
            )
        push(
            Actor(acme.pk, "x"), [Op(1, None, "jobs", "job-7", "delete"), Op(2, None, "jobs", "new", "insert", 0, full)]
        )

    await in_thread(before)
    await in_thread(acme.refresh_from_db)
    await in_thread(build, tmp_path / "late", Channel(acme.pk, acme.slug))
    await in_thread(after)
    await in_thread(prune, acme, acme.cursor + 3)
    await in_thread(build, tmp_path / "now", Channel(acme.pk, acme.slug))
    async with serving() as port, connected(port, await device()) as client:
        assert (await client.at(acme).hello())["chain"] == "pruned"
        await client.say("subscribe", **client.state)
        started = await client.until("catch_up")
        assert (started["mode"], started["total"], started["from"]) == ("rows", 5, acme.cursor)
        end = await client.until("rows_end")
        assert end["to"] == acme.cursor + 22
        apply_rows(tmp_path / "late", client)
        client.cursor, client.state_hash = end["to"], end["state_hash"]
        await client.until("live")
        await client.push(insert("afterwards"))
        await client.reach(end["to"] + 1)
    assert stored(tmp_path / "late", "jobs") == stored(tmp_path / "now", "jobs")
    assert client.rows[-1][0]["remaining"] == 0


def apply_rows(path: Path, client: Live) -> None:
    with closing(sqlite3.connect(path)) as replica:
        for message, records in client.rows:
            table = message["table"]
            for key in message["deleted"]:
                replica.execute(f'DELETE FROM "{table}" WHERE id = ?', [key])
            for record in records:
                values = [canonical_json(v) if isinstance(v, dict | list) else v for v in record]
                names = ", ".join(f'"{c}"' for c in message["columns"])
                replica.execute(
                    f'INSERT OR REPLACE INTO "{table}" ({names}) VALUES ({", ".join("?" * len(values))})', values
                )
        replica.commit()


async def test_a_client_gets_another_mode_if_its_log_is_pruned_while_it_reads(acme: Tenant, device, settings) -> None:
    settings.MOAT = {
        "CHUNK_LINES": 1,
        "CHUNK_BYTES": 100,
        "OUTBOX_FRAMES": 2,
        "OUTBOX_BYTES": 1000,
        "WINDOW_BYTES": 1000,
    }
    await in_thread(write, acme, *(f"job-{n}" for n in range(50)))
    async with serving() as port, connected(port, await device()) as client:
        await client.at(acme).hello()
        await client.say("subscribe", **client.state)
        assert (await client.until("catch_up"))["mode"] == "log"
        await client.reach(acme.cursor + 1)
        await in_thread(prune, acme, acme.cursor + 49)
        again = await client.until("catch_up")
        assert again["mode"] == "rows"
        assert again["from"] == client.cursor
        client.cursor = (end := await client.until("rows_end"))["to"]
        client.state_hash = end["state_hash"]
        await client.until("live")


async def test_verify_is_exact_under_heavy_writes(acme: Tenant, device) -> None:
    """Each response matches its position in the stream: the client's data there has the same counts and digests."""
    async with serving() as port, connected(port, await device()) as client, connected(port, await device()) as writer:
        await client.live()
        await writer.at(acme).live()
        done = asyncio.Event()

        async def storm() -> None:
            for n in range(60):
                await writer.push(*(insert(f"job-{n}-{k}") for k in range(4)))
                await writer.push(
                    {
                        **insert(f"job-{n}-0"),
                        "op": "update",
                        "base_version": 1,
                        "payload": [{"op": "replace", "path": "/crew", "value": n}],
                    }
                )
                await writer.push({**insert(f"job-{n}-1"), "op": "delete", "base_version": 1, "payload": None})
            done.set()

        async def check() -> int:
            times = 0
            while not done.is_set() or not times:
                await client.say("verify", ref=times)
                answer = await client.until("verify")
                assert answer["ref"] == times
                assert (answer["cursor"], answer["state_hash"]) == (client.cursor, client.state_hash)
                assert {name: tuple(found) for name, found in answer["tables"].items()} == folded(client)
                times += 1
            return times

        _, times = await asyncio.gather(storm(), check())
        assert times > 3
        await client.reach(acme.cursor + 60 * 6)


def folded(client: Live) -> dict[str, tuple[int, str]]:
    """Counts and digests of the records that the client's lines give."""
    tables: dict[str, dict[str, int]] = {
        name: {} for name in ("object_metadata", "layout_definition", "customers", "jobs", "line_items")
    }
    for line in client.lines:
        if line["op"] == "delete":
            del tables[line["table"]][line["id"]]
        else:
            tables[line["table"]][line["id"]] = line["version"]
    return {name: digest_of(records.items()) for name, records in tables.items()}


async def test_a_difference_is_found_by_bisection_and_repaired_in_place(acme: Tenant, device) -> None:
    ids = [f"job-{n:04}" for n in range(600)] + ["ÿ-é", "Z"]
    await in_thread(write, acme, *ids)
    async with serving() as port, connected(port, await device()) as client:
        await client.live()
        mine = {line["id"]: line["version"] for line in client.lines if line["table"] == "jobs"}
        mine["job-0123"] = 9
        del mine["job-0500"]
        mine["never-was"] = 1
        await client.say("verify", tables=["jobs"])
        answer = await client.until("verify")
        assert tuple(answer["tables"]["jobs"]) != digest_of(mine.items())
        await bisect(client, mine, None, None)
        await client.say("verify", tables=["jobs"])
        assert tuple((await client.until("verify"))["tables"]["jobs"]) == digest_of(mine.items())
        assert sum(len(records) for _, records in client.rows) < 200
        for bad in ({"tables": ["nothing"]}, {"table": "nothing", "ranges": [[None, None]]}):
            await client.say("verify", **bad)
            assert (await client.receive())["code"] == "unknown_table"


async def bisect(client: Live, mine: dict[str, int], low: str | None, high: str | None) -> None:
    """Compare a range, bisect it until it is small, then request a repair."""
    inside = sorted(
        (
            k
            for k in mine
            if (low is None or k.encode() >= low.encode()) and (high is None or k.encode() <= high.encode())
        ),
        key=str.encode,
    )
    await client.say("verify", table="jobs", ranges=[[low, high]])
    (found,) = (await client.until("verify"))["ranges"]
    if tuple(found) == digest_of((k, mine[k]) for k in inside):
        return
    if len(inside) <= 50:
        await client.say("repair", table="jobs", low=low, high=high)
        message = await client.until("rows")
        assert message["range"] == [low, high]
        for key in inside:
            del mine[key]
        version = message["columns"].index("version")
        mine.update({record[0]: record[version] for record in client.rows[-1][1]})
        return
    middle = inside[len(inside) // 2]
    await bisect(client, mine, low, middle)
    await bisect(client, mine, middle, high)


async def test_system_tables_can_be_repaired_too(acme: Tenant, device) -> None:
    async with serving() as port, connected(port, await device()) as client:
        await client.live()
        await client.say("repair", table="object_metadata", low=None, high=None)
        message = await client.until("rows")
        record = dict(zip(message["columns"], client.rows[-1][1][1], strict=True))
        assert (record["id"], record["table_name"], record["statuses"][0]["value"]) == ("job", "jobs", "open")
