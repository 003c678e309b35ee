"""I8 on SyncProtocol v1: after pulling, a device holds what an independent evaluation of its rules allows."""

import contextlib
import itertools
from collections.abc import Mapping
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from metadata.catalog import schema_of
from metadata.models import AccessRule
from sync.entities.models import PullState
from sync.records import rows
from sync.settle.entity import EntityRejected
from tenants.models import Membership, SecurityProfile, Tenant
from tests.sync.access_builders import make_member, make_profile, make_service, shown
from tests.sync.test_filtered_channels import IDS, applied, edits, profiles
from tests.v1.conftest import Door
from tests.v1.members import Holder, Key, Member

pytestmark = pytest.mark.django_db

FULL: Mapping[str, Any] = {name: {} for name in ("job", "line_item", "customer")}
OBJECTS = {"jobs": "job", "customers": "customer", "line_items": "line_item"}
_versions = itertools.count(1_700_000_000_000)

documents = {
    "jobs": st.fixed_dictionaries(
        {"title": st.sampled_from(["t", "u"])},
        optional={
            "technician": st.sampled_from(["tom", "tess", None]),
            "customer": st.sampled_from(["c1", "c2"]),
            "price": st.sampled_from(["1.00", "2.00"]),
            "status": st.sampled_from(["open", "done"]),
            "undeclared": st.integers(0, 3),
        },
    ),
    "line_items": st.fixed_dictionaries(
        {},
        optional={
            "job": st.sampled_from(["j1", "j2", "j3"]),
            "text": st.sampled_from(["a", "b"]),
            "undeclared": st.integers(0, 3),
        },
    ),
    "customers": st.fixed_dictionaries({"name": st.just("n")}, optional={"secret": st.sampled_from(["s", "t"])}),
}
puts = st.sampled_from(sorted(documents)).flatmap(
    lambda table: st.tuples(st.just(table), st.sampled_from(IDS[table]), st.one_of(documents[table], st.none()))
)
actions = st.one_of(
    st.tuples(st.just("live"), edits),
    st.tuples(st.just("office"), puts),
    st.tuples(st.just("member"), puts),
    st.tuples(st.just("page"), st.integers(1, 4)),
    st.tuples(st.just("stream"), st.integers(1, 4)),
    st.tuples(st.just("sync"), st.integers(1, 5)),
    st.tuples(st.just("rules"), profiles()),
    st.tuples(st.just("profile"), st.sampled_from(["tom", "other", "full"])),
)


