"""What is a valid layout."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from layouts.defaults import default_layout
from layouts.elements import LAYOUT_SCHEMA, MAX_DEPTH, MAX_ELEMENTS
from layouts.schema import fields_used, problems
from metadata.schema import Choice, FieldSpec, ObjectSpec

JOB = ObjectSpec(
    "job",
    "jobs",
    title_field="title",
    subtypes=(Choice("residential", "Residential"),),
    statuses=(Choice("open", "Open"), Choice("done", "Done")),
    fields=(
        FieldSpec("customer", "reference"),
        FieldSpec("title", "text"),
        FieldSpec("price", "decimal", decimal_places=2),
    ),
)


def control(name, **more):
    return {"type": "Control", "scope": f"#/properties/{name}", **more}


def vertical(*elements, **more):
    return {"type": "VerticalLayout", "elements": list(elements), **more}


RULE = {"effect": "HIDE", "condition": {"scope": "#/properties/status", "schema": {"const": "done"}}}
GOOD = [
    vertical(),
    vertical(control("title", label="What"), control("price", label=False, options={"readonly": True})),
    {"type": "HorizontalLayout", "elements": [control("object_type"), control("status")]},
    {"type": "Group", "label": "Money", "elements": [control("price", rule=RULE)]},
    vertical({"type": "Label", "text": "Read the manual", "rule": RULE}),
    {
        "type": "Categorization",
        "elements": [{"type": "Category", "label": "One", "elements": [control("title")], "rule": RULE}],
    },
    vertical(
        control(
            "price",
            rule={
                "effect": "ENABLE",
                "condition": {
                    "scope": "#/properties/price",
                    "schema": {"not": {"anyOf": [{"minimum": 3}, {"enum": [1, None]}]}},
                    "failWhenUndefined": True,
                },
            },
        )
    ),
]
BAD = [
    (None, "", "bad_layout"),
    ([], "", "bad_layout"),
    ("VerticalLayout", "", "bad_layout"),
    ({}, "", "bad_layout"),
    ({"type": "Control", "scope": "#/properties/title"}, "", "bad_layout"),
    ({"type": ["VerticalLayout"], "elements": []}, "", "bad_layout"),
    ({"type": "VerticalLayout"}, "", "bad_layout"),
    ({"type": "VerticalLayout", "elements": {}}, "/elements", "bad_layout"),
    (vertical(7), "/elements/0", "bad_layout"),
    (vertical(control("title"), {"type": "Sparkle"}), "/elements/1", "bad_layout"),
    (vertical({"type": "Category", "label": "x", "elements": []}), "/elements/0", "bad_layout"),
    ({"type": "Categorization", "elements": [control("title")]}, "/elements/0", "bad_layout"),
    (vertical(control("nope")), "/elements/0/scope", "unknown_field"),
    (vertical(vertical(control("title"), control("old"))), "/elements/0/elements/1/scope", "unknown_field"),
    (vertical({"type": "Control", "scope": "/title"}), "/elements/0/scope", "bad_layout"),
    (vertical({"type": "Control", "scope": "#/properties/title/properties/x"}), "/elements/0/scope", "bad_layout"),
    (vertical({"type": "Control"}), "/elements/0", "bad_layout"),
    (vertical(control("title", labl="typing error")), "/elements/0", "bad_layout"),
    (vertical(control("title", rule={**RULE, "effect": "BLINK"})), "/elements/0/rule/effect", "bad_layout"),
    (vertical(control("title", rule={"effect": "HIDE"})), "/elements/0/rule", "bad_layout"),
    (
        vertical(
            control(
                "title", rule={"effect": "HIDE", "condition": {"scope": "#/properties/gone", "schema": {"const": 1}}}
            )
        ),
        "/elements/0/rule/condition/scope",
        "unknown_field",
    ),
    (
        vertical(
            control(
                "title",
                rule={"effect": "HIDE", "condition": {"scope": "#/properties/status", "schema": {"pattern": "(a+)+$"}}},
            )
        ),
        "/elements/0/rule/condition/schema",
        "bad_layout",
    ),
    (vertical({"type": "Label", "text": 7}), "/elements/0/text", "bad_layout"),
    (vertical({"type": "Label", "text": "a\x00b"}), "", "bad_layout"),
    (vertical(control("title", options={"__proto__": {}})), "", "bad_layout"),
    (vertical(control("title", options={"x": float("nan")})), "", "bad_layout"),
    (vertical({"type": "Label", "text": "\ud800"}), "", "bad_layout"),
    (vertical(*[{"type": "Label", "text": "x" * 1900}] * 60), "", "too_large"),
]


@pytest.mark.parametrize("layout", GOOD)
def test_the_vocabulary_is_accepted_here_and_by_the_published_schema(layout):
    assert problems(layout, JOB) == []
    Draft202012Validator(LAYOUT_SCHEMA).validate(layout)


@pytest.mark.parametrize(("layout", "where", "code"), BAD)
def test_each_problem_names_its_place(layout, where, code):
    assert (where, code) in [(p.where, p.code) for p in problems(layout, JOB)]


def test_depth_and_number_of_elements_are_limited():
    deep = vertical()
    for _ in range(MAX_DEPTH):
        deep = vertical(deep)
    assert problems(deep)[0].code == "too_large"
    assert problems(vertical(*[{"type": "Label", "text": ""}] * MAX_ELEMENTS))[-1].code == "too_large"


def test_a_bottomless_layout_is_refused_without_recursion():
    deep = {}
    for _ in range(100_000):
        deep = {"type": "VerticalLayout", "elements": [deep]}
    assert problems(deep)[0].code == "too_large"
    deep = 1
    for _ in range(100_000):
        deep = [deep]
    assert problems(vertical(control("title", options={"x": deep})))[0].code == "too_large"


def test_the_fields_a_layout_uses_are_named_with_their_places():
    assert fields_used(vertical(control("title", rule=RULE), control("title"))) == {
        "title": ["/elements/0/scope", "/elements/1/scope"],
        "status": ["/elements/0/rule/condition/scope"],
    }


def test_the_default_layout_shows_everything_title_first():
    layout = default_layout(JOB)
    assert problems(layout, JOB) == []
    assert list(fields_used(layout)) == ["object_type", "status", "title", "customer", "price"]
    plain = default_layout(ObjectSpec("note", "notes", fields=(FieldSpec("a", "text"), FieldSpec("b", "text"))))
    assert plain == vertical(control("a"), control("b"))


def test_the_published_schema_is_a_schema():
    Draft202012Validator.check_schema(LAYOUT_SCHEMA)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["Control", "VerticalLayout", "#/properties/title"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["type", "elements", "scope", "rule", "label", "x", "condition"]), inner, max_size=5
        )
    ),
    max_leaves=25,
)


@given(json_values)
def test_whatever_comes_it_is_judged_and_never_crashes(value):
    found = problems(value, JOB)
    if not found:
        Draft202012Validator(LAYOUT_SCHEMA).validate(value)
        json.dumps(value, allow_nan=False)
