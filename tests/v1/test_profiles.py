"""Security profiles on SyncProtocol v1: what members receive by pulls and on the event stream."""

import json
from typing import Any

import pytest
from httpx import AsyncClient

from metadata.models import AccessRule
from sync.channels import channel_log
from sync.entities.cbor import decode, encode
from sync.log.prune import prune
from sync.settle.push import push
from sync.wire.ops import Actor, Op
from tenants.models import Membership, Tenant
from tests.sync.access_builders import Fold, access, make_member, make_profile, make_service, technician_rules
from tests.sync.live import in_thread, serving
from tests.v1.conftest import Door
from tests.v1.http import Http
from tests.v1.members import Holder, Member
from tests.v1.technician import SECRETS, demote, live, office, service, tom
from tests.v1.test_stream import opened

pytestmark = pytest.mark.django_db
__all__ = ["office", "service", "tom"]

# Pulls


@pytest.mark.parametrize("kind", ["cbor", "json"])
def test_i8_no_response_contains_what_the_profile_hides(service: Tenant, tom: Member, office: Door, kind: str) -> None:
    http = Http(service, kind, tom.user)
    answers = [http.call("handshake", http.me())[1]]
    said = b""
    named: set[str] = set()

    def pulled(since: int, **more: Any) -> Any:
        nonlocal said
        status, page = http.pull(since, **more)
        assert status == 200, page
        named.update(op["entityId"] for op in page["ops"])
        said += http.response.content + b"".join(op.get("entityCbor") or b"" for op in page["ops"] if kind == "cbor")
        return page

    page = pulled(0)
    first = {op["entityId"]: op for op in page["ops"]}
    assert set(first) == {"c1", "j1", "l1"}
    office.put(
        "j1",
        6,
        {"title": "Fix", "technician": "tom", "customer": "c1", "price": "9.00", "undeclared": ["y1y"]},
        collection="jobs",
    )
    live(service, "customers", "c1", secret="x1x2")
    live(service, "jobs", "j2", title="Other", price="9.00")
    office.put("c3", 1, {"name": "hush"}, collection="customers")
    since = page["nextCursor"]
    while page["hasMore"] or since == page["nextCursor"]:
        page = pulled(page["nextCursor"], limit=1)
        answers.append({"ops": len(page["ops"])})
        since = -1
    pulled(0, collections=["customers", "jobs", "vaults"])
    text = said.decode("utf-8", "replace") + json.dumps(answers, default=str)
    assert not [word for word in (*SECRETS, "price", "secret", "undeclared") if word in text]
    assert named == {"c1", "j1", "l1"}


def test_documents_are_served_unchanged_if_fully_readable_and_filtered_if_not(
    service: Tenant, tom: Member, office: Door
) -> None:
    odd = b"\xbf\x64text\x61a\x63job\x62j1\x64free\xf9\x3e\x00\xff"  # an indefinite map with unsorted keys
    office.put("l3", 1, odd, collection="line_items")
    office.put("l4", 1, b"\x83\x01\x02\x03", collection="line_items")  # not a map, so without a job, so not Tom's
    found = {op.entity_id: op for op in tom.pull().ops}
    assert set(found) == {"c1", "j1", "l1", "l3"}
    assert found["l3"].body == odd
    assert found["l1"].body == encode({"job": "j1", "text": "pipe", "free": [1]})
    assert found["j1"].body == encode({"title": "Fix", "technician": "tom", "customer": "c1"})
    assert found["c1"].body == encode({"name": "Ada"})
    assert (found["j1"].version, found["j1"].device, found["j1"].source_op_id) == (5, "", None)


def test_a_document_that_is_not_a_map_is_served_as_its_readable_columns(service: Tenant, office: Door) -> None:
    make_profile(service, "notes", {"line_item": {"readable_fields": ["text"]}})
    one = Holder(Member(service, make_member(service.profiles.get(name="notes"), "nora"))).sync()
    office.put("l9", 1, b"\x83\x01\x02\x03", collection="line_items")
    assert one.sync().documents()["line_items", "l9"] == {}
    live(service, "line_items", "l9", text="now", job="j1")
    assert one.sync().documents()["line_items", "l9"] == {"text": "now"}


