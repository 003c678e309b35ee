"""I8 in the pure core: what a projected line, object type, or layout keeps of what its profile hides."""

from typing import Any

import orjson
import pytest

from metadata.access import Rules, TableRule, Term
from metadata.filters import RouteKey, value_key
from metadata.schema import FieldSpec, ObjectSpec
from sync.channels.projection import Side, project, project_commands, project_spec
from sync.wire.lines import encode_change

OWN_JOBS = Term(RouteKey("technician", "own", "technician"), frozenset({value_key("tom")}))
AT = "2026-11-21T09:00:00.000000Z"
MADE_AT = "2026-11-20T07:00:00.000000Z"


def rule(name: str, readable: set[str] | None = None, *terms: Term) -> TableRule:
    shown = None if readable is None else frozenset(readable)
    return TableRule(
        name, f"{name}s", create=True, update=True, delete=True, readable=shown, writable=None, terms=terms
    )


JOB = rule("job", {"title", "technician", "customer"}, OWN_JOBS)
RULES = Rules((JOB,))
"""Jobs of one technician without their price; customers are no object type of this profile."""


def job_line(op: str, payload: Any, version: int = 2) -> bytes:
    return encode_change(7, 3, "jobs", "j1", op, version, payload, AT, "olga", "device-1", 12, MADE_AT)


def moved(before: str | None, after: str | None, image: dict[str, Any] | None = None) -> Side:
    ends = [None if who is None else {"technician": value_key(who)} for who in (before, after)]
    return Side(*ends, image)


def projected(line: bytes, side: Side | None, rules: Rules = RULES) -> dict[str, Any] | None:
    found = project(line, side, rules)
    return None if found is None else orjson.loads(found)


def test_an_evict_says_nothing_about_who_moved_the_record_or_when_they_did() -> None:
    patch = [{"op": "replace", "path": "/technician", "value": "tess"}]
    assert projected(job_line("update", patch), moved("tom", "tess")) == {
        "cursor": 7,
        "schema_version": 3,
        "table": "jobs",
        "id": "j1",
        "op": "evict",
        "version": 2,
        "payload": None,
        "at": AT,
        "by": "",
    }


def test_a_record_that_enters_comes_whole_without_hidden_fields() -> None:
    patch = [{"op": "replace", "path": "/technician", "value": "tom"}]
    image = {"title": "Fix", "technician": "tom", "price": "9.00", "status": "open"}
    found = projected(job_line("update", patch), moved("tess", "tom", image))
    assert found is not None
    assert found["op"] == "insert"
    assert found["payload"] == {"title": "Fix", "technician": "tom", "status": "open"}


@pytest.mark.parametrize("op", ["insert", "update", "delete"])
def test_a_change_of_a_record_that_was_and_stays_hidden_is_no_line(op: str) -> None:
    ends = {"insert": (None, "tess"), "update": ("tess", "tess"), "delete": ("tess", None)}[op]
    assert projected(job_line(op, {} if op == "insert" else []), moved(*ends)) is None


def test_a_change_without_a_side_is_no_line_of_a_filtered_table() -> None:
    """Its record's routing values are unknown, so nothing says that the channel may have it."""
    assert projected(job_line("insert", {"title": "Fix"}), None) is None


def test_a_change_of_a_table_without_a_rule_is_no_line() -> None:
    line = encode_change(7, 3, "customers", "c1", "insert", 1, {"name": "Ada"}, AT, "olga")
    assert project(line, Side(None, {}), RULES) is None


def test_hidden_fields_leave_an_insert_and_an_update() -> None:
    insert = projected(job_line("insert", {"title": "Fix", "price": "9.00"}, 1), moved(None, "tom"))
    assert insert is not None
    assert insert["payload"] == {"title": "Fix"}
    steps = [
        {"op": "replace", "path": "/price", "value": "9.00"},
        {"op": "add", "path": "/price/deep~1er", "value": 1},
        {"op": "replace", "path": "/title", "value": "New"},
    ]
    update = projected(job_line("update", steps), moved("tom", "tom"))
    assert update is not None
    assert update["payload"] == [steps[2]]
    inside = [{"op": "add", "path": "/title/deep", "value": 1}, {"op": "remove", "path": "/price/deep"}]
    nested = projected(job_line("update", inside), moved("tom", "tom"))
    assert nested is not None
    assert nested["payload"] == inside[:1]


@pytest.mark.parametrize(("before", "op"), [("tom", "delete"), ("tess", None)])
def test_a_delete_is_a_delete_only_where_the_record_was_seen(before: str, op: str | None) -> None:
    found = projected(job_line("delete", None), moved(before, None))
    assert (None if found is None else found["op"]) == op


# Object types


def metadata_record(**more: Any) -> dict[str, Any]:
    fields = [
        {"name": "title", "kind": "text", "reference": None, "reference_table": None},
        {"name": "customer", "kind": "reference", "reference": "customer", "reference_table": "customers"},
        {"name": "price", "kind": "decimal", "reference": None, "reference_table": None},
    ]
    schema = {"properties": {"title": {}, "customer": {}, "price": {}}, "required": ["title", "price"]}
    return {"object_name": "job", "title_field": "title", "fields": fields, "json_schema": schema, **more}


def metadata_line(op: str) -> bytes:
    return encode_change(8, 3, "object_metadata", "job", op, 1, {"all": "of it"}, AT, "olga")


def metadata(**more: Any) -> dict[str, Any]:
    found = projected(metadata_line("insert"), Side(None, metadata_record(**more)))
    assert found is not None
    assert isinstance(found["payload"], dict)
    return found["payload"]


