"""Security profiles with the Python client and a real server: I8 and I9 in filtered channels, and access changes."""

import asyncio
from pathlib import Path

import httpx
import pytest

from metadata.models import AccessRule
from moat_client.replica import Replica
from moat_client.sync import Sync
from moat_client.v1 import Config, EntityStore, SyncEngine
from sync.settle.push import push
from sync.wire.ops import Actor, Op
from tenants.models import Membership, SecurityProfile
from tenants.tokens import issue_device
from tests.contract.replicas import Client, content
from tests.contract.servers import ServerProcess
from tests.sync.access_builders import make_member, make_profile, make_service, technician_rules

pytestmark = [pytest.mark.contract, pytest.mark.django_db(transaction=True)]


class Member(Client):
    """A replica of a member of a filtered profile."""

    def __init__(self, tenant, user, url, path) -> None:
        issued = issue_device(tenant, user, path.stem)
        self.tenant, self.url, self.path = tenant, url, path
        self.device, self.token = issued.device.pk, issued.token
        self.replica = Replica.open(path)

    def follow(self):
        return asyncio.run(Sync(self.replica, self.url, token=self.token, device=self.device).once(within=60))

    def ids(self, table):
        return (
            {r["id"] for r in self.replica.find(table)}
            if table in {o.table_name for o in self.replica.objects()}
            else set()
        )


class World:
    def __init__(self, server, folder):
        self.tenant, self.server, self.folder = make_service(), server, folder
        self.profile = make_profile(self.tenant, "technician", technician_rules())
        self.users = {name: make_member(self.profile, name) for name in ("tom", "tess")}
        self.write(
            ("customers", "c1", "insert", {"name": "Ada", "secret": "hush-hush"}),
            ("jobs", "j1", "insert", {"title": "Fix", "technician": "tom", "customer": "c1", "price": "9.00"}),
            ("jobs", "j2", "insert", {"title": "Hidden-title", "technician": "tess", "price": "8.00"}),
            ("line_items", "l1", "insert", {"job": "j1", "text": "pipe"}),
            ("line_items", "l2", "insert", {"job": "j2", "text": "hidden-brush"}),
        )

    def write(self, *ops):
        results = push(
            Actor(self.tenant.pk, "olga"), [Op(n, None, *op[:3], None, op[3]) for n, op in enumerate(ops, 1)]
        )
        assert all(r.accepted for r in results), results

    def member(self, name, suffix=""):
        return Member(self.tenant, self.users[name], self.server.url, self.folder / f"{name}{suffix}.db")


def patch(**values):
    return [{"op": "replace", "path": f"/{k}", "value": v} for k, v in values.items()]


@pytest.fixture
def world(server: ServerProcess, transactional_db: None, tmp_path: Path) -> World:
    return World(server, tmp_path)


def test_i9_replicas_of_a_filtered_channel_are_equal_byte_for_byte(world: World) -> None:
    early = world.member("tom", "-early").sync()
    for n in range(5):
        world.write(
            ("jobs", f"n{n}", "insert", {"title": f"n{n}", "technician": "tom" if n % 2 else "tess"}),
            ("jobs", "j1", "update", patch(title=f"Fix {n}", price=f"{n}.00")),
            ("line_items", "l1", "update", patch(job="j2" if n % 2 else "j1")),
        )
        if n % 2:
            early.sync()
    early.sync()
    early.verify()
    late = world.member("tom", "-late").sync()
    late.verify()
    assert content(early.path) == content(late.path)


def test_i8_nothing_outside_the_channel_is_in_a_replica_file(world: World) -> None:
    tom = world.member("tom").sync()
    world.write(("jobs", "j1", "update", patch(price="77.70")), ("jobs", "j2", "update", patch(technician="tom")))
    tom.sync()
    world.write(("jobs", "j2", "update", patch(technician="tess", title="after-eviction")))
    tom.sync()
    assert tom.ids("jobs") == {"j1"} and tom.ids("line_items") == {"l1"} and tom.ids("customers") == {"c1"}
    fresh = world.member("tom", "-fresh").sync()
    fresh.replica.close()
    raw = b"".join(path.read_bytes() for path in world.folder.glob("tom-fresh.db*") if path.is_file())
    for secret in (b"hush-hush", b"Hidden-title", b"hidden-brush", b"77.7", b"price", b"secret", b"after-eviction"):
        assert secret not in raw, secret


def test_lost_access_removes_the_records_and_keeps_the_edits_readable(world: World) -> None:
    tom = world.member("tom").sync()
    tom.replica.update("jobs", "j1", {"title": "typed offline"})
    world.write(("jobs", "j1", "update", patch(technician="tess")))
    tom.follow()
    assert tom.ids("jobs") == set()
    (problem,) = tom.replica.conflicts()
    assert problem.code == "not_found"
    assert "typed offline" in str(problem)


def test_another_profile_moves_an_offline_replica_to_another_channel(world: World) -> None:
    tom = world.member("tom").sync()
    assert not tom.replica.rights("jobs").delete and tom.replica.rights("jobs").can_write("status")
    assert not tom.replica.rights("jobs").can_write("customer") and not tom.replica.rights("jobs").can_read("price")
    tom.replica.update("jobs", "j1", {"title": "typed offline"})
    readers = make_profile(
        world.tenant, "readers", {"job": {"readable_fields": ["title", "price"], "row_filter": {"technician": "tess"}}}
    )
    Membership.objects.filter(user=world.users["tom"])[0].delete()
    Membership.objects.create(tenant=world.tenant, user=world.users["tom"], profile=readers)
    issued = issue_device(world.tenant, world.users["tom"], "again")
    tom.device, tom.token = issued.device.pk, issued.token
    tom.follow()
    assert {o.table_name for o in tom.replica.objects()} == {"jobs"}
    assert [(r["id"], r["price"]) for r in tom.replica.find("jobs")] == [("j2", "8.00")]
    (problem,) = tom.replica.conflicts()
    assert problem.code == "not_found"
    assert tom.replica.rights("customers").can_read("name") is False
    tom.verify()