def test_earlier_values_do_not_leak_through_the_history(service: Tenant, tom: Member, office: Door) -> None:
    """A late pull shows every change as it was, without hidden fields and without later values."""
    one = Holder(tom).sync()
    office.put("j1", 6, {"title": "A", "technician": "tom", "customer": "c1", "price": "9.00"}, collection="jobs")
    live(service, "jobs", "j1", price="8.00")
    live(service, "customers", "c1", name="Bea", secret="hush2")
    office.put("j1", 9, {"title": "B", "technician": "tess", "customer": "c1", "price": "7.00"}, collection="jobs")
    live(service, "jobs", "j1", title="hush3")
    live(service, "line_items", "l1", text="later")
    live(service, "jobs", "j1", technician="tom", title="C")
    seen = [
        (op.entity_id, op.verb, op.version, decode(op.body) if op.body is not None else None)
        for op in tom.pull(one.cursor, 2, stream=True).ops
    ]
    assert seen == [
        ("j1", "upsert", 6, {"title": "A", "technician": "tom", "customer": "c1"}),
        ("j1", "upsert", 7, {"title": "A", "technician": "tom", "customer": "c1"}),
    ]
    before = len(one.received)
    one.sync(1)
    new = one.received[before:]
    assert b"hush" not in b"".join(op.body or b"" for op in new)
    assert {(op.entity_id, op.verb) for op in new} >= {("j1", "delete"), ("l1", "delete"), ("c1", "delete")}
    for op in new:
        if op.verb == "delete":
            assert (op.device, op.source_op_id, op.body) == ("", None, None)
    assert one.documents()["jobs", "j1"] == {"title": "C", "technician": "tom", "customer": "c1"}
    assert one.documents()["line_items", "l1"] == {"job": "j1", "text": "later", "free": [1]}


def test_a_record_of_live_clients_is_shown_as_it_was_while_visible(service: Tenant, tom: Member) -> None:
    push(Actor(service.pk, "olga"), [Op(1, None, "jobs", "j5", "insert", None, {"title": "t", "technician": "tom"})])
    live(service, "jobs", "j5", title="u")
    one = Holder(tom).sync()
    live(service, "jobs", "j5", title="v")
    live(service, "jobs", "j5", technician="tess")
    live(service, "jobs", "j5", customer="c2", title="hush")
    shown, gone = tom.pull(one.cursor).ops
    assert {"title": "v", "technician": "tom"}.items() <= decode(shown.body or b"").items()
    assert {"customer", "hush"}.isdisjoint(decode(shown.body or b""))
    assert (gone.verb, gone.body) == ("delete", None)
    # If the log no longer has the earlier state, the current state is not sent instead.
    prune(service.pk, -1, keep_changes=3)
    service.refresh_from_db()
    assert service.pruned_cursor == one.cursor
    assert [(op.entity_id, op.verb, op.body) for op in tom.pull(one.cursor).ops] == [("j5", "delete", None)] * 2


def test_a_value_set_later_is_not_sent_early(service: Tenant, office: Door) -> None:
    push(Actor(service.pk, "olga"), [Op(1, None, "jobs", "j5", "insert", None, {"title": "t"})])
    live(service, "jobs", "j5", title="u")
    live(service, "jobs", "j5", price="9.00")
    documents = [decode(op.body) for op in office.all() if op.entity_id == "j5"]
    assert [(document["title"], document.get("price")) for document in documents] == [
        ("t", None),
        ("u", None),
        ("u", "9.00"),
    ]


