"""I8 in what an op is answered: kept fields, refusals, and conflicts name nothing that the profile hides."""

import itertools
from typing import Any

import pytest

from metadata.access import Rules, TableRule
from metadata.models import ObjectMetadata
from metadata.publish import publish
from sync.settle import guard
from sync.settle.push import push
from sync.wire.codes import Code
from sync.wire.ops import Actor, ConflictView, Op, OpResult
from tenants.tokens import issue_device
from tests.sync.access_builders import make_member, make_profile, make_service, technician_rules

pytestmark = pytest.mark.django_db


def patch(**values: Any) -> list[dict[str, Any]]:
    return [{"op": "replace", "path": f"/{name}", "value": value} for name, value in values.items()]


class Stage:
    """A service tenant: its technician Tom sees his own jobs without their price, its office sees everything."""

    def __init__(self, **job: Any) -> None:
        self.tenant = make_service()
        rules = technician_rules()
        rules["job"] |= {"can_create": True, "can_delete": True, **job}
        tom = make_member(make_profile(self.tenant, "technician", rules), "tom")
        self.tom = Actor(self.tenant.pk, "tom", issue_device(self.tenant, tom, "tom").device.pk, user_id=tom.pk)
        self._ids = itertools.count(1)

    def policy(self, name: str) -> "Stage":
        ObjectMetadata.objects.filter(tenant=self.tenant, object_name="job").update(conflict_policy=name)
        publish(self.tenant.pk)
        return self

    def office(self, verb: str, record_id: str, base: int, payload: Any = None, table: str = "jobs") -> OpResult:
        return push(Actor(self.tenant.pk, "olga"), [Op(1, None, table, record_id, verb, base, payload)])[0]

    def says(self, verb: str, record_id: str, base: int, payload: Any = None, **more: Any) -> OpResult:
        table = more.pop("table", "jobs")
        return push(self.tom, [Op(next(self._ids), None, table, record_id, verb, base, payload, **more)])[0]

    def job(self, record_id: str = "j1", **values: Any) -> "Stage":
        self.office("insert", record_id, 0, {"title": "Fix", "technician": "tom", "price": "1.00", **values})
        return self


def test_i8_a_delete_that_the_server_undoes_names_no_hidden_field() -> None:
    stage = Stage().policy("server_wins").job()
    stage.office("update", "j1", 1, patch(price="2.00", title="New"))
    result = stage.says("delete", "j1", 1)
    assert (result.status, result.kept) == ("merged", ("title",))


@pytest.mark.parametrize("verb", ["update", "delete"])
def test_i8_a_conflict_shows_no_hidden_field(verb: str) -> None:
    stage = Stage().policy("manual").job()
    stage.office("update", "j1", 1, patch(price="2.00", title="New"))
    result = stage.says(verb, "j1", 1, patch(title="Mine") if verb == "update" else None)
    view = result.conflict
    assert (result.status, view is None) == ("conflict", False)
    assert view is not None
    assert view.fields == ("title",)
    assert view.theirs is not None
    assert view.theirs["title"] == "New"
    assert "price" not in {*(view.base or {}), *(view.mine or {}), *view.theirs}


def test_a_conflict_about_a_record_that_left_shows_only_what_its_maker_wanted() -> None:
    stage = Stage().policy("manual").job()
    stage.office("update", "j1", 1, patch(title="New"))
    first = stage.says("update", "j1", 1, patch(title="Mine"))
    assert first.status == "conflict"
    stage.office("update", "j1", 2, patch(technician="tess"))
    again = push(stage.tom, [Op(1, None, "jobs", "j1", "update", 1, patch(title="Mine"))])[0]
    assert again.conflict is not None
    view = again.conflict
    assert view.mine == {"title": "Mine"}
    assert (view.base, view.theirs, view.fields, view.by, view.at) == (None, None, (), "", None)


def test_a_hidden_field_that_would_have_to_be_set_is_not_named() -> None:
    stage = Stage()
    ObjectMetadata.objects.get(tenant=stage.tenant, object_name="job").fields.filter(name="price").update(required=True)
    publish(stage.tenant.pk)
    result = stage.says("insert", "j2", 0, {"title": "x", "technician": "tom"})
    assert (result.code, result.field) == (Code.FORBIDDEN, None)
    assert "price" not in (result.message or "")


SAME = [
    ("update", {"base": 1, "payload": patch(title="x")}),
    ("update", {"base": 7, "payload": patch(title="x")}),
    ("update", {"base": 0, "payload": patch(nothing="x")}),
    ("update", {"base": 1, "payload": "no patch"}),
    ("delete", {"base": 1}),
    ("delete", {"base": 7}),
]