class World:
    """A tenant, its office, and one member whose access changes."""

    def __init__(self, first: dict[str, Any], second: dict[str, Any]) -> None:
        self.tenant = make_service()
        self.rules: dict[str, Mapping[str, Any]] = {"full": FULL}
        self.profiles: dict[str, SecurityProfile] = {
            "full": SecurityProfile.objects.create(tenant=self.tenant, name="full-too", full_access=True)
        }
        for name, rules in (("tom", first), ("other", second)):
            self.profiles[name] = make_profile(self.tenant, name, {})
            self.set_rules(name, rules)
        self.user: User = make_member(self.profiles["tom"], "tom")
        self.now = "tom"
        self.office = Door(self.tenant)
        self.device = Holder(Member(self.tenant, self.user))
        self.present: set[Key] = set()
        self.ever: set[Key] = set()
        self.allowed: set[Key] = set()

    def set_rules(self, name: str, rules: Mapping[str, Any]) -> None:
        profile = self.profiles[name]
        profile.rules.all().delete()
        given = {
            key: {"can_create": True, "can_update": True, "can_delete": True, **about} for key, about in rules.items()
        }
        for object_name, about in given.items():
            AccessRule.objects.create(profile=profile, object_name=object_name, **about)
        self.rules[name] = given

    def move(self, name: str) -> None:
        member = Membership.objects.get(user=self.user)
        member.profile, self.now = self.profiles[name], name
        member.save()

    def expected(self) -> dict[Key, dict[str, Any]]:
        member = Membership.objects.get(user=self.user)
        seen = shown(self.tenant, self.rules[self.now], self.user, member)
        return {(table, record): values for table, found in seen.items() for record, (_, values) in found.items()}

    def put(self, door: Door, table: str, record: str, body: Any) -> None:
        self.ever.add((table, record))  # the office leaves a tombstone of a record that never existed
        with contextlib.suppress(EntityRejected):
            door.put(record, next(_versions), body, collection=table)
        self.tenant.refresh_from_db()
        found = rows.records(
            self.tenant.pk, schema_of(self.tenant.pk, self.tenant.schema_version).by_table[table], [record]
        ).get(record)
        (self.present.add if found is not None and not found.deleted else self.present.discard)((table, record))

    def do(self, kind: str, about: Any) -> None:
        if kind == "live":
            table, record, values = about
            if applied(self.tenant, self.present, table, record, values).accepted:
                key = (table, IDS[table][record] if values is None else record)
                (self.present.discard if values is None else self.present.add)(key)
        elif kind in ("office", "member"):
            self.put(self.office if kind == "office" else self.device.member, *about)
        elif kind == "page":
            self.device.step(about)
        elif kind == "stream":
            self.device.receive(about)
        elif kind == "rules":
            self.set_rules(self.now if self.now != "full" else "tom", about)
        elif kind == "profile":
            self.move(about)
        self.ever |= self.present
        self.allowed |= set(self.expected()) | {key for key in self.ever if self.shows_all_of(key[0])}
        if kind == "sync":
            self.check(about)

    def shows_all_of(self, table: str) -> bool:
        """Whether the member sees a table without a filter, including tombstones of records never seen live."""
        rule = self.rules[self.now].get(OBJECTS[table])
        return rule is not None and not rule.get("row_filter") and not rule.get("statuses")

    def check(self, limit: int) -> None:
        device = self.device.sync(limit)
        expected = self.expected()
        assert set(device.held) == set(expected)
        for key, body in device.documents().items():
            self._check_document(key, body, expected[key])
        assert not {(op.collection, op.entity_id) for op in device.received} - self.allowed, (
            "named what the member never was allowed to see"
        )
        self._check_pages(limit)

    def _check_document(self, key: Key, body: dict[str, Any], values: dict[str, Any]) -> None:
        rule = self.rules[self.now][OBJECTS[key[0]]]
        readable = rule.get("readable_fields")
        undeclared = {name: body.pop(name) for name in list(body) if name not in rows_fields(self.tenant, key[0])}
        if readable is not None:
            assert set(body) <= {*readable, "object_type", "status"}
            assert not undeclared
        assert {name: value for name, value in body.items() if value is not None}.items() <= values.items()
        # A key that the writer omitted is null in the column, or its default.
        assert {(name, value) for name, value in values.items() if name not in body} <= {
            ("status", "open"),
            ("object_type", "home"),
        }

    def _check_pages(self, limit: int) -> None:
        """For every limit, the pages give the same log in order."""
        member = self.device.member
        at = start = PullState.objects.get(device_id=member.actor.device_id).floor
        pieces: list[Any] = []
        more = start > 0 or self.now == "full"
        while more:
            page = member.pull(at, limit, stream=True)
            pieces += page.ops
            at, more = page.next_cursor, page.has_more
        assert not pieces or pieces == member.pull(start, 1000, stream=True).ops


def rows_fields(tenant: Tenant, table: str) -> set[str]:
    return set(rows.table_of(tenant.pk, schema_of(tenant.pk, tenant.schema_version).by_table[table]).fields)


@given(first=profiles(), second=profiles(), steps=st.lists(actions, max_size=16), last=st.integers(1, 4))
@settings(
    max_examples=30,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_device_holds_exactly_what_an_independent_evaluation_allows(
    db: None, first: dict[str, Any], second: dict[str, Any], steps: list[Any], last: int
) -> None:
    with transaction.atomic():
        world = World(first, second)
        for kind, about in steps:
            world.do(kind, about)
        world.do("sync", last)
        transaction.set_rollback(True)
