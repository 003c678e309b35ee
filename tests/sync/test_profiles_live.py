"""Filtered channels over real sockets: what arrives, what leaves, what happens when rights change under a client."""

import asyncio
import json
import sqlite3
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from metadata.models import AccessRule
from sync.settle.push import push
from sync.wire.chain import fold
from sync.wire.ops import Actor, Op
from tenants.models import Membership, SecurityProfile
from tenants.tokens import issue_device
from tests.sync.access_builders import make_member, make_profile, make_service, shown, technician_rules
from tests.sync.live import Live, in_thread, serving

pytestmark = pytest.mark.django_db(transaction=True)


class Filtered(Live):
    """A client of a filtered channel: installs the snapshot, folds what follows, keeps every message it received."""

    def __init__(self, socket, issued, before=None):
        super().__init__(socket, issued)
        self.tables, self.words, self.held = {}, [], ""
        if before is not None:
            self.tables, self.words, self.held = before.tables, before.words, before.held
            self.cursor, self.state_hash, self.schema_version, self.epoch = (
                before.cursor,
                before.state_hash,
                before.schema_version,
                before.epoch,
            )

    async def receive(self):
        async with asyncio.timeout(20):
            data = await self.socket.recv()
        self.words.append(data if isinstance(data, bytes) else data.encode())
        if isinstance(data, bytes):
            size = int.from_bytes(data[:4], "big")
            return {"type": "binary", **json.loads(data[4 : 4 + size]), "data": data[4 + size :]}
        head, *lines = data.split("\n")
        message = json.loads(head)
        if message["type"] == "ping":
            await self.say("pong", ref=message.get("ref"), cursor=self.cursor)
            return await self.receive()
        if message["type"] == "changes":
            self._apply(message, lines)
        return message

    def _apply(self, message, lines):
        assert message["from"] == self.cursor, (message, self.cursor)
        self.state_hash = fold(bytes.fromhex(self.state_hash), [line.encode() for line in lines]).hex()
        assert message["state_hash"] == self.state_hash
        self.schema_version = message["schema_version"]
        for line in map(json.loads, lines):
            assert self.cursor < line["cursor"] <= message["to"]
            records = self.tables.setdefault(line["table"], {})
            if line["op"] == "insert":
                assert line["id"] not in records
                records[line["id"]] = (line["version"], {k: v for k, v in line["payload"].items() if v is not None})
            elif line["op"] == "update":
                version, values = records[line["id"]]
                assert line["version"] == version + 1
                values = {**values, **{step["path"][1:]: step.get("value") for step in line["payload"]}}
                records[line["id"]] = (line["version"], {k: v for k, v in values.items() if v is not None})
            else:
                del records[line["id"]]
            self.lines.append(line)
        self.cursor = message["to"]

    async def follow(self):
        """Say hello, install a snapshot if that is how, and be live."""
        self.welcome = await self.hello(channel=self.held, cursor=self.cursor, state_hash=self.state_hash)
        await self.say("subscribe", channel=self.held, **self.state)
        message = await self.until("catch_up")
        self.mode = message["mode"]
        if message["mode"] == "snapshot":
            await self.install(message["manifest"])
            await self.say("subscribe", channel=self.held, **self.state)
            assert (await self.until("catch_up"))["mode"] == "log"
        await self.until("live")
        return self

    async def install(self, manifest):
        whole = await self.download(manifest)
        replica = sqlite3.connect(":memory:")
        replica.deserialize(whole)
        self.tables = {}
        for name in manifest["tables"]:
            found = replica.execute(f'SELECT * FROM "{name}"')
            names = [column[0] for column in found.description]
            records = {}
            for row in found:
                record = dict(zip(names, row, strict=True))
                record_id, version = record.pop("id"), record.pop("version")
                if record.get("price") is not None:
                    record["price"] = f"{record['price']:.2f}"
                records[record_id] = (version, {k: v for k, v in record.items() if v is not None})
            self.tables[name] = records
        self.words.append(whole)
        self.held, self.cursor = manifest["channel"], manifest["cursor"]
        self.state_hash, self.schema_version = manifest["state_hash"], manifest["schema_version"]

    def types(self):
        return {t: r for t, r in self.tables.items() if r and t not in ("object_metadata", "layout_definition")}


@asynccontextmanager
async def client(port, issued, before=None):
    async with connect(f"ws://127.0.0.1:{port}/ws/sync", max_size=None, compression=None, close_timeout=1) as socket:
        yield Filtered(socket, issued, before)


_op = iter(range(1, 10**6))


def office(tenant, *ops):
    results = push(Actor(tenant.pk, "olga"), [Op(next(_op), None, *op) for op in ops])
    assert all(result.accepted for result in results), results
    return results[-1].cursor


def add(table, record_id, **values):
    return (table, record_id, "insert", None, values)


def change(table, record_id, **values):
    return (
        table,
        record_id,
        "update",
        None,
        [{"op": "replace", "path": f"/{k}", "value": v} for k, v in values.items()],
    )


def op(table, record_id, verb, payload=None, base=1):
    return {"op_id": next(_op), "table": table, "id": record_id, "op": verb, "base_version": base, "payload": payload}


