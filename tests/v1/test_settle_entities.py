"""Pushes and pulls of CBOR clients at the use-case level, together with live clients' ops."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metadata.publish import publish
from sync.entities.cbor import Tag, decode, encode
from sync.entities.models import EntityChange, EntityConflict, TenantSettings
from sync.log.prune import prune
from sync.log.verify import verify_log
from sync.models import Change, Conflict
from sync.settle.entity import EntityRejected
from sync.v1.pull import CursorInvalid
from tenants.models import Device, Tenant
from tests.builders import make_object_type, make_tenant
from tests.sync.pushing import Pusher, row, values
from tests.v1.conftest import Door, make_notes
from tests.v1.test_cbor import loose

pytestmark = pytest.mark.django_db
Make = Callable[[], Door]
ODD = bytes.fromhex("bf657469746c6561416661746f6d6963f97e016378797ac11a51000000ff")


def test_documents_round_trip_and_declared_fields_are_columns(door: Make, notes: Tenant) -> None:
    one = door()
    assert one.put("n1", 1_700_000_000_000, ODD).acknowledged == 1
    assert values(notes, "notes", "n1") == {"title": "A"}
    (op,) = one.all()
    assert (op.body, op.version, op.verb, op.source_op_id, op.timestamp_ms) == (
        ODD,
        1_700_000_000_000,
        "upsert",
        1,
        1_700_000_000_000,
    )
    assert not verify_log(notes.pk).problems


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bodies=st.lists(st.one_of(loose(), st.binary(max_size=20)), min_size=1, max_size=5))
def test_any_document_round_trips(notes: Tenant, bodies: list[bytes]) -> None:
    one = Door(notes)
    start = one.pull(0).next_cursor
    sent = []
    for number, body in enumerate(bodies, 1):
        record = f"{one.actor.device_id}-{number}"
        for collection in ("blobs", "notes"):
            assert one.put(record, number, body, collection=collection).conflicts == ()
            sent.append((record, collection, body))
    assert [(op.entity_id, op.collection, op.body) for op in one.pull(start).ops] == sent


def test_a_live_edit_changes_its_key_and_keeps_the_others(door: Make, notes: Tenant) -> None:
    one, live = door(), Pusher(notes)
    one.put("n1", 500, {"title": "A", "body": "x", "mine": [1.5, b"\x01"]})
    live.ok(live.update("notes", "n1", 1, title="B", body=None))
    op = one.all()[-1]
    assert decode(op.body) == {"title": "B", "mine": [1.5, b"\x01"]}
    assert op.body == encode(decode(op.body))
    assert (op.version, op.device, op.verb) == (501, live.device.pk, "upsert")
    assert one.put("n1", 501, {"title": "late"}).conflicts[0].version == 501
    one.put("n1", 502, {"title": "C"})
    assert values(notes, "notes", "n1") == {"title": "C"}


def test_a_record_of_live_clients_is_served_as_its_columns_after_each_change(door: Make, notes: Tenant) -> None:
    live, one = Pusher(notes), door()
    live.ok(live.insert("notes", "n1", title="A", price="1.50", attrs={"a": [1]}))
    live.ok(live.update("notes", "n1", 1, title="B"))
    live.ok(live.update("notes", "n1", 2, number=3))
    live.ok(live.delete("notes", "n1", 3))
    live.ok(live.insert("notes", "n1", 4, title="again"))
    for limit in (1, 2, 3, 100):
        ops = one.all(limit)
        assert [(op.verb, op.version, None if op.body is None else decode(op.body)) for op in ops] == [
            ("upsert", 1, {"title": "A", "price": "1.50", "attrs": {"a": [1]}}),
            ("upsert", 2, {"title": "B", "price": "1.50", "attrs": {"a": [1]}}),
            ("upsert", 3, {"title": "B", "price": "1.50", "attrs": {"a": [1]}, "number": 3}),
            ("delete", 4, None),
            ("upsert", 5, {"title": "again"}),
        ]


def test_deletes_tombstones_and_restore_by_a_higher_version(door: Make, notes: Tenant) -> None:
    one, live = door(), Pusher(notes)
    one.put("n1", 1, {"title": "A"})
    one.put("n1", 2, None)
    assert row(notes, "notes", "n1").deleted
    late = one.put("n1", 2, {"title": "old"})
    assert (late.conflicts[0].body, late.conflicts[0].version, late.acknowledged) == (b"", 2, 3)
    one.put("n1", 3, {"title": "new"})
    assert values(notes, "notes", "n1") == {"title": "new"}
    live.ok(live.delete("notes", "n1", 3))
    assert [(op.verb, op.version) for op in one.all()] == [("upsert", 1), ("delete", 2), ("upsert", 3), ("delete", 4)]
    assert one.put("n2", 7, None).conflicts == ()
    assert one.put("n2", 7, {"title": "older"}).conflicts[0].version == 7


def test_an_op_sent_many_times_is_applied_once_per_device(door: Make, notes: Tenant) -> None:
    one = door()
    first, second = one.op("n1", 1, {"title": "A"}), one.op("n1", 2, {"title": "B"})
    one.push(first, second, first)
    for _ in range(3):
        assert one.push(first).acknowledged == 1
        assert one.push(second, first).acknowledged == 2
    assert len(one.all()) == 2
    Change.objects.filter(tenant=notes).update(at="2020-01-01T00:00:00Z")
    Device.objects.update(last_seen_at="2020-01-01T00:00:00Z")
    prune(notes.pk, 1)
    assert one.push(first, second).conflicts == ()
    assert values(notes, "notes", "n1") == {"title": "B"}
    assert EntityChange.objects.filter(tenant=notes).count() <= 1


def test_an_upsert_of_the_same_document_adds_no_change_and_stays_known(door: Make, notes: Tenant) -> None:
    one, other = door(), door()
    one.put("n1", 1, {"title": "A"})
    echo = other.op("n1", 1, {"title": "A"})
    assert other.push(echo) == other.push(echo)
    assert len(one.all()) == 1
    one.put("n1", 2, {"title": "B"})
    assert other.push(other.op("n1", 9, {"title": "A"}, op_id=echo.op_id)).conflicts == ()
    assert values(notes, "notes", "n1") == {"title": "B"}


def test_conflicts_are_stored_once_and_end_when_the_op_is_sent_with_a_higher_version(door: Make, notes: Tenant) -> None:
    one, other = door(), door()
    make_object_type(notes, "asked", {"title": "text"}, conflict_policy="manual", table_name="asked")
    publish(notes.pk)
    one.put("n1", 5, {"title": "A"}, collection="asked")
    lost = other.op("n1", 5, {"title": "B", "more": 1}, collection="asked")
    for _ in range(2):
        pushed = other.push(lost, other.op("n2", 1, {"title": "fine"}, collection="asked", op_id=2))
        assert (pushed.acknowledged, len(pushed.conflicts)) == (2, 1)
        view = pushed.conflicts[0]
        assert (view.op, view.version, decode(view.body)) == (lost, 5, {"title": "A"})
        assert view.modified_ms
    conflict = Conflict.objects.get(tenant=notes)
    assert (conflict.state, conflict.mine, conflict.theirs) == ("open", {"title": "B"}, {"title": "A"})
    assert bytes(EntityConflict.objects.get(conflict=conflict).cbor) == lost.body
    again = other.op("n1", 6, {"title": "B", "more": 1}, collection="asked", op_id=lost.op_id)
    assert other.push(again).conflicts == ()
    conflict.refresh_from_db()
    assert (conflict.state, conflict.resolution) == ("settled", "superseded")
    assert [op.version for op in one.all() if op.entity_id == "n1"] == [5, 6]


@pytest.mark.parametrize(
    ("policy", "merges", "outcome"),
    [
        ("server_wins", False, ("A", 2, 1)),
        ("field_merge", False, ("A", 2, 1)),
        ("last_write_wins", False, ("B", 3, 0)),
        ("manual", False, ("A", 2, 1)),
        ("field_merge", True, ("A", 3, 0)),
        ("tests.v1.resolvers.Longest", False, ("both", 3, 0)),
    ],
)
def test_each_policy(db: None, settings: object, policy: str, merges: bool, outcome: tuple[str, int, int]) -> None:
    settings.MOAT = {  # type: ignore[attr-defined]
        "RESOLVERS": ["tests.v1.resolvers.Longest"],
        "V1_FIELD_MERGE": merges,
    }
    tenant = make_tenant()
    make_notes(tenant, policy)
    one, other = Door(tenant), Door(tenant)
    one.put("n1", 1, {"title": "0", "x": 1})
    one.put("n1", 2, {"title": "A", "x": 1})
    pushed = other.put("n1", 2, {"title": "0" if merges else "B", "x": 2})
    title, version, conflicts = outcome
    assert len(pushed.conflicts) == conflicts
    last = one.all()[-1]
    assert (decode(last.body)["title"], last.version) == (title, version)
    assert decode(last.body)["x"] == (2 if merges or policy == "last_write_wins" else 1)
    assert Conflict.objects.filter(tenant=tenant).count() == conflicts


def test_a_conflict_also_ends_when_its_op_is_sent_again_and_changes_nothing(db: None) -> None:
    tenant = make_tenant()
    make_notes(tenant, "manual")
    a, b = Door(tenant), Door(tenant)
    a.put("n1", 1, {"title": "A"})
    assert b.put("n1", 1, {"title": "B"}, op_id=1).conflicts
    a.put("n1", 2, {"title": "B"})
    assert not b.put("n1", 3, {"title": "B"}, op_id=1).conflicts
    conflict = Conflict.objects.get()
    assert (conflict.state, conflict.resolution) == ("settled", "superseded")


def test_a_version_that_leaves_no_room_above_it_is_rejected(door: Make, notes: Tenant) -> None:
    one, live = door(), Pusher(notes)
    for version in (2**62 + 1, 2**63 - 1):
        with pytest.raises(EntityRejected) as refused:
            one.put("n1", version, {"title": "A"})
        assert (refused.value.error.code, refused.value.error.field) == ("bad_value", "entityVersion")
    one.put("n1", 2**62, {"title": "A"})
    live.ok(live.update("notes", "n1", 1, title="B"))
    assert one.pull(0).ops[-1].version == 2**62 + 1
    assert not one.put("n1", 2**62 + 2, {"title": "C"}).conflicts
    assert values(notes, "notes", "n1") == {"title": "C"}


def test_a_push_with_an_invalid_op_is_rejected_as_a_whole(door: Make, notes: Tenant) -> None:
    one = door()
    for bad in (
        one.op("n2", 1, {"number": "no number"}),
        one.op("n2", 1, {}, collection="nowhere"),
        one.op("", 1, {}),
        one.op("n2", 1, {"due": "yesterday"}),
        one.op("object", 1, {}, collection="object_metadata"),
    ):
        with pytest.raises(EntityRejected) as refused:
            one.push(one.op("n1", 1, {"title": "A"}), bad)
        assert refused.value.position == 1
    assert one.all() == []
    one.put("n3", 1, {"due": Tag(1, 1_700_000_000.5), "price": Tag(4, [-2, 150])})
    assert values(notes, "notes", "n3") == {"due": "2023-11-14T22:13:20.500000Z", "price": "1.50"}


def test_an_unknown_collection_is_published_if_the_tenant_allows_it(door: Make, notes: Tenant) -> None:
    one = door()
    TenantSettings.objects.create(tenant=notes, unknown_collections="publish")
    one.put("p1", 1, ODD, collection="photos")
    assert [(op.collection, op.body) for op in one.all()] == [("photos", ODD)]
    with pytest.raises(EntityRejected):
        one.put("p1", 1, ODD, collection="No Such Name")


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_pages_concatenate_to_the_log_and_filters_advance(door: Make, notes: Tenant, limit: int) -> None:
    one, live = door(), Pusher(notes)
    for n in range(10):
        one.put(f"n{n % 3}", n + 1, {"title": str(n)})
        live.ok(live.insert("notes", f"live{n}", title=str(n)))
        one.put(f"b{n}", 1, {"n": n}, collection="blobs")
    everything = one.all(limit)
    assert [op.cursor for op in everything] == list(
        Change.objects.filter(tenant=notes, table_name__in=["notes", "blobs"])
        .order_by("cursor")
        .values_list("cursor", flat=True)
    )
    page = one.pull(0, limit, ["blobs"])
    found = list(page.ops)
    while page.has_more:
        page = one.pull(page.next_cursor, limit, ["blobs"])
        found += page.ops
    assert found == [op for op in everything if op.collection == "blobs"]
    notes.refresh_from_db()
    assert page.next_cursor == notes.cursor


def test_a_pruned_cursor_is_invalid_and_a_restart_receives_everything(door: Make, notes: Tenant) -> None:
    one, live = door(), Pusher(notes)
    for n in range(6):
        one.put(f"n{n}", 5, {"title": str(n), "more": n})
    one.put("n0", 6, None)
    live.ok(live.insert("notes", "live", title="L"))
    Change.objects.filter(tenant=notes).update(at="2020-01-01T00:00:00Z")
    Device.objects.update(last_seen_at="2020-01-01T00:00:00Z", last_cursor=0)
    prune(notes.pk, 1, 1)
    live.ok(live.update("notes", "live", 1, number=4))
    live.ok(live.update("notes", "n1", 1, title="edited"))
    fresh = door()
    with pytest.raises(CursorInvalid):
        fresh.pull(2)
    with pytest.raises(CursorInvalid):
        fresh.pull(10_000)
    state = {}
    for op in fresh.all(2):
        state[op.entity_id] = None if op.body is None else decode(op.body)
    wanted = {f"n{n}": {"title": str(n), "more": n} for n in range(1, 6)}
    assert state == wanted | {"n0": None, "live": {"title": "L", "number": 4}, "n1": {"title": "edited", "more": 1}}


def test_a_page_is_bounded_in_bytes(door: Make, settings: object) -> None:
    settings.MOAT = {"V1_PAGE_BYTES": 1000}  # type: ignore[attr-defined]
    one = door()
    for n in range(5):
        one.put(f"b{n}", 1, bytes(600), collection="blobs")
    assert [len(page.ops) for page in (one.pull(0), one.pull(one.pull(0).next_cursor))] == [1, 1]
    assert len(one.all()) == 5


def test_the_work_of_a_push_is_bounded(door: Make, notes: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.settle.entity.V1_PUSH_WORK", 30_000)
    one = door()
    large = [encode({"attrs": {"a": letter * 9000}}) for letter in "xy"]
    one.put("n1", 1, large[0])
    one.put("n2", 1, large[0])
    one.put("n1", 2, large[1])
    with pytest.raises(EntityRejected) as refused:
        one.push(one.op("n1", 3, large[0]), one.op("n2", 2, large[1]))
    assert (refused.value.position, refused.value.error.code) == (1, "too_large")
