"""Security profiles on SyncProtocol v1: what members may write, and the messages of rejections."""

from typing import Any

import pytest

from metadata.catalog import schema_of
from metadata.models import AccessRule, ObjectMetadata
from metadata.publish import publish
from sync.entities.cbor import decode, encode
from sync.entities.models import PullState, TenantSettings
from sync.errors import AccessChanged, PushRejected
from sync.models import Change, Conflict
from sync.records import rows
from sync.settle import push as engine
from sync.settle.push import push
from sync.v1.pull import pull
from sync.v1.pull_state import CursorInvalid
from sync.v1.push import push_entities
from sync.wire.ops import Actor, Op
from tenants.models import Membership, Tenant
from tests.sync.access_builders import make_member, make_profile
from tests.v1.conftest import Door
from tests.v1.http import Http
from tests.v1.members import Holder, Member
from tests.v1.technician import demote, live, office, refusal, row, service, tom

pytestmark = pytest.mark.django_db
__all__ = ["office", "service", "tom"]


def test_hidden_things_are_rejected_as_if_they_did_not_exist(service: Tenant, tom: Member) -> None:
    def say(op: Any) -> tuple[str, str, str | None]:
        error = refusal(lambda: tom.push(op))
        return str(error.code), error.message, error.field

    def alike(hidden: tuple[str, str, str | None], missing: tuple[str, str, str | None], swap: tuple[str, str]) -> str:
        assert tuple(None if part is None else part.replace(*swap) for part in hidden) == missing
        return missing[0]

    mine = {"title": "Fix", "technician": "tom", "customer": "c1"}
    assert (
        alike(
            say(tom.op("j2", 9, None, collection="jobs")), say(tom.op("j9", 9, None, collection="jobs")), ("j2", "j9")
        )
        == "not_found"
    )
    assert (
        alike(
            say(tom.op("j2", 9, mine, collection="jobs")), say(tom.op("j9", 9, mine, collection="jobs")), ("j2", "j9")
        )
        == "forbidden"
    )
    # With any proposed version: a conflict would reveal that the record exists.
    assert say(tom.op("j2", 1, mine, collection="jobs"))[0] == "forbidden"
    assert say(tom.op("l2", 1, {"job": "j1"}, collection="line_items"))[0] == "forbidden"
    assert (
        alike(
            say(tom.op("j1", 9, {**mine, "price": "1"}, collection="jobs")),
            say(tom.op("j1", 9, {**mine, "prize": "1"}, collection="jobs")),
            ("price", "prize"),
        )
        == "unknown_field"
    )
    assert say(tom.op("j1", 9, {**mine, "price": {}}, collection="jobs"))[0] == "unknown_field"
    assert (
        alike(
            say(tom.op("l7", 1, {"job": "j2"}, collection="line_items")),
            say(tom.op("l7", 1, {"job": "j9"}, collection="line_items")),
            ("j2", "j9"),
        )
        == "missing_reference"
    )
    AccessRule.objects.filter(object_name="customer")[0].delete()
    assert (
        alike(
            say(tom.op("c1", 9, {"name": 1}, collection="customers")),
            say(tom.op("c1", 9, {"name": 1}, collection="nothing")),
            ("customers", "nothing"),
        )
        == "unknown_table"
    )
    assert Change.objects.filter(tenant=service, device_id=tom.actor.device_id).count() == 0


def patch(**values: Any) -> list[dict[str, Any]]:
    return [{"op": "replace", "path": f"/{name}", "value": value} for name, value in values.items()]


def test_codes_and_messages_are_those_of_the_socket(service: Tenant, tom: Member) -> None:
    """Each line: a v1 op, and what a live client would send for the same edit."""
    mine = {"title": "Fix", "technician": "tom", "customer": "c1"}
    for op, same in (
        (tom.op("j1", 9, None, collection="jobs"), ("jobs", "j1", "delete", None)),
        (tom.op("j2", 9, None, collection="jobs"), ("jobs", "j2", "delete", None)),
        (tom.op("j9", 9, mine, collection="jobs"), ("jobs", "j9", "insert", mine)),
        (
            tom.op("j1", 9, {**mine, "customer": "c2"}, collection="jobs"),
            ("jobs", "j1", "update", patch(customer="c2")),
        ),
        (tom.op("j1", 9, {**mine, "price": "1.00"}, collection="jobs"), ("jobs", "j1", "update", patch(price="1.00"))),
        (tom.op("c1", 9, {"name": "Eve"}, collection="customers"), ("customers", "c1", "update", patch(name="Eve"))),
        (tom.op("l2", 9, {"job": "j1"}, collection="line_items"), ("line_items", "l2", "insert", {"job": "j1"})),
        (tom.op("l8", 9, {"job": "j2"}, collection="line_items"), ("line_items", "l8", "insert", {"job": "j2"})),
        (tom.op("l8", 9, {"text": "x"}, collection="line_items"), ("line_items", "l8", "insert", {"text": "x"})),
        (tom.op("l1", 9, {"job": "j2"}, collection="line_items"), ("line_items", "l1", "update", patch(job="j2"))),
    ):
        error = refusal(lambda op=op: tom.push(op))  # type: ignore[misc]
        (live_result,) = push(tom.actor, [Op(1_000_000 + op.op_id, None, *same[:3], None, same[3])])
        assert (str(error.code), error.message, error.field) == (
            live_result.code,
            live_result.message,
            live_result.field,
        ), op
    refused = Http(service, user=tom.user).push(Http(service).op("j1", 9, None, collection="jobs", deviceId=None))
    assert (refused[0], refused[1]["code"], refused[1]["details"], refused[1]["field"]) == (
        403,
        3,
        "forbidden",
        "ops[0]",
    )


