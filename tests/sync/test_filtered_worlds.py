"""Tests of I8 and I9: random profiles, members, edits, publishes, and access changes against an independent evaluation.

After every step, each member's replica must equal what the rules allow: in the log, the snapshot, the digests, REST,
and its history. A replica is folded from lines, or restarted from a snapshot if the channel changed.
`WORLDS=500 WORLD_FROM=1000 WORLD_STEPS=60` runs other worlds than the few default ones.
"""

import json
import os
import random
import sqlite3

import pytest
from django.db import transaction

from metadata.access_store import access_of
from metadata.catalog import schema_of
from metadata.models import AccessRule, ObjectField, ObjectMetadata
from metadata.publish import publish
from sync.catchup.digest import digest_of, table_digest
from sync.catchup.snapshots import service
from sync.catchup.snapshots.store import REPLICA, home
from sync.channels import channel_log
from sync.models import Conflict
from sync.records.read_transaction import read_transaction
from sync.settle.push import push
from sync.wire.chain import fold
from sync.wire.ops import Actor, Op
from tenants.errors import MoatError
from tenants.models import Membership
from tests.rest.api import Api
from tests.sync.access_builders import Fold, make_member, make_profile, make_service, shown
from tests.sync.test_filtered_channels import IDS, filters, read_all, visible_ids

pytestmark = pytest.mark.django_db(transaction=True)

FIRST, COUNT = int(os.environ.get("WORLD_FROM", "0")), int(os.environ.get("WORLDS", "3"))
STEPS = int(os.environ.get("WORLD_STEPS", "25"))
NAMES = ("tom", "tess")
SYSTEM = ("object_metadata", "layout_definition")
OBJECTS = {"jobs": "job", "customers": "customer", "line_items": "line_item"}
MORE_FILTERS = {
    "job": [
        {"technician": "$membership.who"},
        {"customer.name": "n"},
        {"<line_item.job.text": ["a", "$membership.who"]},
        {"status": None},
    ],
    "line_item": [{"job.technician": "$membership.who"}, {"job.price": "1.00"}],
    "customer": [{"<job.customer.technician": "$membership.who", "name": ["n", "m"]}, {"id": ["c1", "c9"]}],
}


