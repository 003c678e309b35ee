"""Snapshots take no more of the disk than their limits allow."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from metadata.access_store import access_of
from sync.catchup.snapshots import room, service, store
from sync.channels import channel_log
from sync.channels.channel import Channel
from sync.errors import SyncError
from sync.models import Snapshot
from sync.settle.push import push
from sync.wire.codes import Code
from sync.wire.ops import Actor, Op
from tenants.models import Tenant
from tests.sync.access_builders import make_member, make_profile, make_service, technician_rules
from tests.sync.live import connected, in_thread, serving, write

pytestmark = pytest.mark.django_db(transaction=True)
HOUR_AGO = 3600


@pytest.fixture(autouse=True)
def data(settings: Any, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path / "data"
    return tmp_path / "data"


def full(tenant: Tenant) -> Channel:
    return Channel(tenant.pk, tenant.slug)


def filtered() -> Channel:
    """The channel of a technician who sees their own jobs."""
    tenant = make_service()  # type: ignore[no-untyped-call]
    tom = make_member(make_profile(tenant, "technician", technician_rules()), "tom")
    return channel_log.channel_for(access_of(tenant.pk, tom.pk), tenant.slug)


def edit(channel: Channel, n: int) -> None:
    job = {"title": "Fix", "technician": "tom"}
    (result,) = push(Actor(channel.tenant_id, "olga"), [Op(n, None, "jobs", f"job-{n}", "insert", None, job)])
    assert result.accepted


def replicas(data: Path) -> int:
    return len(list(data.glob(f"snapshots/*/*/{store.REPLICA}")))


def unused(*snapshots: Snapshot) -> None:
    """Pretend that no client has downloaded a part for an hour."""
    for snapshot in snapshots:
        then = store.home(snapshot).stat().st_mtime - HOUR_AGO
        os.utime(store.home(snapshot), (then, then))


def exists(snapshot: Snapshot) -> bool:
    return Snapshot.objects.filter(pk=snapshot.pk).exists() and store.home(snapshot).exists()


def test_edits_between_subscribes_leave_one_replica_file(data: Path) -> None:
    channel = filtered()
    made = []
    for n in range(1, 8):
        edit(channel, n)
        made.append(service.make(channel))
    assert len({snapshot.pk for snapshot in made}) == 7
    assert replicas(data) == 1
    for snapshot in made:  # whoever downloads one can go on
        assert store.read_part(channel.tenant_id, channel.key, str(snapshot.pk), 0)


def test_a_full_channel_rejects_with_a_code_until_old_snapshots_are_unused(settings: Any) -> None:
    channel = filtered()
    edit(channel, 1)
    first = service.make(channel)
    edit(channel, 2)
    second = service.make(channel)
    used = room.disk_usage([store.home(first), store.home(second)])
    settings.MOAT = {"SNAPSHOT_CHANNEL_BYTES": used + second.manifest["size"] // 2}
    edit(channel, 3)
    with pytest.raises(SyncError) as rejected:
        service.make(channel)
    assert rejected.value.code == Code.OVERLOADED
    assert 1 <= (rejected.value.retry_after or 0) <= room.IN_USE_SECONDS
    assert exists(first)
    assert exists(second)
    assert not store.workplaces(channel)
    unused(first)
    settings.MOAT = {"SNAPSHOT_CHANNEL_BYTES": used + second.manifest["size"]}
    service.make(channel)
    assert not exists(first)
    assert exists(second)


def test_what_a_build_made_counts_and_is_discarded_if_there_is_no_room(data: Path, settings: Any) -> None:
    channel = filtered()
    settings.MOAT = {"SNAPSHOT_CHANNEL_BYTES": 8192}
    with pytest.raises(SyncError, match="no room"):
        service.make(channel)
    assert replicas(data) == 0
    assert not Snapshot.objects.exists()
    assert not store.workplaces(channel)


def test_an_unfiltered_channel_without_room_reuses_what_the_log_can_bring_up_to_date(
    acme: Tenant, settings: Any
) -> None:
    settings.MOAT = {"SNAPSHOT_TAIL": 0}
    write(acme, "a")
    first = service.make(full(acme))
    write(acme, *(f"b{n}" for n in range(20)))
    settings.MOAT = {"SNAPSHOT_TAIL": 0, "SNAPSHOT_CHANNEL_BYTES": 1}
    assert service.make(full(acme)) == first
    settings.MOAT = {**settings.MOAT, "LOG_ALWAYS": 10}
    with pytest.raises(SyncError, match="no room"):
        service.make(full(acme))


@pytest.mark.parametrize("limit", ["SNAPSHOT_TENANT_BYTES", "SNAPSHOT_BYTES"])
def test_unused_snapshots_of_other_channels_make_room(acme: Tenant, settings: Any, limit: str) -> None:
    channel = filtered()
    if limit == "SNAPSHOT_TENANT_BYTES":
        acme = Tenant.objects.get(pk=channel.tenant_id)
    mine, other = service.make(channel), service.make(full(acme))
    edit(channel, 1)
    used = room.disk_usage([store.home(mine), store.home(other)])
    settings.MOAT = {limit: used + mine.manifest["size"] // 2}
    with pytest.raises(SyncError, match="no room"):  # both may be being downloaded
        service.make(channel)
    assert exists(other)
    unused(mine, other)
    with store.build_lock(full(acme)), pytest.raises(SyncError, match="no room"):  # in use as a base
        service.make(channel)
    assert service.make(channel).cursor > mine.cursor
    assert not exists(other)
    assert exists(mine)


def test_what_deleted_tenants_left_makes_room(acme: Tenant, settings: Any) -> None:
    channel = filtered()
    left = service.make(full(acme))
    Snapshot.objects.filter(pk=left.pk).delete()
    service.make(channel)
    edit(channel, 1)
    settings.MOAT = {"SNAPSHOT_BYTES": 1}
    unused(left)
    with pytest.raises(SyncError, match="no room"):
        service.make(channel)
    assert not store.home(left).exists()


def test_a_snapshot_that_is_handed_out_counts_as_in_use(acme: Tenant) -> None:
    made = service.make(full(acme))
    unused(made)
    assert room._idle_seconds(store.home(made)) >= HOUR_AGO
    assert service.fresh(full(acme)) == made
    assert room._idle_seconds(store.home(made)) < HOUR_AGO


def test_a_file_with_two_names_counts_once(tmp_path: Path) -> None:
    for name in ("a", "b", "gone"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "part").write_bytes(b"x" * 5000)
    os.link(tmp_path / "a" / "part", tmp_path / "b" / "part")
    shutil.rmtree(tmp_path / "gone")
    assert room.disk_usage([tmp_path / "a", tmp_path / "b", tmp_path / "gone"]) == 8192


async def test_a_client_without_room_gets_a_code_and_when_to_come_back(
    acme: Tenant, device: Any, settings: Any
) -> None:
    settings.MOAT = {"SNAPSHOT_ROWS": 5, "SNAPSHOT_BYTES": 1}
    await in_thread(write, acme, *(f"job-{n}" for n in range(30)))
    async with serving() as port, connected(port, await device()) as client:
        await client.hello()
        await client.say("subscribe", ref=3, **client.state)
        while (answer := await client.receive())["type"] != "error":
            assert answer["type"] == "progress"
        assert (answer["code"], answer["ref"]) == ("overloaded", 3)
        assert answer["retry_after"] >= 1