def test_an_upsert_keeps_what_its_user_does_not_see(service: Tenant, tom: Member, office: Door) -> None:
    one = Holder(tom).sync()
    tom.put("j1", 6, {"title": "Mended", "technician": "tom", "customer": "c1"}, collection="jobs")
    found = row(service, "jobs", "j1")
    assert (found.get("title"), found.get("price"), found.entity_version) == ("Mended", "9.00", 6)
    whole = {op.entity_id: op for op in office.all()}["j1"]
    assert decode(whole.body) == {
        "title": "Mended",
        "technician": "tom",
        "customer": "c1",
        "price": "9.00",
        "undeclared": "y1y",
    }
    assert whole.body == encode(decode(whole.body))
    assert one.sync().documents()["jobs", "j1"] == {"title": "Mended", "technician": "tom", "customer": "c1"}
    assert one.received[-1].device == tom.actor.device_id
    # An omitted key is cleared if the user may write it.
    push(
        Actor(service.pk, "olga"),
        [Op(1, None, "jobs", "j6", "insert", None, {"title": "t", "technician": "tom", "price": "9.00"})],
    )
    tom.put("j6", 2, {"title": "u", "technician": "tom"}, collection="jobs")
    assert (
        row(service, "jobs", "j6").get("price"),
        decode(row(service, "jobs", "j6").entity_cbor or b"")["price"],
    ) == ("9.00", "9.00")


def test_documents_are_stored_as_sent_if_everything_is_writable(service: Tenant, tom: Member, office: Door) -> None:
    odd = b"\xbf\x64text\x61a\x63job\x62j1\x64free\xf9\x3e\x00\xff"
    tom.put("l1", 2, odd, collection="line_items")
    tom.put("l5", 1, odd, collection="line_items")
    assert [row(service, "line_items", record).entity_cbor for record in ("l1", "l5")] == [odd, odd]
    assert refusal(lambda: tom.put("j1", 9, b"\x83\x01\x02\x03", collection="jobs")).code == "bad_value"


def test_read_only_keys_keep_their_values(service: Tenant, office: Door) -> None:
    make_profile(service, "clerk", {"job": {"can_update": True, "can_create": True, "writable_fields": ["title"]}})
    one = Member(service, make_member(service.profiles.get(name="clerk"), "clara"))
    stored = decode(row(service, "jobs", "j1").entity_cbor or b"")
    one.put("j1", 6, {**stored, "title": "New"}, collection="jobs")
    assert decode(row(service, "jobs", "j1").entity_cbor or b"") == {**stored, "title": "New"}
    for name, value in (("price", "1.00"), ("undeclared", "z"), ("extra", 1)):
        changed = {**stored, name: value}
        error = refusal(lambda changed=changed: one.put("j1", 7, changed, collection="jobs"))  # type: ignore[misc]
        assert (error.code, error.field) == ("forbidden", name)
    for name in ("price", "undeclared"):
        left = {key: value for key, value in stored.items() if key != name}
        assert refusal(lambda left=left: one.put("j1", 7, left, collection="jobs")).field == name  # type: ignore[misc]
    assert refusal(lambda: one.put("j7", 1, {"title": "t", "extra": 1}, collection="jobs")).field == "extra"
    one.put("j7", 1, {"title": "t", "price": None}, collection="jobs")
    assert row(service, "jobs", "j7").get("title") == "t"


def test_an_older_op_that_the_policy_accepts_keeps_read_only_keys(service: Tenant, tom: Member, office: Door) -> None:
    ObjectMetadata.objects.filter(tenant=service, object_name="job").update(conflict_policy="last_write_wins")
    publish(service.pk)
    service.refresh_from_db()
    live(service, "jobs", "j1", customer="c2", price="7.00")
    tom.put("j1", 3, {"title": "Late", "technician": "tom", "customer": "c1"}, collection="jobs")
    found = row(service, "jobs", "j1")
    assert (found.get("title"), found.get("customer"), found.get("price")) == ("Late", "c2", "7.00")
    assert decode(found.entity_cbor or b"") == {
        "title": "Late",
        "technician": "tom",
        "customer": "c2",
        "price": "7.00",
        "undeclared": "y1y",
    }


