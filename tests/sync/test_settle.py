"""How ops are settled: applied, rejected with a code, or recognized as duplicates."""

import pytest

from metadata.models import ObjectField, ObjectMetadata
from metadata.publish import publish
from sync.errors import PushRejected
from sync.log.changes import hash_at, read
from sync.wire.chain import fold
from sync.wire.codes import Code
from sync.wire.ops import Op
from tenants.genesis import genesis
from tenants.tokens import revoke
from tests.builders import make_field_service, make_tenant
from tests.sync.pushing import Pusher, lines, noted, row, values

pytestmark = pytest.mark.django_db

JOB = {
    "title": "Roof",
    "price": "12.5",
    "urgent": True,
    "due": "2026-01-31",
    "starts_at": "2026-01-31T08:00:00+01:00",
    "attrs": {"b": 1, "a": 2},
}


@pytest.fixture
def acme():
    tenant = make_tenant()
    make_field_service(tenant)
    publish(tenant.pk)
    return tenant


@pytest.fixture
def phone(acme):
    return Pusher(acme)


def code_of(result):
    assert result.status == "rejected", result
    return result.code


def test_an_insert_fills_in_defaults_and_its_line_omits_nulls(acme, phone):
    result = phone.ok(phone.insert("jobs", "j1", **JOB))
    (line,) = lines(acme)
    assert (result.version, result.cursor) == (1, line["cursor"])
    assert line["payload"] == {
        "object_type": "residential",
        "status": "open",
        "title": "Roof",
        "crew": 1,
        "price": "12.50",
        "urgent": True,
        "due": "2026-01-31",
        "starts_at": "2026-01-31T07:00:00.000000Z",
        "attrs": {"b": 1, "a": 2},
    }
    assert line["device"] == phone.device.pk
    assert line["op_id"] == 1
    assert values(acme, "jobs", "j1") == line["payload"]


def test_an_explicit_null_beats_the_default(acme, phone):
    phone.ok(phone.insert("jobs", "j1", title="x", crew=None))
    assert "crew" not in values(acme, "jobs", "j1")


def test_an_update_increments_the_version_and_logs_only_changed_fields(acme, phone):
    phone.ok(phone.insert("jobs", "j1", **JOB))
    result = phone.ok(phone.update("jobs", "j1", 1, status="done", title="Roof"))
    assert (result.status, result.version) == ("applied", 2)
    assert lines(acme)[-1]["payload"] == [{"op": "replace", "path": "/status", "value": "done"}]
    assert values(acme, "jobs", "j1")["status"] == "done"


def test_all_six_patch_operations_are_applied(acme, phone):
    phone.ok(phone.insert("jobs", "j1", **JOB))
    steps = [
        {"op": "test", "path": "/title", "value": "Roof"},
        {"op": "copy", "from": "/title", "path": "/notes"},
        {"op": "move", "from": "/attrs/a", "path": "/attrs/c"},
        {"op": "add", "path": "/attrs/list", "value": [1]},
        {"op": "add", "path": "/attrs/list/-", "value": 2},
        {"op": "replace", "path": "/title", "value": "Wall"},
        {"op": "remove", "path": "/due"},
    ]
    phone.ok(phone.patch("jobs", "j1", 1, *steps))
    now = values(acme, "jobs", "j1")
    assert (now["title"], now["notes"], now["attrs"]) == ("Wall", "Roof", {"b": 1, "c": 2, "list": [1, 2]})
    assert "due" not in now


def test_settling_does_not_change_the_payload(phone):
    phone.ok(phone.insert("jobs", "j1", **JOB))
    value = {"x": [1]}
    op = phone.patch(
        "jobs",
        "j1",
        1,
        {"op": "add", "path": "/attrs/n", "value": value},
        {"op": "add", "path": "/attrs/n/x/-", "value": 2},
    )
    phone.ok(op)
    assert value == {"x": [1]}


def test_a_deleted_record_can_be_restored(acme, phone):
    phone.ok(phone.insert("jobs", "j1", **JOB))
    assert phone.ok(phone.delete("jobs", "j1", 1)).version == 2
    assert lines(acme)[-1]["payload"] is None
    assert row(acme, "jobs", "j1").deleted
    assert code_of(phone.one(phone.update("jobs", "j1", 2, title="x"))) == Code.DELETED
    assert phone.ok(phone.insert("jobs", "j1", 2, title="Again")).version == 3
    assert values(acme, "jobs", "j1") == {"object_type": "residential", "status": "open", "title": "Again", "crew": 1}


