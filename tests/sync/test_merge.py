"""Laws of merging, tested on the pure core."""

import copy

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from metadata.canonical import canonical_json
from sync.records import versions_column
from sync.records.versions_column import Versions
from sync.settle import field_versions
from sync.settle.merge import (
    FIELD_MERGE,
    LAST_WRITE_WINS,
    MANUAL,
    SERVER_WINS,
    FieldConflict,
    MergeResult,
    NotMergeable,
    Update,
    merge_delete,
    merge_update,
    merge_with_deleted,
    three_way,
)

scalars = st.none() | st.booleans() | st.integers(0, 3) | st.text("ab", max_size=2)
items = st.lists(
    st.fixed_dictionaries({"id": st.integers(0, 4), "v": scalars}), max_size=4, unique_by=lambda item: item["id"]
)
documents = st.recursive(
    scalars | items,
    lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=4) | st.lists(inner, max_size=2),
    max_leaves=10,
)


def attempt(base, mine, theirs):
    try:
        return three_way(base, mine, theirs)
    except NotMergeable:
        return NotMergeable


def unordered(value):
    """Sort lists of items with an `id` by it: list order is the only thing that merges asymmetrically."""
    if isinstance(value, dict):
        return {key: unordered(inner) for key, inner in value.items()}
    if isinstance(value, list):
        inner = [unordered(item) for item in value]
        return (
            sorted(inner, key=lambda item: str(item["id"]))
            if all(isinstance(i, dict) and "id" in i for i in inner)
            else inner
        )
    return value


@given(documents, documents, documents)
def test_merging_json_is_symmetric(base, mine, theirs):
    one, other = attempt(base, mine, theirs), attempt(base, theirs, mine)
    assert (one is NotMergeable) == (other is NotMergeable)
    if one is not NotMergeable:
        assert canonical_json(unordered(one)) == canonical_json(unordered(other))


@given(documents, documents)
def test_an_unchanged_side_yields_to_the_changed_one(base, changed):
    assert canonical_json(three_way(base, changed, base)) == canonical_json(changed)
    assert canonical_json(three_way(base, base, changed)) == canonical_json(changed)
    assert canonical_json(three_way(base, changed, changed)) == canonical_json(changed)


@given(documents, documents, documents)
def test_merging_does_not_change_its_inputs(base, mine, theirs):
    before = copy.deepcopy((base, mine, theirs))
    attempt(base, mine, theirs)
    assert (base, mine, theirs) == before


@given(documents, documents, documents)
def test_merging_is_idempotent(base, mine, theirs):
    merged = attempt(base, mine, theirs)
    assume(merged is not NotMergeable)
    assert canonical_json(unordered(attempt(base, mine, merged))) == canonical_json(unordered(merged))


def test_items_with_an_id_merge_one_by_one():
    base = [{"id": 1, "n": "a"}, {"id": 2, "n": "b"}, {"id": 3, "n": "c"}]
    mine = [{"id": 1, "n": "A"}, {"id": 2, "n": "b"}, {"id": 3, "n": "c"}, {"id": 4, "n": "mine"}]
    theirs = [{"id": 3, "n": "c"}, {"id": 1, "n": "a", "more": 1}, {"id": 5, "n": "theirs"}]
    assert three_way(base, mine, theirs) == [
        {"id": 3, "n": "c"},
        {"id": 1, "n": "A", "more": 1},
        {"id": 5, "n": "theirs"},
        {"id": 4, "n": "mine"},
    ]


@pytest.mark.parametrize(
    ("mine", "theirs", "order"),
    [
        ([3, 1, 2, 4], [1, 2, 5, 3], [3, 1, 2, 4, 5]),  # only mine re-ordered
        ([1, 2, 4, 3], [3, 1, 5, 2], [3, 1, 5, 2, 4]),  # only theirs
        ([2, 1, 4, 3], [3, 2, 5, 1], [3, 2, 5, 1, 4]),  # both
        ([2, 1], [1, 2, 5, 3], [2, 1, 5]),  # mine re-ordered and deleted
        ([3, 1, 2], [1, 2], [1, 2]),  # theirs deleted what mine moved
        ([2, 1], [3, 1, 2, 5], [2, 1, 5]),  # theirs moved only what mine deleted
    ],
)
def test_a_list_has_the_order_of_the_side_that_changed_it(mine, theirs, order):
    """Each side also edits an item of its own, so that neither list is simply the merged one."""

    def items_of(ids, edited):
        return [{"id": n, "n": "edited"} if n == edited else {"id": n, "n": "x"} for n in ids]

    base = items_of([1, 2, 3], None)
    merged = three_way(base, items_of(mine, 2), items_of(theirs, 1))
    assert [item["id"] for item in merged] == order
    edited = {item["id"] for item in merged if item["n"] == "edited"}
    assert edited == {1, 2}


