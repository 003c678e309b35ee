"""Tests of JSON Patches between records: a change line's patch turns version n - 1 into exactly version n."""

import copy

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadata.canonical import canonical_json
from sync.wire.patch import PatchFailed, apply_patch, escape, field_patch, flat_patch, same, unescape

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats(-2, 2).map(lambda x: x + 0.0)
    | st.text("ab~/", max_size=3)
)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab~/", max_size=2), inner, max_size=4),
    max_leaves=12,
)
records = st.dictionaries(st.sampled_from(["title", "attrs", "count"]), json_values, max_size=3)


def full(record):
    return {name: record.get(name) for name in ("title", "attrs", "count")}


@given(records, records)
def test_applying_the_difference_of_two_records_gives_the_second(old, new):
    before = copy.deepcopy(old)
    patched = apply_patch(old, flat_patch(old, new))
    assert canonical_json(full(patched)) == canonical_json(full(new))
    assert old == before


@given(records, records)
def test_any_json_patch_library_gives_the_same_from_a_record_with_all_its_fields(old, new):
    patch = flat_patch(full(old), full(new))
    assert canonical_json(jsonpatch.apply_patch(full(old), patch)) == canonical_json(full(new))
    assert {step["op"] for step in patch} <= {"add", "replace", "remove"}


@given(json_values, json_values)
def test_values_are_the_same_exactly_when_their_canonical_texts_are(a, b):
    assert same(a, b) == (canonical_json(a) == canonical_json(b))


@given(st.text("ab~/01", max_size=6))
def test_a_key_survives_its_pointer(key):
    assert unescape(escape(key)) == key
    assert "/" not in escape(key)


def test_a_change_inside_an_object_is_patched_inside_it_when_that_is_shorter():
    before = {"long": "x" * 50, "colour": "red"}
    assert field_patch("attrs", before, {**before, "colour": "blue"}) == [
        {"op": "replace", "path": "/attrs/colour", "value": "blue"}
    ]
    assert field_patch("attrs", {"a": 1}, {"b": 2}) == [{"op": "replace", "path": "/attrs", "value": {"b": 2}}]


def test_a_list_is_replaced_as_a_whole():
    before = {"long": "x" * 80, "items": [1, 2]}
    assert field_patch("attrs", before, {**before, "items": [1, 2, 3]}) == [
        {"op": "replace", "path": "/attrs/items", "value": [1, 2, 3]}
    ]


@pytest.mark.parametrize(
    "step", [{"op": "replace", "path": "/attrs/x/y", "value": 1}, {"op": "remove", "path": "/attrs/missing"}]
)
def test_a_patch_that_does_not_fit_is_rejected(step):
    with pytest.raises(PatchFailed):
        apply_patch({"attrs": {"x": 1}}, [step])


def test_a_removed_field_is_set_to_null():
    assert flat_patch({"title": "a"}, {}) == [{"op": "replace", "path": "/title", "value": None}]
    assert apply_patch({"title": "a"}, [{"op": "remove", "path": "/title"}]) == {"title": None}
