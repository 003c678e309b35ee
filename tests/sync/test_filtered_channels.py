"""Tests of filtered channels: what they show, their chain, and their lifetime."""

import itertools
from dataclasses import replace

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from metadata.catalog import schema_of
from metadata.models import AccessRule
from sync.channels import channel_log
from sync.channels.row_filter_sql import visible
from sync.channels.upkeep import retire_outdated
from sync.errors import AccessChanged, LogPruned
from sync.log.prune import prune
from sync.models import ChangeRoute, ChangeSide
from sync.records import rows, sql
from sync.records.columns import table_of
from sync.settle.push import push
from sync.wire.chain import fold
from sync.wire.lines import decode_line
from sync.wire.ops import Actor, Op
from tenants.models import Membership
from tests.sync.access_builders import Fold, access, make_member, make_profile, make_service, shown, technician_rules

pytestmark = pytest.mark.django_db

IDS = {"customers": ["c1", "c2"], "jobs": ["j1", "j2", "j3"], "line_items": ["l1", "l2", "l3"]}
_ids = itertools.count(1)


def office(tenant, *ops):
    actor = Actor(tenant.pk, "olga")
    return push(actor, [Op(next(_ids), None, *op) for op in ops])


def insert(table, record_id, **values):
    return (table, record_id, "insert", None, values)


def update(table, record_id, **values):
    return (
        table,
        record_id,
        "update",
        None,
        [{"op": "replace", "path": f"/{k}", "value": v} for k, v in values.items()],
    )


def delete(table, record_id):
    return (table, record_id, "delete", None, None)


def read_all(channel, after=0):
    lines = []
    while True:
        chunk = channel_log.read(channel, after, 7)
        lines += [one.line for one in chunk.lines]
        if chunk.to_cursor == after:
            return lines, after
        after = chunk.to_cursor


def visible_ids(tenant, rules, table):
    schema = schema_of(tenant.pk, tenant.schema_version)
    vendor = "postgresql" if sql.postgresql() else "sqlite"
    name = table_of(tenant.pk, schema.by_table[table])

    def found(few):
        condition, values = visible(schema, table, rules, vendor, few=few)
        return {
            i
            for (i,) in sql.fetch(
                f'SELECT {name}."id" FROM {name} WHERE NOT {name}."_deleted" AND ({condition})', values
            )
        }

    assert found(few=True) == found(few=False)
    return found(few=False)


@pytest.fixture
def service(db):
    tenant = make_service()
    profile = make_profile(tenant, "technician", technician_rules())
    people = {name: make_member(profile, name) for name in ("tom", "tess")}
    return tenant, profile, people


def test_a_record_moved_through_a_hop_has_the_version_its_line_says(service):
    tenant, _, people = service
    channel = channel_log.channel_for(access(tenant, people["tom"]), tenant.slug)
    office(
        tenant, insert("jobs", "j1", title="Fix", technician="tess"), insert("line_items", "l1", job="j1", text="pipe")
    )
    office(tenant, update("jobs", "j1", technician="tom"))
    change = next(line for line in map(decode_line, read_all(channel, channel.born_cursor)[0]) if line["id"] == "l1")
    spec = schema_of(tenant.pk, tenant.schema_version).by_table["line_items"]
    row = rows.records(tenant.pk, spec, ["l1"])["l1"]
    assert (row.version, row.cursor) == (change["version"], change["cursor"]) == (2, channel.born_cursor + 4)


def test_a_technician_sees_own_jobs_their_customers_and_line_items(service):
    tenant, _, people = service
    channel = channel_log.channel_for(access(tenant, people["tom"]), tenant.slug)
    office(
        tenant,
        insert("customers", "c1", name="Ada", secret="x"),
        insert("jobs", "j1", title="Fix", technician="tom", customer="c1", price="9.00"),
    )
    office(
        tenant,
        insert("line_items", "l1", job="j1", text="pipe"),
        insert("jobs", "j2", title="Other", technician="tess"),
    )
    replica = Fold()
    lines, at = read_all(channel, channel.born_cursor)
    replica.apply(lines)
    assert {t: set(r) for t, r in replica.types().items()} == {
        "customers": {"c1"},
        "jobs": {"j1"},
        "line_items": {"l1"},
    }
    assert all(secret not in b"".join(lines) for secret in (b"secret", b"price", b"Other"))
    office(tenant, update("jobs", "j1", technician="tess"))
    more, _ = read_all(channel, at)
    assert sorted(b'"evict"' in line for line in more) == [True, True, True]
    assert b"olga" not in b"".join(more)


