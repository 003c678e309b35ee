"""Tests of routing values, routes, and the sides of changes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metadata.access import ObjectAccess, Rules, channel_key, client_rights, problems_of, resolve
from metadata.schema import Choice, FieldSpec, ObjectSpec, TenantSchema
from sync.channels.projection import Side
from sync.channels.routing import build_plan, change_routes, channel_routes, passes
from sync.channels.sides import Found, RecordTransition, SideBuilder

CUSTOMER = ObjectSpec("customer", "customers", fields=(FieldSpec("name", "text"), FieldSpec("city", "text")))
JOB = ObjectSpec(
    "job",
    "jobs",
    statuses=(Choice("open", "Open"), Choice("done", "Done")),
    fields=(
        FieldSpec("technician", "text"),
        FieldSpec("customer", "reference", reference="customer", reference_table="customers"),
        FieldSpec("price", "decimal", decimal_places=2),
    ),
)
ITEM = ObjectSpec(
    "line_item",
    "line_items",
    fields=(FieldSpec("job", "reference", reference="job", reference_table="jobs"), FieldSpec("text", "text")),
)
SCHEMA = TenantSchema(1, 1, (CUSTOMER, JOB, ITEM))

TECHNICIAN = (
    ObjectAccess(
        "job",
        update=True,
        readable=("technician", "customer"),
        writable=("status",),
        row_filter={"technician": "$user.username"},
    ),
    ObjectAccess("line_item", create=True, row_filter={"job.technician": "$user.username"}),
    ObjectAccess("customer", row_filter={"<job.customer.technician": "$user.username"}),
)


def rules_for(username, accesses=TECHNICIAN):
    return resolve(accesses, SCHEMA, {"user.username": username}).rules


def test_users_with_the_same_values_share_a_channel_and_others_do_not():
    one = resolve(TECHNICIAN, SCHEMA, {"user.username": "tom", "user.id": 1})
    two = resolve(TECHNICIAN, SCHEMA, {"user.username": "tom", "user.id": 2})
    assert one == two
    assert channel_key(1, 1, 1, one.parameters) == channel_key(1, 1, 1, two.parameters)
    assert channel_key(1, 1, 1, one.parameters) != channel_key(1, 1, 2, one.parameters)
    assert hash(one.rules) == hash(two.rules)


def test_stored_rules_read_back_the_same():
    rules = rules_for("tom")
    assert Rules.from_data(rules.data()) == rules


def test_a_parameter_that_the_user_lacks_matches_nothing():
    rules = resolve([ObjectAccess("job", row_filter={"technician": "$membership.region"})], SCHEMA, {}).rules
    assert rules.tables[0].terms[0].allowed == frozenset()
    assert not passes(rules.tables[0].terms, {"technician": "null"})


@pytest.mark.parametrize(
    "row_filter",
    [
        {"nothing": 1},
        {"price": "much"},
        {"technician": []},
        {"technician": "$password"},
        {"technician": "$user.password"},
        {"job.a.b": 1},
        {"technician.name": "x"},
        {"<job.technician.status": "x"},
        {"<nobody.customer.status": "x"},
        {"technician": {"a": 1}},
        [],
        "x",
    ],
)
def test_an_invalid_filter_is_rejected_and_hides_its_type(row_filter):
    access = ObjectAccess("job", row_filter=row_filter or [1])
    assert problems_of(access, SCHEMA)
    assert resolve([access], SCHEMA, {}).rules.tables == ()


def test_rights_for_a_client_name_no_hidden_field():
    rights = {r["table"]: r for r in client_rights(rules_for("tom"))}
    assert rights["jobs"]["rows"] == [["technician", ["tom"]]]
    assert rights["line_items"]["rows_complete"]
    hidden = resolve([ObjectAccess("job", readable=("price",), row_filter={"technician": "tom"})], SCHEMA, {}).rules
    assert client_rights(hidden)[0]["rows"] == []
    assert not client_rights(hidden)[0]["rows_complete"]


class Memory:
    """A small in-memory database of wire values."""

    def __init__(self):
        self.tables = {"customers": {}, "jobs": {}, "line_items": {}}

    def records(self, table, ids):
        return {i: self.tables[table][i] for i in ids if i in self.tables[table]}

    def referring(self, table, reference, ids):
        ids = set(ids)
        return {i: f for i, f in self.tables[table].items() if f.alive and f.values.get(reference) in ids}

    def links(self, table, reference, field, ids):
        return [(i, f.values[reference], f.values.get(field)) for i, f in self.referring(table, reference, ids).items()]


def visible(memory, username):
    """Evaluate TECHNICIAN independently of the code under test."""
    jobs = {i: f for i, f in memory.tables["jobs"].items() if f.values.get("technician") == username}
    living = {i: f for i, f in jobs.items() if f.alive}
    return {
        "jobs": set(living),
        "line_items": {i for i, f in memory.tables["line_items"].items() if f.alive and f.values.get("job") in living},
        "customers": {
            i
            for i, f in memory.tables["customers"].items()
            if f.alive and i in {j.values.get("customer") for j in living.values()}
        },
    }


IDS = {"customers": ["c1", "c2"], "jobs": ["j1", "j2", "j3"], "line_items": ["l1", "l2", "l3", "l4"]}


@st.composite
def edits(draw):
    table = draw(st.sampled_from(sorted(IDS)))
    record_id = draw(st.sampled_from(IDS[table]))
    if draw(st.integers(0, 5)) == 0:
        return table, record_id, None
    values = {"id": record_id}
    if table == "jobs":
        values |= {
            "technician": draw(st.sampled_from(["tom", "tess", None])),
            "customer": draw(st.sampled_from(["c1", "c2", None])),
        }
    if table == "line_items":
        values |= {"job": draw(st.sampled_from(["j1", "j2", "j3", None]))}
    return table, record_id, values


@given(st.lists(st.lists(edits(), min_size=1, max_size=6), max_size=12))
@settings(max_examples=300, deadline=None)
def test_replicas_that_follow_the_sides_hold_what_the_rules_allow(batches):
    memory = Memory()
    users = {name: rules_for(name) for name in ("tom", "tess")}
    plan = build_plan(users.values())
    routes = {name: channel_routes(rules) for name, rules in users.items()}
    held = {name: {table: set() for table in IDS} for name in users}
    last = {}
    for batch in batches:
        steps, after = [], {t: dict(r) for t, r in memory.tables.items()}
        for table, record_id, values in batch:
            old = after[table].get(record_id)
            if values is None and (old is None or not old.alive):
                continue
            new = Found(old.values if values is None else values, values is not None)
            steps.append(
                RecordTransition(
                    table, record_id, old.values if old else None, bool(old and old.alive), new.values, new.alive
                )
            )
            after[table][record_id] = new
        sides, reroutes = SideBuilder(plan, memory).build(steps)
        memory.tables = after
        moves = [(s.table, s.record_id, side) for s, side in zip(steps, sides, strict=True)] + [
            (r.table, r.record_id, r.side) for r in reroutes
        ]
        for table, record_id, side in moves:
            assert last.get((table, record_id)) == side.before
            last[table, record_id] = side.after
            for name, rules in users.items():
                terms = rules.by_table[table].terms
                was = side.before is not None and passes(terms, side.before)
                stays = side.after is not None and passes(terms, side.after)
                if was or stays:
                    assert routes[name] & change_routes(plan.by_table[table], side.before, side.after)
                assert was == (record_id in held[name][table])
                (held[name][table].add if stays else held[name][table].discard)(record_id)
                if stays and not was and side.before is not None:
                    assert side.image is not None
        for name in users:
            assert held[name] == visible(memory, name)


def test_a_side_reads_back_the_same():
    side = Side({"a": '"x"', "<b": ['"y"']}, None, {"id": "1", "n": 2})
    assert Side.decode(side.encode()) == side
