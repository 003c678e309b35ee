"""Beside security profiles: who sees less than everything is kept out, and what CBOR clients write reaches filtered channels as rules say."""

from typing import Any

import pytest
from httpx import AsyncClient

from metadata.catalog import schema_of
from sync import routed, rows
from sync.cbor import encode
from sync.channels import Channel
from sync.engine import push
from sync.errors import AccessMoved, PushRefused
from sync.ops import Actor, Op
from sync.v1.pull import pull
from sync.v1.push import push_entities
from tenants.models import Membership, Tenant
from tests.sync.access_builders import Fold, access, make_member, make_profile, make_service, technician_rules
from tests.sync.live import in_thread, serving
from tests.v1.conftest import Door
from tests.v1.http import Http
from tests.v1.test_stream import opened

pytestmark = pytest.mark.django_db


@pytest.fixture
def service(db: None) -> Tenant:
    tenant = make_service()
    make_profile(tenant, "technician", technician_rules())
    return tenant


def demote(tenant: Tenant, username: str) -> None:
    membership = Membership.objects.get(tenant=tenant, user__username=username)
    membership.profile = tenant.profiles.get(name="technician")
    membership.save()


def test_who_sees_less_than_everything_is_kept_out_of_every_call(service: Tenant) -> None:
    one = Http(service)
    assert one.pull()[0] == 200
    demote(service, one.issued.device.user.username)
    for status, answer in (
        one.call("handshake", {**one.me(), "clientInfo": {}}),
        one.pull(),
        one.push(one.op("j1", 1, {"title": "Fix"}, collection="jobs")),
        one.push(),
    ):
        assert (status, answer["code"]) == (403, 3)
    assert "ops" not in one.pull()[1]


def test_rights_that_change_between_the_check_and_the_work_are_noticed(service: Tenant) -> None:
    one = Door(service)
    service.refresh_from_db()
    before = Channel(service.pk, service.slug, access_version=service.access_version)
    one.put("c1", 1, {"name": "Ada"}, collection="customers")
    demote(service, one.user.username)
    with pytest.raises(AccessMoved):
        pull(before, one.actor.device_id or "", 0, 100)
    with pytest.raises(PushRefused):
        push_entities(one.actor, [one.op("c2", 1, {"name": "Bob"}, collection="customers")])
    Membership.objects.filter(user=one.user).delete()
    with pytest.raises(PushRefused):
        push_entities(one.actor, [one.op("c2", 1, {"name": "Bob"}, collection="customers")])
    service.refresh_from_db()
    found = rows.records(service.pk, schema_of(service.pk, service.schema_version).by_table["customers"], ["c1", "c2"])
    assert list(found) == ["c1"]


def lines_of(channel: Channel, after: int) -> list[bytes]:
    return [one.line for one in routed.read(channel, after).lines]


def test_what_is_written_here_reaches_filtered_channels_without_what_they_hide(service: Tenant) -> None:
    tom = make_member(service.profiles.get(name="technician"), "tom")
    one = Door(service)
    channel = routed.channel_for(access(service, tom), service.slug)
    one.push(
        one.op("c1", 1, {"name": "Ada", "secret": "x1x", "undeclared": "y1y"}, collection="customers"),
        one.op("j1", 1, {"title": "Fix", "technician": "tom", "customer": "c1", "price": "9.00"}, collection="jobs"),
        one.op("j2", 1, {"title": "Other", "technician": "tess"}, collection="jobs"),
        one.op("l1", 1, {"job": "j1", "text": "pipe"}, collection="line_items"),
    )
    first = lines_of(channel, channel.born_cursor)
    replica = Fold()
    replica.apply(first)
    assert {table: set(found) for table, found in replica.types().items()} == {"customers": {"c1"}, "jobs": {"j1"}, "line_items": {"l1"}}
    assert not [word for word in (b"x1x", b"y1y", b"9.00", b"Other", b"cbor") if word in b"".join(first)]


def test_records_moved_through_a_hop_keep_their_bytes_and_their_version_for_cbor_clients(service: Tenant) -> None:
    tom = make_member(service.profiles.get(name="technician"), "tom")
    one = Door(service)
    channel = routed.channel_for(access(service, tom), service.slug)
    line = encode({"job": "j1", "text": "pipe", "undeclared": [1, 2]})
    one.push(one.op("j1", 5, {"title": "Fix", "technician": "tom"}, collection="jobs"), one.op("l1", 7, line, collection="line_items"))
    service.refresh_from_db()
    at = service.cursor
    one.put("j1", 6, {"title": "Fix", "technician": "tess", "note": "n"}, collection="jobs")
    assert sum(b'"evict"' in line for line in lines_of(channel, at)) == 2
    push(Actor(service.pk, "olga"), [Op(1, None, "jobs", "j1", "update", None, [{"op": "replace", "path": "/technician", "value": "tom"}])])
    assert sum(b'"insert"' in line for line in lines_of(channel, at)) == 2
    moved: list[Any] = [(op.version, op.body) for op in one.pull(at).ops if op.entity_id == "l1"]
    assert moved == [(7, line), (7, line)]
    assert [op.version for op in one.pull(at).ops if op.entity_id == "j1"] == [6, 7]
    assert [op.cursor for op in one.all()] == sorted({op.cursor for op in one.all()})


@pytest.mark.django_db(transaction=True)
async def test_an_open_stream_ends_when_its_user_comes_to_see_less(transactional_db: None) -> None:
    tenant = await in_thread(make_service)
    await in_thread(make_profile, tenant, "technician", technician_rules())
    reader, writer = await in_thread(Door, tenant), await in_thread(Door, tenant)
    async with serving() as port:
        async with opened(port, reader) as events:
            await events.of("connected")
            await in_thread(demote, tenant, reader.user.username)
            await in_thread(writer.put, "c1", 1, {"name": "Ada"}, collection="customers")
            kind, data = await events.next()
            assert (kind, data["code"]) == ("error", 3)
        async with AsyncClient(timeout=30) as client:
            answer = await client.get(f"http://127.0.0.1:{port}/v1/stream", headers={"Authorization": f"Bearer {reader.issued.token}"})
            assert (answer.status_code, answer.json()["code"]) == (403, 3)