@pytest.mark.parametrize(("verb", "op"), SAME)
@pytest.mark.parametrize("gone", [False, True], ids=["hidden", "deleted while hidden"])
def test_i8_a_hidden_record_is_answered_as_one_that_does_not_exist(verb: str, op: dict[str, Any], gone: bool) -> None:
    stage = Stage().job("j-hid", technician="tess")
    if gone:
        stage.office("delete", "j-hid", 1)

    def answer(record_id: str) -> tuple[Any, ...]:
        result = stage.says(verb, record_id, op["base"], op.get("payload"))
        message = (result.message or "").replace(record_id, "ID")
        return (result.status, result.code, result.field, message, result.version, result.cursor, result.conflict)

    assert answer("j-hid") == answer("j-not")


@pytest.mark.parametrize("name", ["price", "nothing"])
@pytest.mark.parametrize("verb", ["insert", "update", "test", "move"])
def test_i8_a_hidden_field_is_answered_as_one_that_does_not_exist(name: str, verb: str) -> None:
    stage = Stage().job()
    if verb == "insert":
        result = stage.says("insert", "j2", 0, {"title": "x", "technician": "tom", name: None})
    elif verb == "update":
        result = stage.says("update", "j1", 1, patch(**{name: "9.00"}))
    elif verb == "test":
        result = stage.says("update", "j1", 1, [{"op": "test", "path": f"/{name}", "value": "1.00"}])
    else:
        result = stage.says("update", "j1", 1, [{"op": "copy", "from": f"/{name}", "path": "/title"}])
    assert (result.code, result.field) == (Code.UNKNOWN_FIELD, name)
    assert result.message == f"jobs has no field {name!r}."


def test_i8_a_hidden_table_is_answered_as_one_that_does_not_exist() -> None:
    stage = Stage()
    make_profile(stage.tenant, "other", {})
    rules = technician_rules()
    del rules["customer"]
    tim = make_member(make_profile(stage.tenant, "yard", rules), "tim")
    actor = Actor(stage.tenant.pk, "tim", user_id=tim.pk)
    hidden, missing = (
        push(actor, [Op(1, None, name, "c1", "insert", 0, {})])[0] for name in ("customers", "customerz")
    )
    assert hidden.code == missing.code == Code.UNKNOWN_TABLE
    assert (hidden.message or "").replace("customers", "T") == (missing.message or "").replace("customerz", "T")


def test_verbs_and_locked_fields_are_refused() -> None:
    stage = Stage(can_create=False, can_delete=False).job()
    assert stage.says("insert", "j2", 0, {"title": "x", "technician": "tom"}).code == Code.FORBIDDEN
    assert stage.says("delete", "j1", 1).code == Code.FORBIDDEN
    locked = stage.says("update", "j1", 1, patch(customer=None))
    assert (locked.code, locked.field) == (Code.FORBIDDEN, "customer")
    moved = stage.says("update", "j1", 1, [{"op": "move", "from": "/customer", "path": "/title"}])
    assert (moved.code, moved.field) == (Code.FORBIDDEN, "customer")


def test_an_update_needs_the_right_to_update() -> None:
    assert Stage(can_update=False).job().says("update", "j1", 1, patch(title="x")).code == Code.FORBIDDEN


def test_a_new_record_must_be_one_that_its_maker_sees() -> None:
    stage = Stage()
    assert stage.says("insert", "j2", 0, {"title": "x", "technician": "tess"}).code == Code.FORBIDDEN
    assert stage.says("insert", "j3", 0, {"title": "x", "technician": "tom"}).status == "applied"


def test_an_id_that_a_hidden_record_has_is_refused_like_any_record_that_may_not_be_made() -> None:
    stage = Stage().job("j-hid", technician="tess")
    taken = stage.says("insert", "j-hid", 0, {"title": "x", "technician": "tom"})
    not_mine = stage.says("insert", "j-new", 0, {"title": "x", "technician": "tess"})
    assert (taken.code, taken.message, taken.field) == (not_mine.code, not_mine.message, not_mine.field)


def test_a_locked_field_may_be_tested() -> None:
    stage = Stage().job()
    steps = [{"op": "test", "path": "/customer", "value": None}, *patch(title="New")]
    assert stage.says("update", "j1", 1, steps).status == "applied"


def test_a_reference_to_a_hidden_type_is_refused_as_a_field_that_may_not_be_changed() -> None:
    rules = technician_rules()
    rules["job"] |= {"writable_fields": ["customer"], "can_update": True}
    del rules["customer"]
    stage = Stage()
    tim = make_member(make_profile(stage.tenant, "yard", rules), "tim")
    stage.office("insert", "c1", 0, {"name": "Ada"}, table="customers")
    stage.job(technician="tim")
    actor = Actor(stage.tenant.pk, "tim", user_id=tim.pk)
    answers = [push(actor, [Op(1, None, "jobs", "j1", "update", 1, patch(customer=one))])[0] for one in ("c1", "c-not")]
    assert [(answer.code, answer.field) for answer in answers] == [(Code.FORBIDDEN, "customer")] * 2
    assert answers[0].message == answers[1].message