def test_i8_to_point_at_a_hidden_record_does_not_bring_it_into_sight(service):
    """A filter over a hop down shows the customers of a member's jobs.

    Without this check, a member who may write that reference could find every customer by guessing.
    """
    tenant, profile, _ = service
    rule = AccessRule.objects.get(profile=profile, object_name="job")
    rule.can_create, rule.writable_fields = True, ["title", "technician", "customer"]
    rule.save()
    tom = make_member(profile, "tim")
    rule = AccessRule.objects.get(profile=profile, object_name="customer")
    rule.can_create = rule.can_update = True
    rule.save()
    office(
        tenant,
        insert("customers", "cust-0001", name="Eve", secret="x"),
        insert("customers", "c1", name="Ada"),
        insert("jobs", "j1", title="a", technician="tim", customer="c1"),
        insert("jobs", "j2", title="b", technician="tim"),
        insert("jobs", "j9", title="c", technician="tess", customer="cust-0001"),
    )
    actor = Actor(tenant.pk, "tim", user_id=tom.pk)

    def one(*ops, tx=None):
        return [(r.status, r.code) for r in push(actor, [Op(next(_ids), tx, *op) for op in ops])]

    rejected = ("rejected", "missing_reference")
    assert one(update("jobs", "j1", customer="cust-0001")) == [rejected]
    assert one(insert("jobs", "j3", title="x", technician="tim", customer="cust-0001")) == [rejected]
    assert one(update("jobs", "j1", customer="nobody")) == [rejected]
    answers = one(update("jobs", "j1", customer="cust-0001"), update("customers", "cust-0001", name="mine"), tx="t")
    assert answers[0] == rejected and answers[1][0] == "rejected"
    assert one(update("jobs", "j2", customer="c1")) == [("applied", None)], "a customer that they see"
    new = (
        insert("customers", "c-new", name="New"),
        insert("jobs", "j-new", title="x", technician="tim", customer="c-new"),
    )
    assert one(*new, tx="u") == [("applied", None)] * 2, "a customer that the tx itself creates"
    assert (
        one(update("jobs", "j1", customer="c-new"), update("jobs", "j2", customer="c-new"), tx="v")
        == [("applied", None)] * 2
    )
    assert one(update("jobs", "j1", customer="c1")) == [rejected], "no longer visible"


@pytest.mark.parametrize("who", ["office", "tom"])
def test_a_record_made_and_deleted_in_one_tx_cannot_refer_to_what_is_not_there_or_hidden(service, who):
    """The record's tombstone keeps the reference.

    Without this check, the database would reject the whole batch, and a hidden ID would differ from an unused one.
    """
    tenant, _, people = service
    office(
        tenant,
        insert("jobs", "j-mine", title="a", technician="tom"),
        insert("jobs", "j-hidden", title="b", technician="tess"),
    )
    actor = Actor(tenant.pk, "olga") if who == "office" else Actor(tenant.pk, "tom", user_id=people["tom"].pk)

    def in_one_tx(job, first):
        made = [*first, update("line_items", "l1", job=job)] if first else [insert("line_items", "l1", job=job)]
        made.append(delete("line_items", "l1"))
        return [r.code for r in push(actor, [Op(next(_ids), "t", *op) for op in made])]

    changed = [insert("line_items", "l1", job="j-mine")]
    if who == "office":
        assert in_one_tx("j-missing", []) == ["missing_reference", "tx_aborted"]
        assert in_one_tx("j-missing", changed) == ["missing_reference", "tx_aborted", "tx_aborted"]
        assert in_one_tx("j-hidden", []) == [None, None]
    else:
        for first in ([], changed):
            answers = in_one_tx("j-missing", first)
            assert None not in answers and answers == in_one_tx("j-hidden", first)
        assert in_one_tx("j-mine", []) == [None, None]


edits = st.one_of(
    st.tuples(
        st.just("jobs"),
        st.sampled_from(IDS["jobs"]),
        st.fixed_dictionaries(
            {},
            optional={
                "technician": st.sampled_from(["tom", "tess", None]),
                "customer": st.sampled_from(["c1", "c2", None]),
                "price": st.sampled_from(["1.00", "2.00"]),
                "status": st.sampled_from(["open", "done"]),
            },
        ),
    ),
    st.tuples(
        st.just("line_items"),
        st.sampled_from(IDS["line_items"]),
        st.fixed_dictionaries(
            {}, optional={"job": st.sampled_from(["j1", "j2", "j3", None]), "text": st.sampled_from(["a", "b"])}
        ),
    ),
    st.tuples(
        st.just("customers"),
        st.sampled_from(IDS["customers"]),
        st.fixed_dictionaries({}, optional={"secret": st.sampled_from(["s", "t"])}),
    ),
    st.tuples(st.sampled_from(sorted(IDS)), st.integers(0, 1), st.none()),
)

filters = {
    "job": [
        {},
        {"technician": "$user.username"},
        {"technician": ["$user.username", None]},
        {"customer": "c1", "technician": "tom"},
    ],
    "line_item": [
        {},
        {"job.technician": "$user.username"},
        {"job.status": "open"},
        {"text": "a", "job.customer": ["c1"]},
    ],
    "customer": [{}, {"<job.customer.technician": "$user.username"}, {"<job.customer.status": ["done"]}],
}


@st.composite
def profiles(draw):
    rules = {}
    for name, offered in filters.items():
        if draw(st.integers(0, 4)) == 0:
            continue
        rules[name] = {"row_filter": draw(st.sampled_from(offered))}
        if name == "job":
            rules[name]["readable_fields"] = draw(st.sampled_from([None, ["title", "technician"], []]))
            rules[name]["statuses"] = draw(st.sampled_from([[], ["open"]]))
    return rules


