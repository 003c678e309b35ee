"""The replica without a server: reads, writes, live views, live queries, and rejected edits."""

import sqlite3
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest
from fake_tenant import FakeTenant, field
from rig import Rig

from moat_client import InvalidEdit, MoatError, NotAReplica, Replica, UnknownRecord, UnknownTable
from moat_client.replica.edits import new_id

FIELDS = [
    field("title", required=True),
    field("price", "decimal", decimal_places=2, default="0.00"),
    field("count", "integer"),
    field("hours", "real"),
    field("done", "boolean", default=False),
    field("day", "date"),
    field("at", "datetime"),
    field("ref", "uuid"),
    field("attrs", "json"),
    field("kind", "choice", choices=[{"value": "a", "label": "A"}, {"value": "b", "label": "B"}]),
    field("parent", "reference", reference="thing", reference_table="things"),
]


@pytest.fixture
def things(tmp_path: Path):
    tenant = FakeTenant()
    tenant.publish("thing", FIELDS, statuses=[{"value": "open", "label": "Open"}, {"value": "done", "label": "Done"}])
    for n in range(6):
        tenant.change(
            "things",
            f"t{n}",
            "insert",
            {"title": f"T{n}", "price": f"{n}.50", "status": "open", "attrs": {"n": n}, "done": False},
        )
    made = Rig(tenant, tmp_path)
    made.settle()
    yield made
    made.backend.close()
    made.replica.close()


def test_every_kind_of_value_goes_in_as_python_or_wire_and_comes_out_as_wire(things: Rig) -> None:
    replica = things.replica
    record_id = replica.insert(
        "things",
        {
            "title": "Ö 😀",
            "price": Decimal("12.5"),
            "count": 2**53 - 1,
            "hours": 3,
            "done": True,
            "day": date(2026, 2, 3),
            "at": datetime(2026, 11, 21, 10, tzinfo=UTC),
            "ref": UUID(int=5),
            "attrs": {"z": [1.0, None], "a": "ü"},
            "kind": "b",
            "parent": "t1",
        },
    )
    want = {
        "title": "Ö 😀",
        "price": "12.50",
        "count": 2**53 - 1,
        "hours": 3.0,
        "done": True,
        "day": "2026-02-03",
        "at": "2026-11-21T10:00:00.000000Z",
    }
    want |= {
        "ref": "00000000-0000-0000-0000-000000000005",
        "attrs": {"z": [1.0, None], "a": "ü"},
        "kind": "b",
        "parent": "t1",
        "status": "open",
    }
    want |= {"id": record_id, "version": 0, "object_type": None}
    assert replica.get("things", record_id) == want
    things.settle()
    things.assert_in_step()
    assert replica.get("things", record_id) == want | {"version": 1}


def test_defaults_and_the_first_status_are_filled_in(things: Rig) -> None:
    record = things.replica.get("things", things.replica.insert("things", {"title": "x"}))
    assert (record["price"], record["done"], record["status"]) == ("0.00", False, "open")


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({}, "required"),
        ({"title": None}, "required"),
        ({"title": "x", "nope": 1}, "unknown_field"),
        ({"title": "x", "version": 3}, "read_only"),
        ({"title": "x", "count": 2**53}, "bad_value"),
        ({"title": "x", "hours": float("nan")}, "bad_value"),
        ({"title": "x", "price": "1.234"}, "bad_value"),
        ({"title": "a\x00b"}, "bad_value"),
        ({"title": "\ud800"}, "bad_value"),
        ({"title": "x", "kind": "c"}, "bad_value"),
        ({"title": "x", "status": "nope"}, "bad_value"),
        ({"title": "x", "attrs": {"__proto__": 1}}, "bad_value"),
        ({"title": "x", "attrs": float("inf")}, "bad_value"),
        ({"title": "x", "id": ""}, "exists"),
        ({"title": "x", "id": "t1"}, "exists"),
        ({"title": "x", "id": "a\n"}, "bad_id"),
        ({"title": "x", "id": "a" * 129}, "bad_id"),
    ],
)
def test_invalid_edits_are_rejected_and_write_nothing(things: Rig, values: dict, code: str) -> None:
    if values.get("id") == "":
        values["id"] = "t1"
    with pytest.raises(InvalidEdit) as refused:
        things.replica.insert("things", values)
    assert refused.value.code == code
    assert things.replica.status().pending == 0