def test_deleting_a_deleted_record_is_accepted(phone):
    phone.ok(phone.insert("jobs", "j1", **JOB))
    phone.ok(phone.delete("jobs", "j1", 1))
    assert phone.ok(phone.delete("jobs", "j1", 1)).version == 3


@pytest.mark.parametrize(
    ("op", "code", "field"),
    [
        (("insert", "nothing", "a", 0, {}), Code.UNKNOWN_TABLE, None),
        (("insert", "object_metadata", "a", 0, {}), Code.READ_ONLY, None),
        (("upsert", "jobs", "a", 0, {}), Code.UNKNOWN_OP, None),
        (("insert", "jobs", "a", 0, []), Code.BAD_OP, None),
        (("insert", "jobs", "a", -1, {"title": "x"}), Code.BAD_OP, "base_version"),
        (("insert", "jobs", "", 0, {"title": "x"}), Code.BAD_ID, "id"),
        (("insert", "jobs", "a\x00", 0, {"title": "x"}), Code.BAD_ID, "id"),
        (("insert", "jobs", "\ud800", 0, {"title": "x"}), Code.BAD_ID, "id"),
        (("insert", "jobs", "x" * 129, 0, {"title": "x"}), Code.BAD_ID, "id"),
        (("insert", "jobs", "a", 0, {"title": "x", "colour": 1}), Code.UNKNOWN_FIELD, "colour"),
        (("insert", "jobs", "a", 0, {"title": "x", "id": "b"}), Code.READ_ONLY, "id"),
        (("insert", "jobs", "a", 0, {}), Code.REQUIRED, "title"),
        (("insert", "jobs", "a", 0, {"title": "x", "status": "lost"}), Code.BAD_VALUE, "status"),
        (("insert", "customers", "a", 0, {"name": "x", "status": "open"}), Code.BAD_VALUE, "status"),
        (("insert", "jobs", "a", 0, {"title": "x", "crew": 2**53}), Code.BAD_VALUE, "crew"),
        (("insert", "jobs", "a", 0, {"title": "x", "crew": True}), Code.BAD_VALUE, "crew"),
        (("insert", "jobs", "a", 0, {"title": "x", "distance": float("nan")}), Code.BAD_VALUE, "distance"),
        (("insert", "jobs", "a", 0, {"title": "\ud800"}), Code.BAD_VALUE, "title"),
        (("insert", "jobs", "a", 0, {"title": "x", "attrs": {"__proto__": 1}}), Code.BAD_VALUE, "attrs"),
        (("insert", "jobs", "a", 0, {"title": "x" * 200_000}), Code.TOO_LARGE, "title"),
        (("insert", "jobs", "a", 0, {"title": "x", "customer": "nobody"}), Code.MISSING_REFERENCE, "customer"),
        (("insert", "jobs", "there", 0, {"title": "x"}), Code.EXISTS, "id"),
        (("insert", "jobs", "a", 3, {"title": "x"}), Code.BASE_VERSION, "base_version"),
        (("update", "jobs", "nowhere", 1, []), Code.NOT_FOUND, None),
        (("update", "jobs", "there", 9, []), Code.BASE_VERSION, "base_version"),
        (("update", "jobs", "there", 1, {"title": "x"}), Code.BAD_PATCH, None),
        (("update", "jobs", "there", 1, [{"op": "replace", "path": "/title", "value": None}]), Code.REQUIRED, "title"),
        (("update", "jobs", "there", 1, [{"op": "remove", "path": "/title"}]), Code.REQUIRED, "title"),
        (
            ("update", "jobs", "there", 1, [{"op": "replace", "path": "/version", "value": 9}]),
            Code.READ_ONLY,
            "version",
        ),
        (
            ("update", "jobs", "there", 1, [{"op": "replace", "path": "/colour", "value": 9}]),
            Code.UNKNOWN_FIELD,
            "colour",
        ),
        (("update", "jobs", "there", 1, [{"op": "replace", "path": "", "value": {}}]), Code.BAD_PATCH, None),
        (("update", "jobs", "there", 1, [{"op": "replace", "path": "/title"}]), Code.BAD_PATCH, None),
        (("update", "jobs", "there", 1, [{"op": "test", "path": "/title", "value": "y"}]), Code.BAD_PATCH, None),
        (("update", "jobs", "there", 1, [{"op": "remove", "path": "/attrs/none"}]), Code.BAD_PATCH, None),
        (
            ("update", "jobs", "there", 1, [{"op": "copy", "from": "/colour", "path": "/title"}]),
            Code.UNKNOWN_FIELD,
            "colour",
        ),
        (("update", "jobs", "there", 1, ["title"]), Code.BAD_PATCH, None),
        (("update", "jobs", "there", 1, [{"op": "test", "path": "/title", "value": "x"}] * 501), Code.TOO_LARGE, None),
        (("delete", "jobs", "nowhere", 0, None), Code.NOT_FOUND, None),
        (("settle", "jobs", "there", 0, {"conflict": "x", "resolution": "theirs"}), Code.UNKNOWN_CONFLICT, "settles"),
        (("settle", "jobs", "there", 0, {"conflict": "x", "resolution": "mine"}), Code.BAD_OP, "resolution"),
        (("settle", "jobs", "there", 0, None), Code.BAD_OP, "resolution"),
    ],
)
def test_an_invalid_op_is_rejected_with_a_code_and_changes_nothing(acme, phone, op, code, field):
    phone.ok(phone.insert("jobs", "there", title="x", attrs={"a": 1}))
    before = lines(acme)
    result = phone.one(phone.op(*op))
    assert (code_of(result), result.field) == (code, field)
    assert result.message
    assert result.message.encode()
    assert lines(acme) == before
    phone.ok(phone.insert("jobs", "after", title="x"))