def applied(tenant, present, table, record_id, values):
    """Push one edit as the office: an insert, an update, or a delete, whichever is valid."""
    if values is None:
        record_id = IDS[table][record_id]
        return office(tenant, delete(table, record_id))[0]
    if (table, record_id) in present:
        return office(tenant, update(table, record_id, **values))[0]
    return office(
        tenant,
        insert(
            table,
            record_id,
            **({"title": "t"} if table == "jobs" else {"name": "n"} if table == "customers" else {}),
            **values,
        ),
    )[0]


@given(first=profiles(), second=profiles(), batches=st.lists(edits, max_size=14))
@settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_replicas_hold_what_an_independent_evaluation_says_at_every_cursor(db, first, second, batches):
    with transaction.atomic():
        _walk(first, second, batches)
        transaction.set_rollback(True)


def _walk(first, second, batches):
    tenant = make_service()
    rules = {"tom": first, "tess": second}
    people = {name: make_member(make_profile(tenant, name, rules[name]), f"{name}-{next(_ids)}") for name in rules}
    for user in people.values():
        type(user).objects.filter(pk=user.pk).update(username=user.username)
    for name, user in people.items():  # the filters compare user names
        user.username = name + "x" if type(user).objects.filter(username=name).exists() else name
        user.save()
    channels = {name: channel_log.channel_for(access(tenant, user), tenant.slug) for name, user in people.items()}
    replicas = {name: Fold() for name in people}
    chains = {name: channel_log.hash_at(channel, channel.born_cursor) for name, channel in channels.items()}
    at = {name: channel.born_cursor for name, channel in channels.items()}
    present = set()
    for table, record_id, values in batches:
        result = applied(tenant, present, table, record_id, values)
        if not result.accepted:
            continue
        if values is None:
            present.discard((table, IDS[table][record_id]))
        else:
            present.add((table, record_id))
        for name, channel in channels.items():
            lines, at[name] = read_all(channel, at[name])
            chains[name] = fold(chains[name], lines)
            replicas[name].apply(lines)
            member = Membership.objects.get(user=people[name])
            expected = shown(tenant, rules[name], people[name], member)
            got = replicas[name].types()
            assert {t: r for t, r in got.items() if r} == {t: r for t, r in expected.items() if r}, (
                name,
                table,
                record_id,
                values,
            )
            for object_table, records in expected.items():
                assert visible_ids(tenant, channel.rules, object_table) == set(records)
            assert channel_log.hash_at(channel, at[name]) == chains[name]


def test_a_tenant_without_filtered_profiles_stores_no_sides():
    tenant = make_service()
    office(tenant, insert("jobs", "j1", title="a"))
    assert not ChangeSide.objects.filter(tenant=tenant).exists()


def test_a_pruned_log_leaves_a_filtered_channel_its_chain(service):
    tenant, _, people = service
    channel = channel_log.channel_for(access(tenant, people["tom"]), tenant.slug)
    for n in range(6):
        office(tenant, insert("jobs", f"j{n}", title="x", technician="tom" if n % 2 else "tess"))
    tenant.refresh_from_db()
    before = channel_log.hash_at(channel, tenant.cursor)
    prune(tenant.pk, keep_days=-1, keep_changes=2)
    tenant.refresh_from_db()
    assert tenant.pruned_cursor == tenant.cursor - 2
    assert channel_log.hash_at(channel, tenant.cursor) == before
    assert channel_log.hash_at(channel, tenant.pruned_cursor - 1) is None
    with pytest.raises(LogPruned):
        channel_log.read(channel, tenant.pruned_cursor - 1)
    assert not ChangeRoute.objects.filter(tenant=tenant, cursor__lte=tenant.pruned_cursor).exists()


def test_a_filtered_channel_reads_only_its_own_changes(service):
    tenant, _, people = service
    channel = channel_log.channel_for(access(tenant, people["tom"]), tenant.slug)
    for n in range(50):
        office(tenant, insert("jobs", f"j{n}", title="x", technician="tom" if n == 20 else "tess"))
    read = []
    original = channel_log._projected

    def counted(tenant_id, cursors, rules):
        read.extend(cursors)
        return original(tenant_id, cursors, rules)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(channel_log, "_projected", counted)
        lines, _ = read_all(channel, channel.born_cursor)
    assert len(lines) == len(read) == 1


def test_a_channel_that_no_longer_exists_is_rejected_and_created_again(service):
    tenant, profile, people = service
    stale = access(tenant, people["tom"])
    channel = channel_log.channel_for(stale, tenant.slug)
    AccessRule.objects.get(profile=profile, object_name="job").save()
    with pytest.raises(AccessChanged):
        channel_log.read(channel, channel.born_cursor)
    with pytest.raises(AccessChanged):
        channel_log.channel_for(replace(stale, channel="0" * 32), tenant.slug)
    again = channel_log.channel_for(access(tenant, people["tom"]), tenant.slug)
    assert again.key != channel.key
    assert retire_outdated(tenant.pk) == 1