def test_deep_json_is_rejected(things: Rig) -> None:
    deep: list = []
    for _ in range(40):
        deep = [deep]
    with pytest.raises(InvalidEdit):
        things.replica.update("things", "t1", {"attrs": deep})


def test_what_does_not_exist_is_named(things: Rig) -> None:
    with pytest.raises(UnknownTable):
        things.replica.find("nothing")
    with pytest.raises(UnknownTable):
        things.replica.insert("object_metadata", {"label": "x"})
    with pytest.raises(UnknownRecord):
        things.replica.update("things", "nope", {"title": "x"})
    with pytest.raises(UnknownRecord):
        things.replica.delete("things", "nope")
    with pytest.raises(InvalidEdit):
        things.replica.find("things", {"nope": 1})
    with pytest.raises(InvalidEdit):
        things.replica.find("things", {"count__near": 1})
    assert things.replica.get("things", "nope") is None


def test_conditions_orders_and_pages(things: Rig) -> None:
    replica = things.replica
    replica.update("things", "t2", {"price": "100.00"})
    ids = lambda **k: [r["id"] for r in replica.find("things", **k)]  # noqa: E731
    assert ids(where={"price__gte": "4.50"}, order="price") == ["t4", "t5", "t2"]
    assert ids(where={"price": "100"}) == ["t2"]
    assert ids(where={"done": False, "id__in": ["t1", "t3"]}, order="-id") == ["t3", "t1"]
    assert ids(where={"count": None}, order="id", limit=2, offset=1) == ["t1", "t2"]
    assert ids(where={"title__like": "T_", "title__ne": "T0"}, order="id") == ["t1", "t2", "t3", "t4", "t5"]
    assert ids(where={"attrs": {"n": 3}}) == ["t3"]
    assert replica.count("things", {"id__lt": "t3"}) == 3


def test_plain_sql_sees_the_latest_work_and_main_sees_the_base(things: Rig) -> None:
    replica = things.replica
    replica.update("things", "t1", {"title": "new"})
    replica.delete("things", "t2")
    replica.insert("things", {"title": "T9"}, record_id="t9")
    assert [r["title"] for r in replica.query("SELECT title FROM things ORDER BY id")] == [
        "T0",
        "new",
        "T3",
        "T4",
        "T5",
        "T9",
    ]
    assert replica.query("SELECT count(*) AS n FROM main.things") == [{"n": 6}]
    assert replica.query("SELECT sum(price) AS s FROM things WHERE id < :top", {"top": "t2"}) == [{"s": 2.0}]


@pytest.mark.parametrize(
    "sql", ["DELETE FROM main.things", "UPDATE things SET title = 'x'", "DROP TABLE main.things", "CREATE TABLE x (a)"]
)
def test_queries_cannot_write(things: Rig, sql: str) -> None:
    with pytest.raises(sqlite3.Error):
        things.replica.query(sql)
    assert things.replica.count("things") == 6


def test_a_transaction_is_all_or_nothing_and_sees_itself(things: Rig) -> None:
    replica = things.replica
    with pytest.raises(ZeroDivisionError), replica.transaction() as tx:
        tx.update("things", "t1", {"title": "gone"})
        assert tx.get("things", "t1")["title"] == "gone"
        _ = 1 / 0
    assert replica.get("things", "t1")["title"] == "T1"
    assert replica.status().pending == 0
    with replica.transaction() as tx:
        tx.insert("things", {"title": "parent"}, record_id="p")
        tx.update("things", "t1", {"parent": "p"})
        tx.delete("things", "t0")
    assert replica.status().pending == 3
    things.settle()
    things.assert_in_step()
    assert (
        len({line["op_id"] for line in map(__import__("json").loads, (data for _, data in things.tenant.lines[-3:]))})
        == 3
    )


def test_an_update_that_changes_nothing_makes_no_op(things: Rig) -> None:
    assert things.replica.update("things", "t1", {"title": "T1", "attrs": {"n": 1}}) is False
    assert things.replica.update("things", "t1", {"attrs": {"n": 1, "m": 2}}) is True
    assert things.replica.status().pending == 1


