"""Security profiles on SyncProtocol v1: devices whose access changes."""

from pathlib import Path

import pytest

from metadata.models import AccessRule
from moat_client.v1 import EntityStore
from sync.channels.upkeep import retire_outdated
from sync.entities.models import LostRecord
from sync.v1.pull_state import CursorInvalid
from tenants.models import Tenant
from tests.sync.access_builders import make_profile
from tests.v1.conftest import Door
from tests.v1.http import Http
from tests.v1.members import Holder, Member
from tests.v1.technician import demote, live, office, service, tom
from tests.v1.test_client import store_at

pytestmark = pytest.mark.django_db
__all__ = ["office", "service", "tom"]


def test_another_channel_restarts_and_deletes_only_revoked_records(service: Tenant, tom: Member, office: Door) -> None:
    office.put("j8", 1, {"title": "hush", "technician": "nobody"}, collection="jobs")
    one = Holder(tom).sync()
    assert set(one.held) == {("customers", "c1"), ("jobs", "j1"), ("line_items", "l1")}
    rule = AccessRule.objects.get(object_name="job")
    rule.row_filter = {"technician": "tess"}
    rule.save()
    # Committed after Tom lost access, and visible only under the old rules: Tom must not receive it.
    office.put("j7", 1, {"title": "hush", "technician": "tom"}, collection="jobs")
    office.put("j8", 2, {"title": "hush", "technician": "tom"}, collection="jobs")
    office.put("j1", 9, {"title": "hush", "technician": "nobody"}, collection="jobs")
    http = Http(service, user=tom.user)
    http.device, http.token = tom.actor.device_id, tom.issued.token
    assert http.call("handshake", http.me())[1]["serverCursor"] == 0
    status, answer = http.pull(one.cursor)
    assert (status, answer["code"]) == (409, 11)
    before = len(one.received)
    one.sync(1)
    assert one.starts == 1
    assert set(one.held) == {("jobs", "j2")}
    deletes = {(op.collection, op.entity_id): op for op in one.received[before:] if op.verb == "delete"}
    assert set(deletes) == {("jobs", "j1"), ("customers", "c1"), ("line_items", "l1")}
    assert (deletes["jobs", "j1"].version, deletes["jobs", "j1"].timestamp_ms) == (5, 0)
    tom.pull(one.cursor)
    assert not LostRecord.objects.exists()
    assert one.sync().starts == 1


def test_a_record_sent_in_a_lost_response_is_deleted(service: Tenant, tom: Member, office: Door) -> None:
    one = Holder(tom).sync()
    live(service, "jobs", "j1", technician="tess")
    assert {op.verb for op in tom.pull(one.cursor).ops} == {"delete"}
    rule = AccessRule.objects.get(object_name="job")
    rule.readable_fields = ["title"]
    rule.save()
    assert one.sync(1).held == {}
    assert one.starts == 1


def test_a_record_sent_but_not_confirmed_is_deleted(service: Tenant, tom: Member, office: Door) -> None:
    one = Holder(tom).sync()
    office.put("j5", 1, {"title": "New", "technician": "tom"}, collection="jobs")
    one.sync()
    assert one.ids("jobs") == {"j1", "j5"}
    rule = AccessRule.objects.get(object_name="job")
    rule.row_filter = {"customer": "c1"}
    rule.save()
    assert one.sync().ids("jobs") == {"j1"}


def test_a_second_change_during_a_restart_loses_no_deletes(service: Tenant, tom: Member, office: Door) -> None:
    live(service, "jobs", "j1", title="Fix it")
    one = Holder(tom).sync()
    rule = AccessRule.objects.get(object_name="job")
    rule.row_filter = {"technician": "tess"}
    rule.save()
    while one.starts == 0:
        one.step(1)
    assert one.step(1)
    assert one.ids("jobs") == {"j1", "j2"}, "the deletes are still to be sent"
    rule.row_filter = {"technician": "nobody"}
    rule.save()
    one.sync(1)
    assert (one.starts, set(one.held)) == (2, {("customers", "c1"), ("line_items", "l1")})


def test_an_outdated_channel_is_kept_while_a_device_holds_it(service: Tenant, tom: Member, office: Door) -> None:
    one = Holder(tom).sync()
    old = tom.channel().key
    rule = AccessRule.objects.get(object_name="job")
    rule.row_filter = {"customer": "c2"}
    rule.save()
    assert retire_outdated(service.pk) == 0
    # The new rules do not compare technicians, but the log must still record what leaves the old channels.
    live(service, "jobs", "j1", technician="tess")
    one.sync()
    assert set(one.held) == {("jobs", "j2")}
    assert tom.channel().key != old
    assert retire_outdated(service.pk) == 1


def test_a_demoted_device_deletes_the_rest_and_a_promoted_one_receives_it(service: Tenant, office: Door) -> None:
    one = Holder(Member(service, office.user)).sync()
    assert len(one.held) == 6
    type(office.user).objects.filter(pk=office.user.pk).update(username="tom")
    office.user.refresh_from_db()
    demote(service, "tom")
    assert set(one.sync(2).held) == {("customers", "c1"), ("jobs", "j1"), ("line_items", "l1")}
    assert "price" not in one.documents()["jobs", "j1"]
    demote(service, "tom", "full")
    assert len(one.sync(2).held) == 6
    assert one.documents()["jobs", "j1"]["price"] == "9.00"


def test_a_cursor_from_another_epoch_is_rejected(service: Tenant, tom: Member, office: Door) -> None:
    one = Holder(tom).sync()
    for cursor in range(1, one.cursor):
        with pytest.raises(CursorInvalid):
            tom.pull(cursor)
    fresh = Member(service, tom.user)
    with pytest.raises(CursorInvalid):
        fresh.pull(one.cursor)
    with pytest.raises(CursorInvalid):
        fresh.pull(0, stream=True)


def test_the_client_changes_channel_with_its_outbox_and_edits(
    service: Tenant, tom: Member, office: Door, tmp_path: Path
) -> None:
    http = Http(service, user=tom.user)
    store, engine_, _ = store_at(tmp_path / "s.db", http)
    engine_.sync()
    jobs, items = store.collection("jobs"), store.collection("line_items")
    assert jobs.get("j1") == {"title": "Fix", "technician": "tom", "customer": "c1"}
    jobs.put("j1", {**jobs.get("j1"), "title": "typed offline"})
    items.put("l9", {"job": "j1", "text": "also offline"})
    make_profile(
        service,
        "items",
        {
            "line_item": {"can_create": True, "row_filter": {"text": ["pipe", "also offline"]}},
            "job": {"row_filter": {"technician": "tess"}},
        },
    )
    demote(service, "tom", "items")
    live(service, "jobs", "j2", title="Shown now")
    synced = engine_.sync()
    assert {i for i, _ in jobs.items()} >= {"j2"}
    assert jobs.get("j2")["title"] == "Shown now"
    assert store.collection("customers").get("c1") is None
    assert items.get("l1") == {"job": "j1", "text": "pipe", "free": [1]}
    assert synced.refused == 2, "both edits name what is out of sight now"
    readable = b"".join(op.cbor or b"" for op in store.queued(state="refused"))
    assert b"typed offline" in readable
    assert b"also offline" in readable
    assert engine_.sync().refused == 0
    reopened = EntityStore(tmp_path / "s.db")
    assert len(reopened.queued(state="refused")) == 2
    reopened.close()
    store.close()