def test_a_document_equal_to_what_the_user_sees_adds_no_change(service: Tenant, tom: Member, office: Door) -> None:
    service.refresh_from_db()
    head = service.cursor
    tom.put("j1", 9, b"\xbf\x68customer\x62c1\x65title\x63Fix\x6atechnician\x63tom\xff", collection="jobs")
    tom.put("c1", 9, {"name": "Ada"}, collection="customers")
    tom.put("l1", 9, {"job": "j1", "text": "pipe", "free": [1]}, collection="line_items")
    service.refresh_from_db()
    assert service.cursor == head


def test_a_conflict_shows_only_readable_fields_on_every_protocol(
    service: Tenant, tom: Member, office: Door, client: Any
) -> None:
    Holder(tom).sync()
    office.put(
        "j1",
        8,
        {"title": "Theirs", "technician": "tom", "customer": "c1", "price": "9.00", "undeclared": "y1y"},
        collection="jobs",
    )
    op = tom.op("j1", 6, {"title": "Mine", "technician": "tom", "customer": "c1"}, collection="jobs")
    for _ in range(2):
        (lost,) = tom.push(op).conflicts
        assert (lost.version, decode(lost.body)) == (8, {"title": "Theirs", "technician": "tom", "customer": "c1"})
    kept = Conflict.objects.get(tenant=service)
    assert (kept.fields, kept.mine, kept.theirs) == (["title"], {"title": "Mine"}, {"title": "Theirs"})
    live(service, "jobs", "j1", technician="tess")
    error = refusal(lambda: tom.push(op))
    assert (error.code, "Theirs" in error.message) == ("forbidden", False)
    live(service, "jobs", "j1", technician="tom")
    tom.push(tom.op("j1", 6, {"title": "x", "technician": "tom", "customer": "c1"}, collection="jobs"))
    headers = {"HTTP_AUTHORIZATION": f"Bearer {tom.issued.token}"}
    text = (
        client.get("/api/conflicts/?state=settled", **headers).content.decode()
        + client.get("/api/conflicts/", **headers).content.decode()
    )
    assert "Mine" in text
    assert not [word for word in ("9.00", "price", "y1y") if word in text]


def test_resolving_a_members_conflict_writes_only_fields_the_member_could_write(
    service: Tenant, tom: Member, office: Door
) -> None:
    ObjectMetadata.objects.filter(tenant=service, object_name="job").update(conflict_policy="manual")
    publish(service.pk)
    service.refresh_from_db()
    live(service, "jobs", "j1", title="Theirs", price="7.00")
    tom.put("j1", 3, {"title": "Mine", "technician": "tom", "customer": "c1"}, collection="jobs")
    engine.resolve_conflict(Conflict.objects.get(tenant=service).pk, "mine", "olga")
    found = row(service, "jobs", "j1")
    assert (found.get("title"), found.get("price"), found.get("customer")) == ("Mine", "7.00", "c1")


def test_a_member_publishes_no_collections(service: Tenant, tom: Member) -> None:
    TenantSettings.objects.create(tenant=service, unknown_collections="publish")
    assert refusal(lambda: tom.put("x", 1, {}, collection="surprises")).code == "unknown_table"
    assert not ObjectMetadata.objects.filter(tenant=service, table_name="surprises").exists()


def test_an_accepted_op_stays_acknowledged_when_access_shrinks(service: Tenant, tom: Member) -> None:
    op = tom.op("j1", 6, {"title": "Mended", "technician": "tom", "customer": "c1"}, collection="jobs")
    tom.push(op)
    AccessRule.objects.get(object_name="job").delete()
    assert tom.push(op).acknowledged == op.op_id


def test_access_that_changes_between_check_and_work_is_noticed(service: Tenant) -> None:
    one = Door(service)
    service.refresh_from_db()
    member = Member(service, one.user)
    before = member.channel()
    one.put("c1", 1, {"name": "Ada"}, collection="customers")
    demote(service, one.user.username)
    for since in (0, 1):
        with pytest.raises((AccessChanged, CursorInvalid)):
            pull(before, one.actor.device_id or "", since, 100)
    assert not PullState.objects.filter(device_id=one.actor.device_id).exists()
    assert (
        refusal(lambda: push_entities(one.actor, [one.op("c2", 1, {"name": "Bob"}, collection="customers")])).code
        == "forbidden"
    )
    Membership.objects.filter(user=one.user).delete()
    with pytest.raises(PushRejected):
        push_entities(one.actor, [one.op("c2", 1, {"name": "Bob"}, collection="customers")])
    service.refresh_from_db()
    found = rows.records(service.pk, schema_of(service.pk, service.schema_version).by_table["customers"], ["c1", "c2"])
    assert list(found) == ["c1"]


def test_a_former_member_is_rejected_by_every_call(service: Tenant, tom: Member) -> None:
    http = Http(service, user=tom.user)
    assert http.pull()[0] == 200
    Membership.objects.filter(user=tom.user).delete()
    for status, answer in (http.call("handshake", http.me()), http.pull(), http.push()):
        assert (status, answer["code"]) in ((403, 3), (401, 2))
