"""Snapshots: ready replica files and their contents."""

import gzip
import hashlib
import random
import shutil
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.test import Client

from metadata.models import ObjectField, ObjectMetadata
from metadata.publish import publish
from sync.catchup import plan
from sync.catchup.digest import digest_of
from sync.catchup.digest_index import forget
from sync.catchup.snapshots import service, store
from sync.catchup.snapshots.build import Base, build
from sync.channels.channel import Channel
from sync.models import Snapshot, SystemRecord
from sync.settle.push import push
from sync.wire.ops import Actor, Op
from tenants.models import Tenant
from tenants.tokens import issue_device
from tests.builders import make_tenant, make_user
from tests.sync.live import connected, in_thread, insert, serving, write
from tests.sync.replicas import contents, fresh, replay

FULL: dict[str, Any] = {
    "title": "Fix the — “pump”",
    "notes": "line\nbreak",
    "crew": -(2**53) + 1,
    "distance": 0.1,
    "price": "12.50",
    "urgent": True,
    "due": "0001-02-03",
    "starts_at": "2026-11-21T09:00:00.000001Z",
    "serial": "0190163d-8694-739b-aea5-966c26f8ad91",
    "attrs": {"b": [1, 2.5, None], "ä": "€"},
    "priority": "low",
    "status": "done",
    "object_type": "commercial",
}


