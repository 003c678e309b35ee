"""I8 while a client catches up: nothing is read with outdated access; filtered channels check positions too."""

import dataclasses

import pytest

from metadata.models import AccessRule
from sync.catchup.plan import (
    Plan,
    Position,
    check_filtered,
    in_channel,
    plan_filtered,
    read_frames,
)
from sync.channels import channel_log
from sync.channels.channel import Channel
from sync.channels.channel_log import channel_for
from sync.errors import AccessChanged, LogPruned, SyncError
from sync.log.prune import prune
from sync.settle.push import push
from sync.wire.ops import Actor, Op
from tenants.models import Tenant
from tenants.rows import TenantRow, read_tenant
from tests.sync.access_builders import access, make_member, make_profile, make_service, technician_rules

pytestmark = pytest.mark.django_db


def write(tenant: Tenant, record_id: str, technician: str = "tom") -> None:
    push(
        Actor(tenant.pk, "olga"),
        [Op(1, None, "jobs", record_id, "insert", 0, {"title": "x", "technician": technician})],
    )
    tenant.refresh_from_db()


@pytest.fixture
def tenant() -> Tenant:
    return make_service()


@pytest.fixture
def filtered(tenant: Tenant) -> Channel:
    tom = make_member(make_profile(tenant, "technician", technician_rules()), "tom")
    tenant.refresh_from_db()
    return channel_for(access(tenant, tom), tenant.slug)


def state_of(tenant: Tenant) -> TenantRow:
    found = read_tenant(tenant.pk)
    assert found is not None
    return found


def change_rights(tenant: Tenant) -> None:
    make_member(make_profile(tenant, "nobody", {}), "tim")
    tenant.refresh_from_db()


def test_i8_the_log_is_not_read_under_rights_that_are_out_of_date(tenant: Tenant) -> None:
    channel = Channel(tenant.pk, tenant.slug, access_version=tenant.access_version)
    write(tenant, "j1")
    before = read_frames(channel, 0, b"", None)
    assert before[-1].to_cursor == tenant.cursor
    change_rights(tenant)
    assert tenant.access_version > channel.access_version
    write(tenant, "j2")
    with pytest.raises(AccessChanged):
        read_frames(channel, before[-1].to_cursor, before[-1].state_hash, None)
    with pytest.raises(AccessChanged):
        read_frames(channel, 0, b"", None)
    current = dataclasses.replace(channel, access_version=tenant.access_version)
    assert read_frames(current, 0, b"", None)[-1].to_cursor == tenant.cursor


def test_i8_a_filtered_log_is_not_read_under_rights_that_are_out_of_date(tenant: Tenant, filtered: Channel) -> None:
    write(tenant, "j1")
    assert read_frames(filtered, filtered.born_cursor, b"\0" * 32, None)
    change_rights(tenant)
    with pytest.raises(AccessChanged):
        read_frames(filtered, filtered.born_cursor, b"\0" * 32, None)


def test_i8_rights_that_change_while_a_filtered_log_is_read_stop_it(
    tenant: Tenant, filtered: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tenant, "j1")
    read = channel_log._projected

    def late(*args):
        found = list(read(*args))
        change_rights(tenant)
        return found

    monkeypatch.setattr(channel_log, "_projected", late)
    with pytest.raises(AccessChanged):
        read_frames(filtered, filtered.born_cursor, b"\0" * 32, None)


def test_a_filtered_log_that_is_pruned_while_it_is_read_is_not_sent(
    tenant: Tenant, filtered: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tenant, "j1")
    write(tenant, "j2")
    read = channel_log._projected

    def late(*args):
        monkeypatch.setattr(channel_log, "_projected", read)  # pruning reads the channel too
        prune(tenant.pk, keep_days=-1, keep_changes=0)
        return list(read(*args))

    monkeypatch.setattr(channel_log, "_projected", late)
    with pytest.raises(LogPruned):
        read_frames(filtered, filtered.born_cursor, b"\0" * 32, None)


def test_a_state_under_newer_rights_is_not_a_channels(tenant: Tenant, filtered: Channel) -> None:
    change_rights(tenant)
    state = state_of(tenant)
    with pytest.raises(AccessChanged):
        in_channel(filtered, state)


def test_a_position_on_a_filtered_channel_is_compared_with_its_own_chain(tenant: Tenant, filtered: Channel) -> None:
    write(tenant, "j1")
    state = state_of(tenant)
    state = in_channel(filtered, state)
    here = Position(tenant.schema_version, state.cursor, state.state_hash, state.server_epoch, filtered.key)

    def chain(**changed) -> str:
        return check_filtered(filtered, state, dataclasses.replace(here, **changed))

    assert state.state_hash != bytes(tenant.state_hash)
    assert chain() == "ok"
    assert chain(cursor=state.cursor + 1) == "ahead"
    assert chain(server_epoch="f" * 32) == "epoch"
    assert chain(cursor=0) == "new"
    assert chain(state_hash=bytes(tenant.state_hash)) == "mismatch"
    assert chain(cursor=filtered.born_cursor - 1) == "pruned"


def test_a_client_ahead_of_a_filtered_channel_or_of_another_epoch_is_refused(tenant: Tenant, filtered: Channel) -> None:
    """Without the check the client of a restored server would be given a snapshot and lose its way to notice."""
    write(tenant, "j1")
    state = state_of(tenant)
    state = in_channel(filtered, state)
    here = Position(tenant.schema_version, state.cursor, state.state_hash, state.server_epoch, filtered.key)
    for changed, code in (({"cursor": state.cursor + 1}, "ahead"), ({"server_epoch": "f" * 32}, "epoch")):
        with pytest.raises(SyncError) as refused:
            plan_filtered(filtered, state, dataclasses.replace(here, **changed))
        assert refused.value.code == code
    assert plan_filtered(filtered, state, here) == Plan("log", state)


def test_a_client_whose_filtered_chain_differs_is_repaired_only_on_its_own_channel(
    tenant: Tenant, filtered: Channel
) -> None:
    """A replica of an unnamed channel may hold other columns: it starts from a snapshot."""
    write(tenant, "j1")
    state = state_of(tenant)
    state = in_channel(filtered, state)
    wrong = Position(tenant.schema_version, state.cursor, b"\0" * 32, state.server_epoch, filtered.key)
    assert plan_filtered(filtered, state, wrong).mode == "repair"
    assert plan_filtered(filtered, state, dataclasses.replace(wrong, channel=None)).mode == "snapshot"
    assert plan_filtered(filtered, state, dataclasses.replace(wrong, cursor=0)).mode == "snapshot"
    before = dataclasses.replace(wrong, cursor=filtered.born_cursor - 1)
    assert plan_filtered(filtered, state, before).mode == "snapshot"


def test_a_channel_is_not_made_for_rights_that_changed_meanwhile(tenant: Tenant) -> None:
    profile = make_profile(tenant, "technician", technician_rules())
    tom = make_member(profile, "tom")
    stale = access(tenant, tom)
    AccessRule.objects.get(profile=profile, object_name="job").delete()
    with pytest.raises(AccessChanged):
        channel_for(stale, tenant.slug)
    stale = access(tenant, tom)
    change_rights(tenant)  # of others: the profile and its revision stay
    with pytest.raises(AccessChanged):
        channel_for(stale, tenant.slug)
    assert channel_for(access(tenant, tom), tenant.slug).access_version == tenant.access_version