def test_a_gained_column_and_a_gained_type_arrive(world: World) -> None:
    tom = world.member("tom").sync()
    rule = AccessRule.objects.get(profile=world.profile, object_name="job")
    rule.readable_fields = None
    rule.save()
    tom.sync()
    assert [r["price"] for r in tom.replica.find("jobs")] == ["9.00"]
    full = SecurityProfile.objects.get(tenant=world.tenant, name="full")
    member = Membership.objects.get(user=world.users["tom"])
    member.profile = full
    member.save()
    tom.sync()
    tom.verify()
    assert tom.ids("jobs") == {"j1", "j2"}
    assert tom.replica.rights("jobs").delete


def test_rest_and_snapshots_show_a_member_what_the_channel_shows(world: World) -> None:
    tom = world.member("tom").sync()
    headers = {"Authorization": f"Bearer {tom.token}"}
    with httpx.Client(base_url=world.server.url.replace("ws", "http", 1), headers=headers) as api:
        seen = [
            api.get(path)
            for path in (
                "/api/objects/",
                "/api/layouts/",
                "/api/schema?format=json",
                "/api/records/jobs/",
                "/api/records/customers/",
                "/api/records/line_items/",
                "/api/records/jobs/?q=Hidden",
                "/api/records/jobs/j1/",
                "/api/records/jobs/j1/history/",
                "/api/conflicts/",
            )
        ]
        assert {r.status_code for r in seen} == {200}, [(r.url, r.status_code) for r in seen]
        text = " ".join(r.text for r in seen)
        for secret in ("hush", "Hidden-title", "hidden-brush", "price", "secret", '"j2"'):
            assert secret not in text, secret
        assert [r["id"] for r in api.get("/api/records/jobs/").json()["results"]] == ["j1"]
        for path in ("/api/records/jobs/j2/", "/api/records/jobs/j9/"):
            assert api.get(path).status_code == 404
            assert api.get(path).json() == api.get("/api/records/jobs/j9/").json()
        assert (
            api.get("/api/records/jobs/?price=8.00").json()["code"]
            == api.get("/api/records/jobs/?nothing=8.00").json()["code"]
        )
        assert (
            api.get("/api/records/jobs/?order=price").status_code
            == api.get("/api/records/jobs/?order=nothing").status_code
            == 400
        )
        assert api.get("/api/records/jobs/j2/history/").json() == {"results": [], "next": None}
        assert api.patch("/api/records/jobs/j1/", json={"customer": None}).status_code == 403
        assert api.patch("/api/records/jobs/j1/", json={"title": "Fixed"}).status_code == 200
        assert api.patch("/api/records/jobs/j2/", json={"title": "Fixed"}).status_code == 404
        assert api.delete("/api/records/jobs/j1/").status_code == 403


def test_a_cbor_member_and_a_live_member_of_one_profile_end_with_the_same_records(world: World, tmp_path: Path) -> None:
    """Real clients of both protocols edit records, records become visible and hidden, and the rules change."""
    tom = world.member("tom").sync()
    issued = issue_device(world.tenant, world.users["tom"], "cbor")
    store = EntityStore(tmp_path / "tom-cbor.store")
    config = Config(
        world.server.url.replace("ws", "http", 1), world.tenant.slug, issued.device.pk, lambda: issued.token
    )
    other = SyncEngine(store, config)

    def alike() -> None:
        other.sync()
        tom.follow()
        other.sync()
        for table, fields in (
            ("jobs", ("title", "technician", "customer")),
            ("customers", ("name",)),
            ("line_items", ("job", "text")),
        ):
            live = (
                {r["id"]: {f: r[f] for f in fields if r[f] is not None} for r in tom.replica.find(table)}
                if tom.ids(table)
                else {}
            )
            documents = {
                i: {k: v for k, v in d.items() if k in fields and v is not None}
                for i, d in store.collection(table).items()
            }
            assert documents == live, table

    alike()
    store.collection("jobs").put("j1", {**store.collection("jobs").get("j1"), "title": "typed in CBOR"})
    store.collection("line_items").put("l5", {"job": "j1", "text": "new", "undeclared": [1]})
    tom.replica.update("line_items", "l1", {"text": "typed live"})
    alike()
    assert store.collection("jobs").get("j1")["title"] == "typed in CBOR"
    world.write(
        ("jobs", "j2", "update", patch(technician="tom")),
        ("jobs", "j1", "update", patch(technician="tess", price="1.00")),
    )
    alike()
    assert {i for i, _ in store.collection("line_items").items()} == {"l2"}
    rule = AccessRule.objects.get(profile=world.profile, object_name="job")
    rule.row_filter = {"technician": ["tom", "tess"]}
    rule.save()
    alike()
    assert {i for i, _ in store.collection("jobs").items()} == {"j1", "j2"}
    rule.row_filter = {"technician": "nobody"}
    rule.save()
    alike()
    assert not list(store.collection("jobs").items())
    store.close()
    raw = b"".join(path.read_bytes() for path in tmp_path.glob("tom-cbor.store*"))
    for secret in (b"hush-hush", b"price", b"secret"):
        assert secret not in raw, secret