class World:
    """A tenant, two members with different profiles, and the replicas of their devices."""

    def __init__(self, seed):
        self.luck = random.Random(seed)
        self.tenant = make_service()
        self.rules, self.profiles, self.replicas, self.serial = {}, {}, {}, 0
        for name in NAMES:
            self.rules[name] = self.some_rules()
            self.profiles[name] = make_profile(self.tenant, f"p-{name}", self.rules[name])
        self.people = {name: make_member(self.profiles[name], f"{name}-{seed}", who=["tom"]) for name in NAMES}
        self.has = dict(zip(NAMES, NAMES, strict=True))
        self.apis = {name: Api(self.tenant, user) for name, user in self.people.items()}
        self.versions = {}

    def some_rules(self):
        luck, rules = self.luck, {}
        for name, offered in filters.items():
            if luck.random() < 0.15:
                continue
            rules[name] = {
                "row_filter": luck.choice([*offered, *MORE_FILTERS[name]]),
                "can_create": luck.random() < 0.7,
                "can_update": luck.random() < 0.8,
                "can_delete": luck.random() < 0.5,
            }
            if name == "job":
                rules[name] |= {
                    "readable_fields": luck.choice([None, ["title", "technician"], [], ["title", "customer", "price"]]),
                    "statuses": luck.choice([[], [], ["open"]]),
                }
            if name == "customer":
                rules[name]["readable_fields"] = luck.choice([None, ["name"]])
        return rules

    # Steps

    def step(self):
        luck = self.luck
        act = luck.choices(
            [
                self.edit,
                self.member_edit,
                self.stale_edit,
                self.change_rules,
                self.change_member,
                self.swap,
                self.publish,
            ],
            [8, 4, 3, 1, 2, 1, 1],
        )[0]
        act()
        return act.__name__

    def some_op(self, base=None):
        luck, table = self.luck, self.luck.choice(list(IDS))
        record = luck.choice(IDS[table])
        values = {
            "jobs": {
                "title": "t",
                "technician": luck.choice(["tom", "tess", None]),
                "customer": luck.choice(["c1", "c2", None]),
            }
            | {"price": luck.choice(["1.00", "2.00"]), "status": luck.choice(["open", "done"])},
            "line_items": {"job": luck.choice(["j1", "j2", "j3", None]), "text": luck.choice(["a", "b"])},
            "customers": {"name": luck.choice(["n", "m"]), "secret": luck.choice(["s", "t"])},
        }[table]
        verb = luck.choice(["insert", "update", "update", "delete"])
        if verb == "insert":
            return table, record, verb, None, {k: v for k, v in values.items() if v is not None}
        if verb == "delete":
            return table, record, verb, base, None
        names = luck.sample(sorted(values), luck.randint(1, len(values)))
        return (
            table,
            record,
            verb,
            base,
            [{"op": "replace", "path": f"/{name}", "value": values[name]} for name in names],
        )

    def ops(self, base=None):
        tx = "t" if self.luck.random() < 0.3 else None
        made = []
        for _ in range(self.luck.choice([1, 1, 2, 4])):
            self.serial += 1
            made.append(Op(self.serial, tx, *self.some_op(base)))
        return made

    def edit(self):
        push(Actor(self.tenant.pk, "olga"), self.ops())

    def member_edit(self):
        """Push as a member: forbidden ops are rejected, and no rejection names what the member does not see."""
        name = self.luck.choice(NAMES)
        self.pushed(name, self.ops())

    def stale_edit(self):
        """Push on an old base, so that the ops merge or conflict."""
        self.pushed(self.luck.choice(NAMES), self.ops(base=1))

    def pushed(self, name, ops):
        user = self.people[name]
        before = self.expected(name)
        actor = Actor(self.tenant.pk, user.username, self.apis[name].device.pk, user_id=user.pk)
        for op, result in zip(ops, push(actor, ops), strict=True):
            if op.table not in before:
                assert not result.accepted, (op, result)
            elif op.op != "insert" and op.tx is None and len(ops) == 1 and op.id not in before[op.table]:
                assert result.code in ("not_found", "deleted", "base_version", "forbidden") or result.status in (
                    "merged",
                    "conflict",
                    "applied",
                )
            if result.conflict is not None:
                self.check_view(name, op.table, result.conflict)

    def check_view(self, name, table, view):
        rule = self.rules[self.has[name]].get(OBJECTS[table], {})
        readable = rule.get("readable_fields")
        for side in (view.base, view.mine, view.theirs):
            if readable is not None and side is not None:
                assert set(side) <= {*readable, "object_type", "status"}, (view, readable)

    def change_rules(self):
        name = self.luck.choice(NAMES)
        self.rules[name] = self.some_rules()
        with transaction.atomic():
            for rule in AccessRule.objects.filter(profile=self.profiles[name]):
                rule.delete()
            for object_name, about in self.rules[name].items():
                AccessRule.objects.create(profile=self.profiles[name], object_name=object_name, **about)

    def change_member(self):
        name = self.luck.choice(NAMES)
        if self.luck.random() < 0.5:
            member = self.member(name)
            member.attributes = self.luck.choice([{}, {"who": "tom"}, {"who": ["tom", "tess"]}, {"who": [None, "a"]}])
            member.save()
        else:
            user = self.people[name]
            user.username = f"{self.luck.choice(['tom', 'tess', 'else'])}{'' if self.luck.random() < 0.7 else user.pk}"
            if not type(user).objects.filter(username=user.username).exclude(pk=user.pk).exists():
                user.save()
            else:
                user.refresh_from_db()

    def swap(self):
        name = self.luck.choice(NAMES)
        member = self.member(name)
        self.has[name] = self.luck.choice(NAMES)
        member.profile = self.profiles[self.has[name]]
        member.save()

    def publish(self):
        """Publish a new field; sometimes retire a field that filters use."""
        types = ObjectMetadata.objects.filter(tenant=self.tenant)
        kind = self.luck.choice(sorted(types, key=lambda one: one.object_name))
        self.serial += 1
        ObjectField.objects.create(object_type=kind, position=50, name=f"extra{self.serial}", label="x", kind="text")
        if self.luck.random() < 0.2:
            ObjectField.objects.filter(
                object_type__tenant=self.tenant, name=self.luck.choice(["text", "price", "secret"])
            ).update(retired=True)
        publish(self.tenant.pk)

    def member(self, name):
        return Membership.objects.get(user=self.people[name])

    # Checks

    def expected(self, name):
        self.tenant.refresh_from_db()
        user = self.people[name]
        user.refresh_from_db()
        rules = {k: v for k, v in self.rules[self.has[name]].items() if self.fits(k, v)}
        return shown(self.tenant, rules, user, self.member(name))

    def fits(self, object_name, rule):
        """Return whether all fields of a rule's filter exist. A filter on a retired field hides its object type."""
        schema = schema_of(self.tenant.pk, self.tenant.schema_version)
        for key in rule["row_filter"]:
            *_, field = key.removeprefix("<").split(".")
            owner = key[1:].split(".")[0] if key.startswith("<") else key.split(".")[0] if "." in key else object_name
            if field not in ("id", "status", "object_type") and field not in schema.by_object[owner].by_name:
                return False
        return True

    def check(self, name, about):
        expected = {t: r for t, r in self.expected(name).items() if r}
        channel = channel_log.channel_for(access_of(self.tenant.pk, self.people[name].pk), self.tenant.slug)
        held = self.replicas.get(name)
        if held is None or held.key != channel.key:
            held = self.replicas[name] = Replica(channel)
        held.follow(channel)
        schema = schema_of(self.tenant.pk, self.tenant.schema_version)
        got = {t: published_only(r, schema.by_table[t]) for t, r in held.fold.types().items() if r}
        assert comparable(got) == comparable(expected), (name, about)
        assert channel_log.hash_at(channel, held.at) == held.chain, (name, about)
        newcomer = Replica(channel).fold
        assert comparable(newcomer.types()) == comparable(got), (name, about, "a newcomer")
        for table in SYSTEM:
            assert plain(newcomer.tables.get(table)) == plain(held.fold.tables.get(table)), (name, about, table)
        for table in channel.rules.by_table:
            records = expected.get(table, {})
            assert visible_ids(self.tenant, channel.rules, table) == set(records), (name, table, about)
            with read_transaction() as reader:
                digest = table_digest(reader, channel, schema, table)
                low_high = table_digest(reader, channel, schema, table, low="a", high="z")
            assert digest == low_high == digest_of((i, version) for i, (version, _) in records.items()), (
                name,
                table,
                about,
            )

    def check_rest(self, name, about):
        api, expected = self.apis[name], self.expected(name)
        for table in IDS:
            answer = api("GET", f"records/{table}/")
            if table not in expected:
                assert answer.status_code == 404, (name, about)
                continue
            found = {record.pop("id"): record for record in answer.data["results"]}
            assert {i: found[i]["version"] for i in found} == {i: v for i, (v, _) in expected[table].items()}, (
                name,
                about,
            )
            readable = self.rules[self.has[name]][OBJECTS[table]].get("readable_fields")
            for record_id in IDS[table]:
                history = api("GET", f"records/{table}/{record_id}/history/").data["results"]
                text = {
                    key
                    for change in history
                    for key in (
                        change["payload"]
                        if isinstance(change["payload"], dict)
                        else [s["path"].split("/")[1] for s in change["payload"] or ()]
                    )
                }
                if readable is not None:
                    assert text <= {*readable, "object_type", "status"}, (name, table, record_id, text)
                if record_id in expected[table]:
                    assert api("GET", f"records/{table}/{record_id}/").data["version"] == expected[table][record_id][0]
                else:
                    assert api("GET", f"records/{table}/{record_id}/").status_code == 404
        for conflict in api("GET", "conflicts/").data["results"]:
            assert Conflict.objects.get(pk=conflict["id"]).tenant_id == self.tenant.pk