def test_an_object_type_names_no_hidden_field() -> None:
    shown = metadata()
    assert [field["name"] for field in shown["fields"]] == ["title", "customer"]
    assert shown["json_schema"] == {"properties": {"title": {}, "customer": {}}, "required": ["title"]}
    assert b"price" not in orjson.dumps(shown)


def test_an_object_type_does_not_name_a_hidden_title_field() -> None:
    assert metadata(title_field="price")["title_field"] == ""
    assert metadata()["title_field"] == "title"


def test_a_reference_to_a_hidden_object_type_does_not_name_it() -> None:
    shown = metadata()["fields"][1]
    assert (shown["name"], shown["kind"]) == ("customer", "reference")
    assert shown["reference"] is None
    assert shown["reference_table"] is None
    both = Rules((JOB, rule("customer")))
    found = projected(metadata_line("insert"), Side(None, metadata_record()), both)
    assert found is not None
    assert found["payload"]["fields"][1]["reference_table"] == "customers"


def test_a_publish_that_changes_only_hidden_fields_is_an_empty_update() -> None:
    before, after = metadata_record(), metadata_record()
    after["fields"] = [*after["fields"][:2], {**after["fields"][2], "kind": "text"}]
    found = projected(metadata_line("update"), Side(before, after))
    assert found is not None
    assert (found["op"], found["payload"]) == ("update", [])


@pytest.mark.parametrize("op", ["insert", "update", "delete"])
def test_a_hidden_object_type_and_its_layouts_are_no_lines(op: str) -> None:
    record = metadata_record(object_name="customer", layout_json={})
    side = Side(None if op == "insert" else record, None if op == "delete" else record)
    assert projected(metadata_line(op), side) is None
    layout = encode_change(8, 3, "layout_definition", "1", op, 1, {}, AT, "olga")
    assert projected(layout, side) is None


def test_a_change_of_a_system_table_without_a_side_is_no_line() -> None:
    assert projected(metadata_line("insert"), None) is None


def spec(title_field: str) -> ObjectSpec:
    fields = (
        FieldSpec("title", "text"),
        FieldSpec("customer", "reference", reference="customer", reference_table="customers"),
        FieldSpec("price", "decimal", decimal_places=2),
    )
    return ObjectSpec("job", "jobs", fields=fields, title_field=title_field)


def test_a_spec_names_no_hidden_field_title_or_object_type() -> None:
    shown = project_spec(spec("price"), RULES)
    assert shown is not None
    assert [field.name for field in shown.fields] == ["title", "customer"]
    assert shown.title_field == ""
    assert (shown.fields[1].reference, shown.fields[1].reference_table) == (None, None)
    titled = project_spec(spec("title"), RULES)
    assert titled is not None
    assert titled.title_field == "title"
    assert project_spec(spec("price"), Rules()) is None
    assert project_spec(spec("price"), None) == spec("price")


# Schema commands


def test_schema_commands_name_nothing_hidden() -> None:
    title = {"name": "title", "kind": "text", "reference": None, "reference_table": None}
    customer = {"name": "customer", "kind": "reference", "reference": "customer", "reference_table": "customers"}
    price = {"name": "price", "kind": "decimal", "reference": None, "reference_table": None}
    blank = {**customer, "reference": None, "reference_table": None}
    commands = [
        {"command": "create_table", "table": "customers", "columns": [], "indexes": []},
        {
            "command": "create_table",
            "table": "jobs",
            "columns": [title, price, customer],
            "indexes": ["price", "title"],
        },
        {"command": "add_column", "table": "jobs", "column": price},
        {"command": "add_column", "table": "jobs", "column": customer},
        {"command": "create_index", "table": "jobs", "field": "price"},
        {"command": "create_index", "table": "jobs", "field": "title"},
        {"command": "drop_table", "table": "customers"},
    ]
    assert project_commands(commands, RULES) == [
        {"command": "create_table", "table": "jobs", "columns": [title, blank], "indexes": ["title"]},
        {"command": "add_column", "table": "jobs", "column": blank},
        {"command": "create_index", "table": "jobs", "field": "title"},
    ]


# Layouts


def test_a_layout_keeps_no_control_or_rule_of_a_hidden_field() -> None:
    def control(name: str, **more: Any) -> dict[str, Any]:
        return {"type": "Control", "scope": f"#/properties/{name}", **more}

    hidden_rule = {"effect": "HIDE", "condition": {"all": [{"scope": "#/properties/price/deep", "schema": {}}]}}
    shown_rule = {"effect": "HIDE", "condition": {"scope": "#/properties/title", "schema": {}}}
    layout = {
        "type": "VerticalLayout",
        "elements": [
            control("title", rule=hidden_rule),
            control("technician", rule=shown_rule),
            control("price"),
            {"type": "Group", "elements": [control("price/deep"), control("customer/deep")]},
        ],
    }
    record = {"object_name": "job", "layout_json": layout}
    line = encode_change(8, 3, "layout_definition", "1", "insert", 1, {}, AT, "olga")
    found = projected(line, Side(None, record))
    assert found is not None
    assert found["payload"]["layout_json"] == {
        "type": "VerticalLayout",
        "elements": [
            control("title"),
            control("technician", rule=shown_rule),
            {"type": "Group", "elements": [control("customer/deep")]},
        ],
    }
    alone = projected(line, Side(None, {"object_name": "job", "layout_json": control("price")}))
    assert alone is not None
    assert alone["payload"]["layout_json"] == {}