def patch(**values):
    return [{"op": "replace", "path": f"/{k}", "value": v} for k, v in values.items()]


class Stage:
    """A tenant with two technicians on one profile, and some work."""

    def __init__(self):
        self.tenant = make_service()
        self.profile = make_profile(self.tenant, "technician", technician_rules())
        self.users = {name: make_member(self.profile, name) for name in ("tom", "tess")}
        self.devices = {name: issue_device(self.tenant, user, name) for name, user in self.users.items()}
        office(
            self.tenant,
            add("customers", "c1", name="Ada", secret="hush"),
            add("customers", "c2", name="Bob", secret="hush"),
        )
        office(
            self.tenant,
            add("jobs", "j1", title="Fix", technician="tom", customer="c1", price="9.00"),
            add("jobs", "j2", title="Paint", technician="tess", customer="c2", price="8.00"),
            add("line_items", "l1", job="j1", text="pipe"),
            add("line_items", "l2", job="j2", text="brush"),
        )

    def expected(self, name, rules=None):
        member = Membership.objects.get(user=self.users[name])
        found = shown(self.tenant, rules or technician_rules(), self.users[name], member)
        return {t: r for t, r in found.items() if r}


@pytest.fixture
def stage(transactional_db):
    return Stage()


async def test_a_technician_gets_own_work_live_and_it_leaves_when_it_is_given_away(stage):
    async with (
        serving() as port,
        client(port, stage.devices["tom"]) as tom,
        client(port, stage.devices["tess"]) as tess,
    ):
        await tom.follow()
        await tess.follow()
        assert tom.types() == await in_thread(stage.expected, "tom")
        assert tess.types() == await in_thread(stage.expected, "tess")
        assert tom.welcome["channel"] != tess.welcome["channel"]
        cursor = await in_thread(office, stage.tenant, change("jobs", "j1", technician="tess", price="99.00"))
        cursor = max(cursor, await in_thread(office, stage.tenant, add("line_items", "l3", job="j1", text="tap")))
        await tess.reach(cursor)
        await asyncio.sleep(0.1)
        assert tess.types() == await in_thread(stage.expected, "tess")
        while tom.types():
            await tom.receive()
        spoken = b"".join(tom.words)
        assert (
            b"hush" not in spoken
            and b"price" not in spoken
            and b"brush" not in spoken
            and b"secret" not in spoken
            and b"tap" not in spoken
        )


async def test_devices_of_one_user_share_a_channel(stage):
    second = await in_thread(issue_device, stage.tenant, stage.users["tom"], "second")
    async with serving() as port, client(port, stage.devices["tom"]) as one, client(port, second) as two:
        await one.follow()
        await two.follow()
        assert one.welcome["channel"] == two.welcome["channel"]
        cursor = await in_thread(office, stage.tenant, change("jobs", "j1", title="Mend"))
        await one.reach(cursor)
        await two.reach(cursor)
        assert one.state_hash == two.state_hash
        assert one.types() == two.types()


async def test_a_push_that_gives_work_away_is_answered_and_evicts(stage):
    async with serving() as port, client(port, stage.devices["tom"]) as tom:
        await tom.follow()
        results = await tom.push(op("jobs", "j1", "update", patch(technician="tess")))
        assert results[0]["status"] == "applied"
        while tom.types():
            await tom.receive()
        assert {line["op"] for line in tom.lines} == {"evict"}


async def test_what_is_hidden_is_refused_as_if_it_did_not_exist(stage):
    async with serving() as port, client(port, stage.devices["tom"]) as tom:
        await tom.follow()

        async def one(*about, **keys):
            return (await tom.push(op(*about, **keys)))[0]

        def plain(result):
            return {k: v for k, v in result.items() if k != "op_id"}

        hidden, missing = [plain(await one("jobs", record, "update", patch(title="x"))) for record in ("j2", "j9")]
        assert json.loads(json.dumps(hidden).replace("j2", "j9")) == missing
        assert missing["code"] == "not_found"
        assert (await one("jobs", "j2", "delete"))["code"] == "not_found"
        assert (await one("jobs", "j1", "delete"))["code"] == "forbidden"
        assert (await one("jobs", "j1", "update", patch(price="1.00")))["code"] == "unknown_field"
        assert (await one("jobs", "j1", "update", [{"op": "copy", "from": "/price", "path": "/title"}]))[
            "code"
        ] == "unknown_field"
        assert (await one("jobs", "j1", "update", [{"op": "test", "path": "/price", "value": "9.00"}]))[
            "code"
        ] == "unknown_field"
        assert (await one("jobs", "j1", "update", patch(customer="c2")))["code"] == "forbidden"
        assert (await one("jobs", "j7", "insert", {"title": "mine", "technician": "tom"}, base=0))[
            "code"
        ] == "forbidden"
        assert (await one("line_items", "l7", "insert", {"job": "j1", "text": "ok"}, base=0))["status"] == "applied"
        refs = [plain(await one("line_items", f"l{ref}", "insert", {"job": ref}, base=0)) for ref in ("j2", "j9")]
        assert json.loads(json.dumps(refs[0]).replace("j2", "j9")) == refs[1]
        assert refs[0]["code"] == "missing_reference"
        assert (await one("line_items", "l2", "insert", {"job": "j1"}, base=0))["code"] == "forbidden"