def test_a_patch_of_copies_that_grows_too_large_is_rejected(phone):
    phone.ok(phone.insert("jobs", "j1", title="x", attrs={"a": "x" * 1000}))
    doubling = [{"op": "copy", "from": "/attrs", "path": f"/attrs/{n}"} for n in range(100)]
    assert code_of(phone.one(phone.patch("jobs", "j1", 1, *doubling))) in (Code.TOO_LARGE, Code.BAD_PATCH)


def test_ops_on_a_retired_field_or_table_are_rejected_as_retired(acme, phone):
    ObjectField.objects.filter(object_type__tenant=acme, name="notes").update(retired=True)
    ObjectMetadata.objects.filter(tenant=acme, object_name="line_item").update(retired=True)
    publish(acme.pk)
    field = phone.one(phone.insert("jobs", "j1", title="x", notes="y"))
    assert (field.code, field.field) == (Code.RETIRED, "notes")
    assert code_of(phone.one(phone.insert("line_items", "i1", text="y"))) == Code.RETIRED


def test_a_reference_to_a_deleted_record_is_accepted(phone):
    phone.ok(phone.insert("customers", "c1", name="Ann"))
    phone.ok(phone.delete("customers", "c1", 1))
    phone.ok(phone.insert("jobs", "j1", title="x", customer="c1"))


def test_inside_a_tx_a_child_may_come_before_its_parent(phone):
    job = phone.op("insert", "jobs", "j1", 0, {"title": "x", "customer": "c1"}, tx="t")
    customer = phone.op("insert", "customers", "c1", 0, {"name": "Ann"}, tx="t")
    assert [r.status for r in phone.push(job, customer)] == ["applied", "applied"]


def test_a_tx_is_atomic(acme, phone):
    good = phone.op("insert", "customers", "c1", 0, {"name": "Ann"}, tx="t")
    bad = phone.op("insert", "jobs", "j1", 0, {"title": "x", "customer": "c9"}, tx="t")
    other = phone.op("insert", "customers", "c2", 0, {"name": "Bea"})
    results = phone.push(good, bad, other)
    assert [r.status for r in results] == ["rejected", "rejected", "applied"]
    assert [r.code for r in results] == [Code.TX_ABORTED, Code.MISSING_REFERENCE, None]
    assert [line["id"] for line in lines(acme)] == ["c2"]
    # The rejected tx also leaves nothing in memory: its ID and unique values are free.
    assert phone.ok(phone.insert("customers", "c1", name="Ann")).version == 1