def test_a_pull_reads_only_changes_routed_to_its_channel(
    service: Tenant, tom: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Holder(tom).sync()
    for n in range(40):
        push(
            Actor(service.pk, "olga"),
            [Op(1, None, "jobs", f"n{n}", "insert", None, {"title": "x", "technician": "tom" if n == 20 else "tess"})],
        )
    read: list[int] = []
    original = channel_log._projected

    def counted(tenant_id: int, cursors: list[int], rules: Any) -> Any:
        read.extend(cursors)
        return original(tenant_id, cursors, rules)

    monkeypatch.setattr(channel_log, "_projected", counted)
    assert one.sync().ids("jobs") == {"j1", "n20"}
    assert len(read) == 1


# Together with live clients


def lines_of(channel: Any, after: int) -> list[bytes]:
    return [one.line for one in channel_log.read(channel, after).lines]


def test_pushed_documents_reach_filtered_channels_without_hidden_fields(service: Tenant) -> None:
    tom = make_member(service.profiles.get(name="technician"), "tom")
    one = Door(service)
    channel = channel_log.channel_for(access(service, tom), service.slug)
    one.push(
        one.op("c1", 1, {"name": "Ada", "secret": "x1x", "undeclared": "y1y"}, collection="customers"),
        one.op("j1", 1, {"title": "Fix", "technician": "tom", "customer": "c1", "price": "9.00"}, collection="jobs"),
        one.op("j2", 1, {"title": "Other", "technician": "tess"}, collection="jobs"),
        one.op("l1", 1, {"job": "j1", "text": "pipe"}, collection="line_items"),
    )
    first = lines_of(channel, channel.born_cursor)
    replica = Fold()
    replica.apply(first)
    assert {table: set(found) for table, found in replica.types().items()} == {
        "customers": {"c1"},
        "jobs": {"j1"},
        "line_items": {"l1"},
    }
    assert not [word for word in (b"x1x", b"y1y", b"9.00", b"Other", b"cbor") if word in b"".join(first)]


def test_records_moved_through_a_hop_keep_their_document_and_version(service: Tenant) -> None:
    tom = make_member(service.profiles.get(name="technician"), "tom")
    one = Door(service)
    channel = channel_log.channel_for(access(service, tom), service.slug)
    line = encode({"job": "j1", "text": "pipe", "undeclared": [1, 2]})
    one.push(
        one.op("j1", 5, {"title": "Fix", "technician": "tom"}, collection="jobs"),
        one.op("l1", 7, line, collection="line_items"),
    )
    service.refresh_from_db()
    at = service.cursor
    one.put("j1", 6, {"title": "Fix", "technician": "tess", "note": "n"}, collection="jobs")
    assert sum(b'"evict"' in line for line in lines_of(channel, at)) == 2
    push(
        Actor(service.pk, "olga"),
        [Op(1, None, "jobs", "j1", "update", None, [{"op": "replace", "path": "/technician", "value": "tom"}])],
    )
    assert sum(b'"insert"' in line for line in lines_of(channel, at)) == 2
    moved: list[Any] = [(op.version, op.body) for op in one.pull(at).ops if op.entity_id == "l1"]
    assert moved == [(7, line), (7, line)]
    assert [op.version for op in one.pull(at).ops if op.entity_id == "j1"] == [6, 7]
    assert [op.cursor for op in one.all()] == sorted({op.cursor for op in one.all()})


# The event stream


async def _stage() -> tuple[Tenant, Door, Member]:
    tenant = await in_thread(make_service)
    profile = await in_thread(make_profile, tenant, "technician", technician_rules())
    user = await in_thread(make_member, profile, f"tom-{tenant.pk}")
    return tenant, await in_thread(Door, tenant), await in_thread(Member, tenant, user)


@pytest.mark.django_db(transaction=True)
async def test_a_stream_sends_what_its_channel_shows_and_evictions_without_an_author(
    transactional_db: None,
) -> None:
    tenant, writer, tom = await _stage()
    mine = {"title": "Fix", "technician": tom.user.username, "price": "9.00", "undeclared": "y1y"}
    async with serving() as port, opened(port, tom, "stream?bodies=1") as events:
        await events.of("connected")
        await in_thread(writer.put, "j2", 1, {"title": "Other", "technician": "tess"}, collection="jobs")
        await in_thread(writer.put, "j1", 1, mine, collection="jobs")
        data = await events.of("operations")
        (op,) = data["operations"]
        assert (op["entityId"], op["deviceId"], data["count"]) == ("j1", writer.actor.device_id, 1)
        assert not [word for word in (*SECRETS, "price") if word in json.dumps(data)]
        await in_thread(writer.put, "j1", 2, {**mine, "technician": "tess"}, collection="jobs")
        (op,) = (await events.of("operations"))["operations"]
        assert (op["opType"], op["deviceId"], "sourceOpId" in op, "entityCbor" in op) == (
            "delete",
            "server",
            False,
            False,
        )
    assert tenant.pk == writer.tenant.pk


@pytest.mark.parametrize("becomes", ["less", "more"])
@pytest.mark.django_db(transaction=True)
async def test_an_open_stream_ends_when_its_channel_changes(
    transactional_db: None, settings: Any, becomes: str
) -> None:
    settings.MOAT = {"V1_PING": 0.3}
    tenant, writer, tom = await _stage()
    async with serving() as port:
        async with opened(port, tom) as events:
            await events.of("connected")
            if becomes == "less":
                await in_thread(lambda: AccessRule.objects.get(object_name="job").delete())
                await in_thread(
                    writer.put, "j1", 1, {"title": "hush", "technician": tom.user.username}, collection="jobs"
                )
            else:
                await in_thread(demote, tenant, tom.user.username, "full")
            kind, data = await events.next()
            assert (kind, data["code"]) == ("error", 3)
            with pytest.raises(EOFError):
                await events.next()
        # The device now holds another channel, so it pulls first.
        async with opened(port, tom, **{"Last-Event-ID": "1"}) as events:
            await events.of("connected")
            assert (await events.of("error"))["code"] == 11
        await in_thread(tom.pull, 0)
        async with opened(port, tom) as events:
            await events.of("connected")
        async with AsyncClient(timeout=30) as client:
            await in_thread(lambda: Membership.objects.filter(user=tom.user).delete())
            answer = await client.get(
                f"http://127.0.0.1:{port}/v1/stream", headers={"Authorization": f"Bearer {tom.issued.token}"}
            )
            assert answer.status_code in (401, 403)