async def test_verification_counts_only_what_the_channel_shows(stage):
    async with serving() as port, client(port, stage.devices["tom"]) as tom:
        await tom.follow()
        await tom.say("verify", ref=5)
        found = await tom.until("verify")
        assert set(found["tables"]) == {"object_metadata", "layout_definition", "jobs", "customers", "line_items"}
        assert {
            t: n for t, (n, _) in found["tables"].items() if t in ("jobs", "customers", "line_items")
        } == dict.fromkeys(("jobs", "customers", "line_items"), 1)
        assert found["state_hash"] == tom.state_hash
        await tom.say("verify", table="jobs", ranges=[["j2", "j2"]], ref=6)
        assert (await tom.until("verify"))["ranges"] == [[0, "0" * 16]]
        await tom.say("repair", table="jobs", low=None, high=None, ref=7)
        rows = await tom.until("rows")
        assert rows["columns"] == ["id", "version", "object_type", "status", "title", "technician", "customer"]


async def test_a_changed_attribute_moves_the_client_to_another_channel_with_nothing_left_behind(stage):
    def widen():
        AccessRule.objects.get(profile=stage.profile, object_name="job").delete()
        rule = technician_rules()["job"] | {"row_filter": {"technician": "$membership.team"}}
        AccessRule.objects.create(profile=stage.profile, object_name="job", **rule)
        return rule

    rule = await in_thread(widen)
    rules = technician_rules() | {"job": rule}

    def team(*names):
        member = Membership.objects.get(user=stage.users["tom"])
        member.attributes = {"team": list(names)}
        member.save()

    await in_thread(team, "tom")
    async with serving() as port:
        async with client(port, stage.devices["tom"]) as tom:
            await tom.follow()
            assert tom.types() == await in_thread(stage.expected, "tom", rules)
            await in_thread(team, "tess")
            assert (await tom.until_closed())["code"] == "access_changed"
        async with client(port, stage.devices["tom"], tom) as again:
            await again.follow()
            assert again.welcome["chain"] == "switch" and again.mode == "snapshot"
            assert again.types() == await in_thread(stage.expected, "tom", rules)
            assert set(again.types()["jobs"]) == {"j2"}


async def until_closed(self):
    last = None
    try:
        while True:
            last = await self.receive()
    except ConnectionClosed:
        return last


Filtered.until_closed = until_closed


async def test_nothing_written_after_a_loss_of_rights_reaches_the_one_who_lost_them(stage):
    def demote_and_write():
        other = SecurityProfile.objects.create(tenant=stage.tenant, name="nothing", full_access=False)
        Membership.objects.get(user=stage.users["tom"])
        member = Membership.objects.get(user=stage.users["tom"])
        member.profile = other
        member.save()
        office(stage.tenant, change("jobs", "j1", title="after the fact"))

    async with serving() as port:
        async with client(port, stage.devices["tom"]) as tom:
            await tom.follow()
            await in_thread(demote_and_write)
            assert (await tom.until_closed())["code"] == "access_changed"
            assert b"after the fact" not in b"".join(tom.words)
        async with client(port, stage.devices["tom"], tom) as again:
            await again.follow()
            assert again.types() == {} and set(again.tables) == {"object_metadata", "layout_definition"}
            assert again.tables["object_metadata"] == {}
        assert b"after the fact" not in b"".join(again.words)


async def test_a_client_that_was_away_catches_up_on_its_channel(stage):
    async with serving() as port:
        async with client(port, stage.devices["tom"]) as tom:
            await tom.follow()
        for n in range(30):
            await in_thread(
                office, stage.tenant, add("jobs", f"t{n}", title="x", technician="tom" if n % 10 == 0 else "tess")
            )
        await in_thread(
            office, stage.tenant, change("jobs", "j2", technician="tom"), change("jobs", "j1", technician=None)
        )
        async with client(port, stage.devices["tom"], tom) as again:
            await again.follow()
            assert again.mode == "log"
            assert again.types() == await in_thread(stage.expected, "tom")


async def test_full_access_that_is_taken_away_ends_the_full_stream(stage):
    def full():
        return SecurityProfile.objects.get(tenant=stage.tenant, name="full")

    profile = await in_thread(full)

    def use(one):
        member = Membership.objects.get(user=stage.users["tom"])
        member.profile = one
        member.save()

    await in_thread(use, profile)
    async with serving() as port:
        async with client(port, stage.devices["tom"]) as tom:
            tom.tenant = stage.tenant.slug
            await tom.hello()
            await tom.say("subscribe", cursor=0, schema_version=0, state_hash=None)
            await tom.until("catch_up")
            tom.held, tom.state_hash = "full", ""
        await in_thread(use, stage.profile)
        async with client(port, stage.devices["tom"]) as again:
            await again.follow()
            assert again.types() == await in_thread(stage.expected, "tom")