def test_later_ops_of_a_push_see_earlier_ones(acme, phone):
    ops = [
        phone.insert("jobs", "j1", title="a"),
        phone.update("jobs", "j1", 0, title="b"),
        phone.update("jobs", "j1", 0, notes="c"),
    ]
    assert [r.version for r in phone.push(*ops)] == [1, 2, 3]
    assert values(acme, "jobs", "j1")["title"] == "b"
    assert [line["cursor"] for line in lines(acme)] == [4, 5, 6]


def test_unique_values_are_unique_among_live_records_also_within_one_push(phone):
    results = phone.push(
        phone.insert("customers", "c1", name="a", code="A"),
        phone.insert("customers", "c2", name="b", code="A"),
        phone.insert("customers", "c3", name="c"),
        phone.insert("customers", "c4", name="d"),
    )
    assert [r.code for r in results] == [None, Code.UNIQUE, None, None]
    assert results[1].field == "code"
    assert code_of(phone.one(phone.insert("customers", "c5", name="e", code="A"))) == Code.UNIQUE
    phone.ok(phone.delete("customers", "c1", 1))
    phone.ok(phone.insert("customers", "c5", name="e", code="A"))
    assert code_of(phone.one(phone.insert("customers", "c1", 2, name="a", code="A"))) == Code.UNIQUE


def test_two_records_can_swap_their_unique_values_in_a_tx(acme, phone):
    phone.push(phone.insert("customers", "c1", name="a", code="A"), phone.insert("customers", "c2", name="b", code="B"))
    swap = [
        phone.op("update", "customers", "c1", 1, [{"op": "replace", "path": "/code", "value": "B"}], tx="s"),
        phone.op("update", "customers", "c2", 1, [{"op": "replace", "path": "/code", "value": "A"}], tx="s"),
    ]
    assert [r.status for r in phone.push(*swap)] == ["applied", "applied"]
    assert values(acme, "customers", "c1")["code"] == "B"


def test_a_record_that_its_tx_deletes_takes_no_unique_value(acme, phone):
    """Its tombstone keeps the value, and a tombstone holds none."""
    phone.ok(phone.insert("customers", "c1", name="a", code="A"))
    ops = [
        phone.op("insert", "customers", "c2", 0, {"name": "b", "code": "A"}, tx="t"),
        phone.op("delete", "customers", "c2", 1, tx="t"),
    ]
    assert [r.status for r in phone.push(*ops)] == ["applied", "applied"]
    assert row(acme, "customers", "c2").deleted
    assert values(acme, "customers", "c1")["code"] == "A"


def test_a_unique_value_can_be_reused_in_the_push_that_frees_it(phone):
    phone.push(phone.insert("customers", "c1", name="a", code="A"), phone.insert("customers", "c2", name="b"))
    results = phone.push(phone.delete("customers", "c1", 1), phone.update("customers", "c2", 1, code="A"))
    assert [r.status for r in results] == ["applied", "applied"]


def test_a_push_sent_again_changes_nothing(acme, phone):
    ops = [
        phone.insert("jobs", "j1", **JOB),
        phone.update("jobs", "j1", 1, title="b"),
        phone.insert("jobs", "j1", title="again"),
    ]
    first = phone.push(*ops)
    before = lines(acme)
    second = phone.push(*ops)
    assert [r.status for r in second] == ["duplicate", "duplicate", "rejected"]
    assert [(r.version, r.cursor) for r in second[:2]] == [(r.version, r.cursor) for r in first[:2]]
    assert lines(acme) == before


def test_two_devices_may_use_the_same_op_id(acme, phone):
    tablet = Pusher(acme)
    phone.ok(phone.insert("jobs", "j1", title="a"))
    tablet.ok(tablet.insert("jobs", "j2", title="a"))


def test_a_push_whose_op_ids_do_not_increase_is_rejected(acme, phone):
    one, two = phone.insert("jobs", "j1", title="a"), phone.insert("jobs", "j2", title="a")
    for ops in ((two, one), (one, one)):
        with pytest.raises(PushRejected) as refused:
            phone.push(*ops)
        assert refused.value.code == Code.OP_ORDER
    assert lines(acme) == []