# The pure view of a conflict

JOB = TableRule("job", "jobs", True, True, True, readable=frozenset({"title"}), writable=None)
VIEW = ConflictView(
    conflict="c",
    version=3,
    base={"title": "a", "price": "1.00"},
    mine={"title": "b", "price": "2.00"},
    theirs={"title": "c", "price": "3.00"},
    fields=("title", "price"),
    by="olga",
    at="2026-11-21T09:00:00.000000Z",
)


def test_a_conflict_of_a_record_in_sight_has_no_hidden_field() -> None:
    seen = guard.readable_view(VIEW, Rules((JOB,)), "jobs")
    assert (seen.base, seen.mine, seen.theirs) == ({"title": "a"}, {"title": "b"}, {"title": "c"})
    assert (seen.fields, seen.by, seen.at) == (("title",), "olga", VIEW.at)


def test_a_conflict_of_a_record_out_of_sight_keeps_what_its_maker_wrote_and_may_read() -> None:
    seen = guard.readable_view(VIEW, Rules((JOB,)), "jobs", visible=False)
    assert seen.mine == {"title": "b"}
    assert (seen.base, seen.theirs, seen.fields, seen.by, seen.at) == (None, None, (), "", None)


def test_a_conflict_of_a_hidden_type_shows_nothing() -> None:
    seen = guard.readable_view(VIEW, Rules(), "jobs")
    assert (seen.base, seen.mine, seen.theirs, seen.fields, seen.by, seen.at) == (None, None, None, (), "", None)
    assert guard.readable_view(VIEW, None, "jobs") == VIEW


# Row filters over a hop, as a tx and the ops before it leave the records


class Hops(Stage):
    """Jobs j1 (customer c1) and j2 of Tom, who may write their technician and customer, and delete them."""

    def __init__(self) -> None:
        super().__init__(writable_fields=["title", "technician", "customer"])
        for name in ("c1", "c2"):
            self.office("insert", name, 0, {"name": name}, table="customers")
        self.job("j1", customer="c1").job("j2").job("j-hid", technician="tess", customer="c2")

    def all(self, *ops: tuple[str, str, str, int, Any], tx: str | None = None) -> list[str | None]:
        made = [Op(next(self._ids), tx, table, i, verb, base, payload) for table, i, verb, base, payload in ops]
        return [None if result.accepted else str(result.code) for result in push(self.tom, made)]


def item(record_id: str, job: str) -> tuple[str, str, str, int, Any]:
    return ("line_items", record_id, "insert", 0, {"job": job, "text": "pipe"})


def job_op(verb: str, record_id: str, payload: Any = None) -> tuple[str, str, str, int, Any]:
    return ("jobs", record_id, verb, 0 if verb == "insert" else 1, payload)


@pytest.mark.parametrize("tx", [None, "t"], ids=["one push", "one tx"])
@pytest.mark.parametrize(
    ("first", "job", "allowed"),
    [
        (job_op("insert", "j-new", {"title": "x", "technician": "tom"}), "j-new", True),
        (job_op("delete", "j1"), "j1", False),
        (job_op("update", "j1", patch(technician="tess")), "j1", False),
    ],
    ids=["made", "deleted", "given away"],
)
def test_a_child_is_judged_by_its_parent_as_the_ops_before_left_it(
    tx: str | None, first: tuple[str, str, str, int, Any], job: str, allowed: bool
) -> None:
    assert (Hops().all(first, item("l1", job), tx=tx)[1] is None) == allowed


@pytest.mark.parametrize(
    "leave", [job_op("delete", "j1"), job_op("update", "j1", patch(technician="tess"))], ids=["deleted", "given away"]
)
def test_a_parent_is_out_of_sight_when_its_last_visible_child_left_in_the_same_push(
    leave: tuple[str, str, str, int, Any],
) -> None:
    """Tom sees customer c1 by job j1 only. Once that is gone, c1 is answered like one that does not exist."""
    assert Hops().all(leave, job_op("update", "j2", patch(customer="c1"))) == [None, "missing_reference"]


def test_a_parent_stays_in_sight_by_another_child_of_the_push() -> None:
    stage = Hops()
    assert stage.all(job_op("update", "j2", patch(customer="c1")), job_op("delete", "j1")) == [None, None]
    assert stage.all(("jobs", "j3", "insert", 0, {"title": "x", "technician": "tom", "customer": "c1"})) == [None]
    assert stage.all(("jobs", "j4", "insert", 0, {"title": "x", "technician": "tom", "customer": "c2"})) == [
        "missing_reference"
    ]