class Replica:
    """A device's replica of one channel: installed from its snapshot, then updated line by line."""

    def __init__(self, channel):
        snapshot = service.make(channel)
        self.key, self.at, self.chain = channel.key, snapshot.cursor, bytes.fromhex(snapshot.manifest["state_hash"])
        self.fold = Fold(self.installed(snapshot))

    @staticmethod
    def installed(snapshot):
        raw = sqlite3.connect(f"file:{home(snapshot) / REPLICA}?mode=ro", uri=True)
        tables = {}
        for name in snapshot.manifest["tables"]:
            found = raw.execute(f'SELECT * FROM "{name}"')
            names = [column[0] for column in found.description]
            rows = [dict(zip(names, row, strict=True)) for row in found]
            tables[name] = {
                row["id"]: (
                    row["version"],
                    {k: v for k, v in row.items() if k not in ("id", "version") and v is not None},
                )
                for row in rows
            }
        raw.close()
        for table in SYSTEM:
            for record, (version, values) in tables.get(table, {}).items():
                read = {
                    k: json.loads(v) if isinstance(v, str) and v[:1] in ("{", "[") else v for k, v in values.items()
                }
                tables[table][record] = (version, read)
        return tables

    def follow(self, channel):
        lines, self.at = read_all(channel, self.at)
        self.chain = fold(self.chain, lines)
        self.fold.apply(line for line in lines)


def published_only(records, spec):
    """Return records without retired columns, which clients drop by schema commands, not by lines."""
    return {
        i: (version, {k: v for k, v in values.items() if k in ("object_type", "status", *spec.by_name)})
        for i, (version, values) in records.items()
    }


def plain(records):
    """Return system records without empty and false values, because SQLite has no booleans."""
    return {
        i: (version, {k: v for k, v in values.items() if v not in (None, False, 0)})
        for i, (version, values) in (records or {}).items()
    }


def comparable(tables):
    """Return records with all decimals in one form."""
    return {
        table: {
            i: (version, {k: f"{float(v):.2f}" if k == "price" else v for k, v in values.items()})
            for i, (version, values) in records.items()
        }
        for table, records in tables.items()
        if records
    }


@pytest.mark.parametrize("seed", range(FIRST, FIRST + COUNT))
def test_i8_i9_every_replica_is_what_an_independent_evaluation_says(transactional_db, seed):
    world = World(seed)
    if seed % 3 == 0:
        ObjectMetadata.objects.filter(tenant=world.tenant).update(conflict_policy="manual")
        ObjectField.objects.create(
            object_type=ObjectMetadata.objects.get(tenant=world.tenant, object_name="job"),
            position=40,
            name="extra",
            label="x",
            kind="text",
        )
        publish(world.tenant.pk)
    for name in NAMES:
        world.check(name, "at birth")
    for number in range(STEPS):
        try:
            did = world.step()
        except MoatError as error:
            raise AssertionError((seed, number, error)) from error
        for name in NAMES:
            world.check(name, (seed, number, did))
            if number % 8 == 7:
                world.check_rest(name, (seed, number, did))