@pytest.fixture(autouse=True)
def _own_files(settings, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path / "data"
    forget()


def channel(tenant: Tenant) -> Channel:
    return Channel(tenant.pk, tenant.slug)


def busy(tenant: Tenant, rnd: random.Random, count: int) -> None:
    """Random inserts, updates, deletes, and restores."""
    for n in range(count):
        record = f"job-{rnd.randrange(40)}"
        what = rnd.choice(["insert", "update", "update", "delete"])
        payload: Any = None
        if what == "insert":
            payload = {k: v for k, v in FULL.items() if k == "title" or rnd.random() < 0.6}
        elif what == "update":
            name = rnd.choice([k for k in FULL if k not in ("title", "object_type", "status")])
            payload = [{"op": "replace", "path": f"/{name}", "value": rnd.choice([FULL[name], None])}]
        push(Actor(tenant.pk, "olga"), [Op(n + 1, None, "jobs", record, what, None, payload)])


def evolve(tenant: Tenant) -> None:
    """Publish a new field with a default and another type, and retire a field."""
    job = ObjectMetadata.objects.get(tenant=tenant, object_name="job")
    ObjectField.objects.create(
        object_type=job, position=90, name="rating", kind="decimal", decimal_places=1, default="3.0", indexed=True
    )
    ObjectField.objects.filter(object_type=job, name="notes").update(retired=True)
    truck = ObjectMetadata.objects.create(tenant=tenant, object_name="truck")
    ObjectField.objects.create(object_type=truck, position=0, name="plate", kind="text", unique=True)
    publish(tenant.pk)


def test_a_snapshot_stores_every_kind_of_value_as_replicas_do(acme: Tenant, tmp_path: Path) -> None:
    push(
        Actor(acme.pk, "olga"),
        [Op(1, None, "jobs", "full", "insert", 0, FULL), Op(2, None, "jobs", "empty", "insert", 0, {"title": "t"})],
    )
    built = build(tmp_path / "file", channel(acme))
    with closing(sqlite3.connect(tmp_path / "file")) as replica:
        replica.row_factory = sqlite3.Row
        full = dict(replica.execute("SELECT * FROM jobs WHERE id = 'full'").fetchone())
        empty = dict(replica.execute("SELECT * FROM jobs WHERE id = 'empty'").fetchone())
        state = dict(replica.execute("SELECT * FROM sync_state").fetchone())
    assert full == {
        **FULL,
        "id": "full",
        "version": 1,
        "customer": None,
        "urgent": 1,
        "price": 12.5,
        "attrs": '{"b":[1,2.5,null],"ä":"€"}',
    }
    assert (empty["crew"], empty["status"], empty["notes"]) == (1, "open", None)
    assert state["cursor"] == built.state.cursor == acme.cursor + 2
    assert (state["tenant"], state["channel"], state["server_epoch"]) == (acme.slug, "full", acme.server_epoch)
    assert built.tables["jobs"] == digest_of([("full", 1), ("empty", 1)])
    assert built.tables["object_metadata"][0] == SystemRecord.objects.filter(tenant=acme, deleted=False).count() == 3


@pytest.mark.parametrize("seed", range(3))
def test_i5_snapshot_plus_log_equals_the_later_and_the_refreshed_snapshot(
    acme: Tenant, tmp_path: Path, seed: int
) -> None:
    """Replaying the log over snapshot@C and refreshing it both give snapshot@D, with a publish in between."""
    rnd = random.Random(seed)
    busy(acme, rnd, 40)
    at_c = tmp_path / "c"
    built = build(at_c, channel(acme))
    busy(acme, rnd, 30)
    evolve(acme)
    busy_after = [
        Op(1, None, "trucks", "t1", "insert", 0, {"plate": "A"}),
        Op(2, None, "jobs", "late", "insert", 0, {"title": "t", "rating": "4.5"}),
    ]
    push(Actor(acme.pk, "olga"), busy_after)
    at_d = fresh(acme, tmp_path / "d")
    for way in ("replayed", "refreshed"):
        shutil.copyfile(at_c, tmp_path / way)
    replay(tmp_path / "replayed", acme)
    build(tmp_path / "refreshed", channel(acme), Base(built.state.cursor, built.state.schema_version))
    assert contents(tmp_path / "refreshed") == at_d
    assert contents(tmp_path / "replayed") == at_d


def test_i9_equal_states_make_equal_files(acme: Tenant, tmp_path: Path) -> None:
    busy(acme, random.Random(1), 30)
    build(tmp_path / "a", channel(acme))
    build(tmp_path / "b", channel(acme))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_snapshot_is_built_once_reused_while_few_changes_follow_and_then_refreshed(acme: Tenant, settings) -> None:
    settings.MOAT = {"SNAPSHOT_TAIL": 5}
    write(acme, "a", "b")
    first = service.make(channel(acme))
    assert service.make(channel(acme)) == first
    write(acme, *"cdefg")
    assert service.fresh(channel(acme)) == first
    write(acme, "h")
    assert service.fresh(channel(acme)) is None
    second = service.make(channel(acme))
    assert second.cursor == acme.cursor + 8
    assert second.manifest["tables"]["jobs"][0] == 8


def test_a_refresh_compresses_only_the_parts_that_changed(acme: Tenant, settings, monkeypatch) -> None:
    settings.MOAT = {"SNAPSHOT_TAIL": 0}
    monkeypatch.setattr(store, "PART_BYTES", 8192)
    push(
        Actor(acme.pk, "x"),
        [Op(n, None, "jobs", f"job-{n:04}", "insert", 0, {"title": "t", "notes": "x" * 500}) for n in range(1, 400)],
    )
    first = service.make(channel(acme))
    write(acme, *(f"late-{n}" for n in range(60)))  # more than a tenth
    second = service.make(channel(acme))
    assert first != second
    same = [a for a, b in zip(first.manifest["parts"], second.manifest["parts"], strict=False) if a == b]
    assert len(same) > len(first.manifest["parts"]) // 2
    whole = b"".join(
        gzip.decompress(store.read_part(acme.pk, "full", str(second.pk), n) or b"")
        for n in range(len(second.manifest["parts"]))
    )
    assert hashlib.sha256(whole).hexdigest() == second.manifest["sha256"]


def test_old_snapshots_without_downloads_are_removed(acme: Tenant, settings, monkeypatch) -> None:
    settings.MOAT = {"SNAPSHOT_TAIL": 0, "SNAPSHOTS_KEPT": 1}
    made = []
    for n in range(3):
        write(acme, f"job-{n}")
        made.append(service.make(channel(acme)))
    assert Snapshot.objects.count() == 3  # all were in use just now
    assert store.read_part(acme.pk, "full", str(made[0].pk), 0)
    monkeypatch.setattr(store, "UNUSED_SECONDS", -1)
    assert store.remove_old(channel(acme)) == 2
    assert list(Snapshot.objects.all()) == [made[2]]
    assert store.read_part(acme.pk, "full", str(made[0].pk), 0) is None


def test_a_snapshot_of_another_epoch_or_without_files_is_not_used(acme: Tenant) -> None:
    first = service.make(channel(acme))
    shutil.rmtree(store.home(first))
    second = service.make(channel(acme))
    assert second != first
    Tenant.objects.filter(pk=acme.pk).update(server_epoch="f" * 32)
    third = service.make(channel(acme))
    assert third.manifest["server_epoch"] == "f" * 32


def test_concurrent_threads_share_one_snapshot(acme: Tenant) -> None:
    write(acme, "a")
    found: list[Any] = []

    def ask() -> None:
        found.append(service.make(channel(acme)).pk)
        connections.close_all()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == Snapshot.objects.count() == 1


def test_building_never_blocks_a_writer(acme: Tenant, tmp_path: Path, monkeypatch) -> None:
    write(acme, *(f"job-{n}" for n in range(100)))
    inside, go_on = threading.Event(), threading.Event()
    real = plan.tenant_state

    def slow(*args: Any) -> Any:
        state = real(*args)
        inside.set()
        assert go_on.wait(20)
        return state

    monkeypatch.setattr("sync.catchup.snapshots.build.tenant_state", slow)
    built: list[Any] = []

    def make() -> None:
        built.append(build(tmp_path / "file", channel(acme)))
        connections.close_all()

    thread = threading.Thread(target=make)
    thread.start()
    assert inside.wait(20)
    started = time.monotonic()
    write(acme, "while-building")
    assert time.monotonic() - started < 5
    go_on.set()
    thread.join()
    assert built[0].tables["jobs"][0] == 100
    assert built[0].state.cursor == acme.cursor + 100


async def test_a_new_client_of_a_large_tenant_installs_a_snapshot_and_continues_live(
    acme: Tenant, device, settings, tmp_path: Path
) -> None:
    settings.MOAT = {"SNAPSHOT_ROWS": 50}
    await in_thread(write, acme, *(f"job-{n}" for n in range(300)))
    async with serving() as port, connected(port, await device()) as client:
        await client.hello()
        await client.say("subscribe", **client.state)
        answer = await client.until("catch_up")
        assert answer["mode"] == "snapshot"
        manifest = answer["manifest"]
        (tmp_path / "file").write_bytes(await client.download(manifest))
        assert (await in_thread(contents, tmp_path / "file")) == await in_thread(fresh, acme, tmp_path / "fresh")
        await client.say("part", snapshot=manifest["snapshot"], part=999)
        assert (await client.receive())["code"] == "snapshot_gone"
        await client.say("part", snapshot="../../etc/passwd", part=0)
        assert (await client.receive())["code"] == "snapshot_gone"
        client.cursor, client.state_hash, client.schema_version = (
            manifest["cursor"],
            manifest["state_hash"],
            manifest["schema_version"],
        )
        await client.say("subscribe", **client.state)
        await client.until("live")
        await client.push(insert("live"))
        await client.reach(manifest["cursor"] + 1)


def test_http_serves_the_same_parts_with_ranges_caching_and_authentication(acme: Tenant) -> None:
    write(acme, "a", "b")
    snapshot = service.make(channel(acme))
    token = issue_device(acme, make_user(acme), "x").token
    other = make_tenant()
    stranger = issue_device(other, make_user(other), "x").token
    url, http = f"/api/snapshots/{snapshot.pk}/parts/0", Client()

    def get(token: str | None, **headers: str) -> Any:
        return http.get(url, headers={**headers, **({"Authorization": f"Bearer {token}"} if token else {})})

    whole = get(token)
    assert whole.status_code == 200
    assert hashlib.sha256(whole.content).hexdigest() == snapshot.manifest["parts"][0]["sha256"]
    assert len(gzip.decompress(whole.content)) == min(snapshot.manifest["size"], store.PART_BYTES)
    assert "immutable" in whole["Cache-Control"]
    assert get(token, **{"If-None-Match": whole["ETag"]}).status_code == 304
    for asked, start, end in (("bytes=5-9", 5, 10), ("bytes=10-", 10, None), ("bytes=-7", -7, None)):
        part = get(token, Range=asked)
        assert (part.status_code, part.content) == (206, whole.content[start:end])
    assert get(token, Range="bytes=99999999-").status_code == 416
    assert get(token, Range="bytes=5-9", **{"If-Range": '"other"'}).content == whole.content
    assert [get(None).status_code, get("moat_wrong").status_code, get(stranger).status_code] == [401, 401, 410]