def test_a_push_with_a_split_tx_is_rejected(phone):
    ops = [phone.op("insert", "jobs", f"j{n}", 0, {"title": "x"}, tx=tx) for n, tx in enumerate(["a", "b", "a"])]
    with pytest.raises(PushRejected) as refused:
        phone.push(*ops)
    assert refused.value.code == Code.OP_ORDER


def test_a_revoked_device_cannot_write(phone):
    revoke(phone.device)
    with pytest.raises(PushRejected) as refused:
        phone.push(phone.insert("jobs", "j1", title="a"))
    assert refused.value.code == Code.REVOKED


def test_a_device_of_another_tenant_cannot_write_here(acme):
    stranger = Pusher(noted())
    actor = type(stranger.actor)(acme.pk, "x", stranger.device.pk)
    stranger.actor = actor
    with pytest.raises(PushRejected):
        stranger.push(stranger.insert("jobs", "j1", title="a"))


def test_a_record_id_of_another_tenant_is_not_found(phone):
    phone.ok(phone.insert("jobs", "j1", title="a"))
    other = make_tenant()
    make_field_service(other)
    publish(other.pk)
    stranger = Pusher(other)
    assert code_of(stranger.one(stranger.update("jobs", "j1", 1, title="b"))) == Code.NOT_FOUND
    assert stranger.ok(stranger.insert("jobs", "j1", title="mine")).version == 1


def test_the_chain_of_the_log_can_be_recomputed(acme, phone):
    for n in range(3):
        phone.ok(phone.insert("jobs", f"j{n}", title="a"))
    acme.refresh_from_db()
    found = read(acme.pk, 0)
    assert fold(genesis(acme.server_epoch, acme.slug), [line for run in found.segments for line in run.lines]) == bytes(
        acme.state_hash
    )
    assert found.to_cursor == acme.cursor
    assert hash_at(acme.pk, acme.cursor) == bytes(acme.state_hash)
    assert hash_at(acme.pk, 0) == genesis(acme.server_epoch, acme.slug)
    assert hash_at(acme.pk, 999) is None


def test_the_line_of_an_op_made_long_ago_has_made_at(acme, phone):
    phone.ok(phone.op("insert", "jobs", "j1", 0, {"title": "a"}, at="2020-01-01T00:00:00Z"))
    phone.ok(phone.op("insert", "jobs", "j2", 0, {"title": "a"}, at="2999-01-01T00:00:00Z"))
    dated, undated = lines(acme)
    assert dated["made_at"] == "2020-01-01T00:00:00.000000Z"
    assert "made_at" not in undated
    assert code_of(phone.one(phone.op("insert", "jobs", "j3", 0, {"title": "a"}, at="yesterday"))) == Code.BAD_VALUE


def test_an_op_of_the_server_itself_needs_no_version(acme, phone):
    phone.ok(phone.insert("jobs", "j1", title="a"))
    phone.ok(phone.update("jobs", "j1", 1, title="b"))
    actor = type(phone.actor)(acme.pk, "olga")
    phone.actor = actor
    assert (
        phone.ok(Op(1, None, "jobs", "j1", "update", None, [{"op": "replace", "path": "/title", "value": "c"}])).version
        == 3
    )
    assert "device" not in lines(acme)[-1]


def test_every_kind_of_value_survives_the_database(acme, phone):
    everything = {
        **JOB,
        "notes": "Ä 𝄞 'quoted' \"twice\"",
        "crew": -(2**53) + 1,
        "distance": 0.1,
        "serial": "0190b3c4-0000-7000-8000-000000000000",
        "priority": "high",
    }
    phone.ok(phone.insert("jobs", "j1", **everything))
    assert values(acme, "jobs", "j1") == lines(acme)[-1]["payload"]
    phone.ok(
        phone.update("jobs", "j1", 1, **{**everything, "title": "other", "distance": -1e-7, "attrs": [1, {"x": None}]})
    )
    now = values(acme, "jobs", "j1")
    assert (now["distance"], now["attrs"], now["starts_at"]) == (-1e-7, [1, {"x": None}], "2026-01-31T07:00:00.000000Z")
