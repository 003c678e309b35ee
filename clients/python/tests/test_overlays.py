"""Overlays in the file: how the results of a push, retired fields, and restored copies change them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moat_client.replica import overlays
from moat_client.replica.apply import Applying, run_command
from moat_client.replica.overlays import Key
from moat_client.replica.store import Store
from moat_client.wire.lines import PendingOp
from moat_client.wire.messages import OpResult

FIELDS = [{"name": "title", "kind": "text"}, {"name": "price", "kind": "decimal", "decimal_places": 2}]
ROW: Key = ("jobs", "j1")


class Table:
    """A replica file with the table `jobs`, in one write transaction."""

    def __init__(self, store: Store, con: Any) -> None:
        self.store, self.con = store, con
        work = Applying(con, store.catalog, frozenset())
        run_command(work, {"command": "create_table", "table": "jobs", "columns": FIELDS})

    def base(self, record_id: str, title: str, version: int = 1) -> None:
        self.con.execute('INSERT INTO "jobs" ("id", "version", "title") VALUES (?, ?, ?)', [record_id, version, title])

    def edit(self, payload: Any = None, op: str = "update", *, key: Key = ROW, tx: str | None = None) -> int:
        """Queue an op and return its number."""
        pending = overlays.new_pending(self.con, key, op, payload, base_version=1, tx=tx)
        overlays.add_overlay(self.con, pending, 1)
        overlays.repatch(self.con, self.store.catalog(), [key])
        return pending.op_id

    def title(self, text: str, **more: Any) -> int:
        return self.edit([{"op": "replace", "path": "/title", "value": text}], **more)

    def result(self, op_id: int, status: str, *, at: int = 5, fresh_after: int = 0, **wire: Any) -> set[Key]:
        """Record the result of one op, with the replica at cursor `at`."""
        results = [OpResult(op_id, status, wire)]
        return overlays.record_results(self.con, self.store.catalog(), results, cursor=at, fresh_after=fresh_after)

    def states(self) -> dict[int, str]:
        return dict(self.con.execute('SELECT "op_id", "state" FROM "overlays" ORDER BY 1'))

    def problem(self, op_id: int) -> tuple[Any, ...]:
        """(state, code, message, details) of an op."""
        columns = '"state", "code", "message", "details"'
        *found, details = self.con.execute(f'SELECT {columns} FROM "overlays" WHERE "op_id" = ?', [op_id]).fetchone()
        return (*found, json.loads(details) if details else None)

    def shown(self, record_id: str = "j1") -> Any:
        row = overlays.visible(self.con, self.store.catalog().tables["jobs"], record_id)
        return row and row["title"]


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Table]:
    store = Store(tmp_path / "replica.db")
    with store.write() as writing:
        table = Table(store, writing.con)
        table.base("j1", "base")
        yield table
    store.close()


# Results of a push


@pytest.mark.parametrize("status", ["applied", "merged", "duplicate"])
def test_an_accepted_op_shows_until_its_line_arrives(jobs: Table, status: str) -> None:
    op_id = jobs.title("mine")
    assert jobs.result(op_id, status, at=5, cursor=6, fresh_after=op_id) == {ROW}
    assert (jobs.states(), jobs.shown()) == ({op_id: "acked"}, "mine")
    assert overlays.drop_reached(jobs.con, 5) == set()
    assert overlays.drop_reached(jobs.con, 6) == {ROW}
    op_id = jobs.title("again")
    jobs.result(op_id, status, at=5, cursor=5, fresh_after=op_id)
    assert (jobs.states(), jobs.shown()) == ({}, "base"), "its line was applied before"
    op_id = jobs.title("once more")
    jobs.result(op_id, status, fresh_after=op_id)
    assert (jobs.states(), jobs.shown()) == ({}, "base"), "a result without a cursor announces no line"


def test_a_result_of_an_op_that_is_gone_changes_nothing(jobs: Table) -> None:
    op_id = jobs.title("mine")
    results = [OpResult(99, "rejected", {}), OpResult(op_id, "rejected", {})]
    assert overlays.record_results(jobs.con, jobs.store.catalog(), results, cursor=5, fresh_after=0) == {ROW}
    assert jobs.states() == {op_id: "rejected"}


@pytest.mark.parametrize(
    ("status", "wire", "expected"),
    [
        ("conflict", {"code": "x", "message": "y"}, ("conflict", "conflict", "Someone else changed the same fields.")),
        ("rejected", {"code": "bad_value", "message": "Too long."}, ("rejected", "bad_value", "Too long.")),
        ("rejected", {"code": "retired", "message": "Gone."}, ("parked", "retired", "Gone.")),
        ("rejected", {}, ("rejected", "rejected", "The server rejected this edit.")),
        ("conflict", {"code": "retired"}, ("conflict", "conflict", "Someone else changed the same fields.")),
    ],
)
def test_an_op_that_was_not_applied_is_kept_with_its_reason(
    jobs: Table, status: str, wire: dict[str, Any], expected: tuple[str, ...]
) -> None:
    op_id = jobs.title("mine")
    assert jobs.result(op_id, status, **wire) == {ROW}
    assert jobs.problem(op_id) == (*expected, {**wire, "n": 1})
    assert jobs.shown() == "base"


def test_a_problem_keeps_its_number_and_the_next_one_gets_another(jobs: Table) -> None:
    first, second = jobs.title("a"), jobs.title("b")
    overlays.set_problem(jobs.con, first, "rejected", "x", "X", {"k": 1})
    overlays.set_problem(jobs.con, second, "rejected", "x", "X")
    overlays.set_problem(jobs.con, first, "parked", "y", "Y", {"more": 2})
    assert jobs.problem(first) == ("parked", "y", "Y", {"k": 1, "n": 1, "more": 2})
    assert jobs.problem(second)[3] == {"n": 2}


# A replica restored from an old copy


def test_a_new_op_whose_number_the_server_knows_is_kept_as_a_problem(jobs: Table) -> None:
    op_id = jobs.title("mine")
    jobs.result(op_id, "duplicate", cursor=9, fresh_after=op_id - 1, was="other")
    text = (
        "The server already accepted a different op with this number, so this replica is an old copy. "
        "Retry or discard the edit."
    )
    assert jobs.problem(op_id) == ("rejected", "op_id_reused", text, {"cursor": 9, "was": "other", "n": 1})
    assert overlays.next_op_id(jobs.con) == op_id + 1_000_001, "far above what the lost copy may have used"


def test_an_op_sent_before_is_a_plain_repetition(jobs: Table) -> None:
    op_id = jobs.title("mine")
    jobs.result(op_id, "duplicate", fresh_after=op_id)
    assert jobs.states() == {}
    assert overlays.next_op_id(jobs.con) == op_id + 1


def test_a_new_op_that_the_base_row_already_shows_is_done(jobs: Table) -> None:
    op_id = jobs.title("base")
    jobs.result(op_id, "duplicate", fresh_after=op_id - 1)
    assert jobs.states() == {}


def test_a_new_op_on_a_table_that_is_gone_is_done(jobs: Table) -> None:
    op_id = jobs.edit({"x": 1}, "insert", key=("dropped", "d1"))
    jobs.result(op_id, "duplicate", fresh_after=op_id - 1)
    assert jobs.states() == {}


def test_a_decision_about_a_conflict_is_never_a_reused_number(jobs: Table) -> None:
    jobs.title("mine")
    op_id = jobs.edit({"conflict": "c1", "resolution": "theirs"}, "settle")
    jobs.result(op_id, "duplicate", fresh_after=op_id - 1, cursor=9)
    assert op_id not in jobs.states()
    unknown = jobs.edit({"conflict": "c2", "resolution": "theirs"}, "settle")
    jobs.result(unknown, "rejected", code="unknown_conflict")
    assert unknown not in jobs.states(), "it was resolved elsewhere"
    refused = jobs.edit({"conflict": "c3", "resolution": "theirs"}, "settle")
    jobs.result(refused, "rejected", code="forbidden")
    assert jobs.states()[refused] == "rejected"


def test_an_own_line_of_another_op_renumbers_the_op_here(jobs: Table) -> None:
    mine, other = jobs.title("mine"), jobs.title("other", key=("jobs", "j2"))
    assert overlays.drop_own(jobs.con, [(mine, "jobs", "j1"), (other, "jobs", "j9"), (77, "jobs", "j1")]) == {ROW}
    assert jobs.states() == {78: "pending"}, "above every number in use"


def test_the_first_number_of_a_replica_is_above_what_its_device_used(jobs: Table) -> None:
    overlays.raise_op_ids(jobs.con, 5)
    assert overlays.next_op_id(jobs.con) == 6


def test_an_op_says_which_conflict_it_settles(jobs: Table) -> None:
    pending = overlays.new_pending(jobs.con, ROW, "delete", None, base_version=3, tx="t", settles="c1")
    overlays.add_overlay(jobs.con, pending, 1)
    assert overlays.pending_ops(jobs.con, 0, 9) == [pending]
    assert (pending.tx, pending.settles, pending.base_version, pending.payload) == ("t", "c1", 3, None)


def test_numbers_are_renewed_from_one_on_in_order(jobs: Table) -> None:
    first, second, third = (jobs.title(text) for text in "abc")
    overlays.set_problem(jobs.con, third, "rejected", "x", "X")
    overlays.renumber(jobs.con, second)
    assert jobs.states() == {first: "pending", third: "rejected", third + 1: "pending"}
    overlays.raise_op_ids(jobs.con, 3)
    assert overlays.next_op_id(jobs.con) == third + 2, "numbers are never lowered"
    overlays.raise_op_ids(jobs.con, third + 3)
    assert overlays.next_op_id(jobs.con) == third + 4


# Reading the queue


def test_a_tx_that_the_limit_would_split_is_completed(jobs: Table) -> None:
    alone = jobs.title("a")
    together = [jobs.title(text, tx="t") for text in "bcd"]
    last = jobs.title("e")

    def read(after: int, limit: int) -> list[int]:
        return [op.op_id for op in overlays.pending_ops(jobs.con, after, limit)]

    assert read(0, 1) == [alone]
    assert read(0, 2) == read(0, 3) == read(0, 4) == [alone, *together]
    assert read(alone, 1) == together
    assert read(alone, 9) == [*together, last]
    assert read(last, 9) == []
    overlays.set_problem(jobs.con, together[1], "rejected", "x", "X")
    assert read(0, 2) == [alone, together[0], together[2]]
    assert overlays.pending_ops(jobs.con, 0, 1) == [
        PendingOp(alone, None, "jobs", "j1", "update", 1, '[{"op":"replace","path":"/title","value":"a"}]', ANY_TIME)
    ]


class _AnyTime:
    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and other.endswith("Z")

    __hash__ = None  # type: ignore[assignment]


ANY_TIME: Any = _AnyTime()


@pytest.mark.parametrize("count", [1, 199, 200, 300])
def test_records_with_overlays_are_found_among_few_and_many(jobs: Table, count: int) -> None:
    jobs.title("a")
    jobs.title("b", key=("jobs", "j2"))
    jobs.title("c", key=("notes", "j3"))
    overlays.set_problem(jobs.con, 2, "rejected", "x", "X")
    wanted = ["j1", "j2", "j3", *(f"other-{n}" for n in range(count - 3))][: max(count, 3)]
    assert overlays.overlaid_keys(jobs.con, "jobs", wanted) == {ROW}
    assert overlays.all_active(jobs.con) == {ROW, ("notes", "j3")}


# Retired fields and tables


@pytest.mark.parametrize(
    ("op", "payload", "touched"),
    [
        ("insert", {"title": "a"}, True),
        ("insert", {"title": None}, False),
        ("insert", {"price": "1.00"}, False),
        ("insert", [{"path": "/title"}], False),
        ("update", [{"path": "/price"}, {"path": "/title"}], True),
        ("update", [{"path": "/title/deep/er"}], True),
        ("update", [{"path": "/price"}], False),
        ("update", {"title": "a"}, False),
        ("delete", None, False),
        ("delete", {"title": "a"}, False),
    ],
)
def test_what_an_op_writes(op: str, payload: Any, touched: bool) -> None:
    assert overlays.touches(op, None if payload is None else json.dumps(payload), "title") is touched


def test_an_op_on_a_retired_field_is_parked_with_its_tx(jobs: Table) -> None:
    hit = jobs.title("a", tx="t")
    price = [{"op": "replace", "path": "/price", "value": "1.00"}]
    sibling = jobs.edit(price, key=("notes", "n1"), tx="t")
    alone = jobs.title("b", key=("jobs", "j2"))
    free = jobs.edit(price, key=("jobs", "j3"))
    decision = jobs.edit({"conflict": "c", "resolution": "theirs", "title": 1}, "settle", key=("jobs", "j4"))
    assert overlays.park_retired(jobs.con, "jobs", "title") == {ROW, ("jobs", "j2"), ("notes", "n1")}
    assert jobs.states() == {hit: "parked", sibling: "parked", alone: "parked", free: "pending", decision: "pending"}
    retired = "jobs.title was retired by an admin."
    assert jobs.problem(hit)[:3] == jobs.problem(alone)[:3] == ("parked", "retired", retired)
    part = "This edit is part of a transaction that changes jobs.title, which was retired by an admin."
    assert jobs.problem(sibling)[:3] == ("parked", "tx_aborted", part)


def test_every_op_on_a_retired_table_is_parked_but_decisions(jobs: Table) -> None:
    deletion = jobs.edit(None, "delete")
    decision = jobs.edit({"conflict": "c", "resolution": "theirs"}, "settle")
    elsewhere = jobs.title("a", key=("notes", "n1"))
    assert overlays.park_retired(jobs.con, "jobs", None) == {ROW}
    assert jobs.states() == {deletion: "parked", decision: "pending", elsewhere: "pending"}
    assert jobs.problem(deletion)[2] == "jobs was retired by an admin."


def test_the_last_values_of_a_record_are_stored_once(jobs: Table) -> None:
    first, second = jobs.title("a"), jobs.title("b")
    overlays.set_problem(jobs.con, second, "conflict", "conflict", "C", {"mine": {"title": "b"}})
    table = jobs.store.catalog().tables["jobs"]
    overlays.remember_last_seen(jobs.con, table, ["j1", "missing"])
    last = {"id": "j1", "version": 1, "object_type": None, "status": None, "title": "base", "price": None}
    assert jobs.problem(first)[3] == {"last": last}
    assert jobs.problem(second)[3] == {"mine": {"title": "b"}, "n": 1, "last": last}
    jobs.con.execute('UPDATE "jobs" SET "title" = \'later\'')
    overlays.remember_last_seen(jobs.con, table, ["j1"])
    assert jobs.problem(first)[3] == {"last": last}