@pytest.mark.parametrize(
    ("base", "mine", "theirs"),
    [
        ({"a": 1}, {"a": 2}, {"a": 3}),
        ({"a": 1}, {}, {"a": 3}),
        ({}, {"a": 1}, {"a": True}),
        ([1], [1, 2], [1, 3]),
        ([{"id": 1, "v": 1}], [], [{"id": 1, "v": 2}]),
        ([{"id": 1}, {"id": 1}], [{"id": 1}, {"id": 1, "x": 1}], [{"id": 1}]),
        ("a", "b", "c"),
    ],
)
def test_values_that_both_changed_differently_do_not_merge(base, mine, theirs):
    with pytest.raises(NotMergeable):
        three_way(base, mine, theirs)


fields = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 2), max_size=4)


def update(mine, theirs, concurrent, base=None, json_fields=frozenset()):
    return Update(mine, theirs.get, frozenset(concurrent), frozenset(json_fields), lambda: base)


@given(fields, fields, st.sets(st.sampled_from("abcd")))
def test_fields_without_concurrent_changes_are_always_written(mine, theirs, concurrent):
    for policy in (LAST_WRITE_WINS, FIELD_MERGE, SERVER_WINS):
        outcome = merge_update(policy, update(mine, theirs, concurrent))
        if isinstance(outcome, MergeResult):
            assert all(outcome.values[name] == value for name, value in mine.items() if name not in concurrent)


@given(fields, fields, st.sets(st.sampled_from("abcd")))
def test_nothing_is_lost_by_field_merge(mine, theirs, concurrent):
    outcome = merge_update(FIELD_MERGE, update(mine, theirs, concurrent))
    clashing = {name for name in mine if name in concurrent and mine[name] != theirs.get(name)}
    assert isinstance(outcome, FieldConflict) == bool(clashing)
    if isinstance(outcome, FieldConflict):
        assert set(outcome.fields) == clashing


@given(fields, fields, st.sets(st.sampled_from("abcd")))
def test_server_wins_reports_the_fields_it_kept(mine, theirs, concurrent):
    outcome = merge_update(SERVER_WINS, update(mine, theirs, concurrent))
    assert isinstance(outcome, MergeResult)
    assert set(outcome.kept) == {name for name in mine if name in concurrent and mine[name] != theirs.get(name)}
    assert not set(outcome.kept) & set(outcome.values)


@given(fields, fields, st.sets(st.sampled_from("abcd")))
def test_last_write_wins_writes_every_field(mine, theirs, concurrent):
    assert merge_update(LAST_WRITE_WINS, update(mine, theirs, concurrent)) == MergeResult(mine)


def test_manual_leaves_the_decision_to_a_user():
    assert merge_update(MANUAL, update({"a": 1, "b": 1}, {}, {"b"})) == FieldConflict(("b",))
    assert merge_update(MANUAL, update({"a": 1}, {}, {"b"})) == FieldConflict(("a",))


def test_json_fields_merge_key_by_key_only_if_the_base_is_known():
    concurrent = update(
        {"attrs": {"a": 1, "b": 2}}, {"attrs": {"a": 1, "c": 3}}, {"attrs"}, {"attrs": {"a": 1}}, {"attrs"}
    )
    assert merge_update(FIELD_MERGE, concurrent) == MergeResult({"attrs": {"a": 1, "b": 2, "c": 3}})
    unknown = update({"attrs": {"b": 2}}, {"attrs": {"c": 3}}, {"attrs"}, None, {"attrs"})
    assert merge_update(FIELD_MERGE, unknown) == FieldConflict(("attrs",))


@pytest.mark.parametrize(
    ("policy", "delete", "deleted"),
    [
        (LAST_WRITE_WINS, "delete", "revive"),
        (FIELD_MERGE, "conflict", "conflict"),
        (SERVER_WINS, "keep", "keep"),
        (MANUAL, "conflict", "conflict"),
    ],
)
def test_a_delete_concurrent_with_an_update(policy, delete, deleted):
    assert merge_delete(policy, foreign=True) == delete
    assert merge_delete(policy, foreign=False) == "delete"
    assert merge_with_deleted(policy) == deleted


changes = st.lists(
    st.tuples(st.sampled_from(["d1", "d2", None]), st.sets(st.sampled_from("ab"), min_size=1)), max_size=8
)


@given(changes, st.integers(1, 9), st.sampled_from(["d1", "d2", "d3"]))
def test_field_versions_record_whether_others_changed_a_field(history, base, device):
    state: Versions = {}
    for version, (who, names) in enumerate(history, 2):
        state = field_versions.touched(state, names, version, who)
    for name in "ab":
        others = any(v > base and who != device and name in names for v, (who, names) in enumerate(history, 2))
        assert bool(field_versions.foreign_among(state, [name], base, device)) == others


@given(changes)
def test_field_versions_survive_their_column(history):
    state: Versions = {}
    for version, (who, names) in enumerate(history, 2):
        state = field_versions.touched(state, names, version, who)
    assert versions_column.parse(versions_column.dump(state)) == state
    whole = field_versions.replaced(state, 99, "d1")
    assert field_versions.any_foreign(whole, 1, "d2")
    assert field_versions.any_foreign(whole, 1, "d1") == any(who != "d1" for who, _ in history)