def test_a_record_can_be_deleted_and_made_again_before_any_sync(things: Rig) -> None:
    replica = things.replica
    replica.delete("things", "t1")
    assert replica.get("things", "t1") is None
    replica.insert("things", {"title": "again"}, record_id="t1")
    replica.update("things", "t1", {"title": "again and again"})
    assert replica.get("things", "t1")["title"] == "again and again"
    things.settle()
    things.assert_in_step()
    assert things.tenant.records["things"]["t1"]["version"] == 4


def test_a_watch_runs_again_only_when_a_table_it_reads_changed(things: Rig) -> None:
    seen, others = [], []
    watch = things.replica.watch("SELECT count(*) AS n FROM things", callback=seen.append)
    things.replica.watch("SELECT count(*) AS n FROM object_metadata", callback=others.append)
    things.replica.insert("things", {"title": "x"})
    things.replica.update("things", "t1", {"title": "y"})
    assert seen == [[{"n": 6}], [{"n": 7}]]
    assert others == [[{"n": 1}]]
    watch.close()
    things.replica.insert("things", {"title": "z"})
    assert len(seen) == 2


def test_another_connection_to_the_file_is_noticed_by_poll(things: Rig) -> None:
    seen = []
    things.replica.watch("SELECT title FROM things WHERE id = 't1'", callback=seen.append)
    assert things.replica.poll() is False
    with Replica.open(things.path) as other:
        other.update("things", "t1", {"title": "from elsewhere"})
    assert things.replica.poll() is True
    assert seen[-1] == [{"title": "from elsewhere"}]
    things.local = True
    things.settle()
    things.assert_in_step()


def test_layouts_resolve_to_the_most_specific(things: Rig) -> None:
    for n, (subtype, status) in enumerate([("*", "*"), ("*", "open"), ("big", "*"), ("big", "open")]):
        values = {
            "object_name": "thing",
            "object_type": subtype,
            "status": status,
            "label": f"{subtype}/{status}",
            "layout_json": {"type": "VerticalLayout"},
        }
        things.tenant.change("layout_definition", f"l{n}", "insert", values)
    things.settle()
    label = lambda *which: things.replica.layout_for("thing", *which)["label"]  # noqa: E731
    assert [label("big", "open"), label("big", "x"), label("small", "open"), label(None, None)] == [
        "big/open",
        "big/*",
        "*/open",
        "*/*",
    ]
    assert things.replica.layout_for("other") is None
    assert things.replica.layouts()[0]["layout_json"] == {"type": "VerticalLayout"}


def test_a_file_of_another_program_or_a_newer_client_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    con = sqlite3.connect(other)
    con.execute("CREATE TABLE x (a)")
    con.close()
    with pytest.raises(NotAReplica, match="not a Moat replica"):
        Replica.open(other)
    text = tmp_path / "text.db"
    text.write_text("hello" * 500)
    with pytest.raises(NotAReplica):
        Replica.open(text)
    newer = tmp_path / "newer.db"
    Replica.open(newer).close()
    con = sqlite3.connect(newer)
    con.execute("PRAGMA user_version = 2")
    con.close()
    with pytest.raises(NotAReplica, match="newer"):
        Replica.open(newer)
    with pytest.raises(MoatError, match="Sign in"):
        Replica.open(tmp_path / "missing.db", create=False)


def test_problems_can_only_be_decided_in_ways_that_make_sense(things: Rig) -> None:
    replica = things.replica
    with pytest.raises(MoatError, match="No problem number 7"):
        replica.resolve(7, "mine")
    with pytest.raises(InvalidEdit):
        replica.resolve(7, "nonsense")
    replica.update("things", "t1", {"title": "REFUSE"})
    things.settle()
    (problem,) = replica.conflicts()
    with pytest.raises(MoatError, match="not a conflict"):
        replica.resolve(problem.n, "mine")
    with pytest.raises(InvalidEdit):
        replica.retry(problem.n, edit={"title": 5})
    replica.discard(problem.n)
    assert replica.conflicts() == []
    assert replica.state_of("things", "t1") == "synced"


def test_new_ids_are_ordered_uuids_of_version_7() -> None:
    ids = [new_id() for _ in range(50)]
    assert len(set(ids)) == 50
    assert {UUID(i).version for i in ids} == {7}
    assert [i[:8] for i in ids] == sorted(i[:8] for i in ids)
