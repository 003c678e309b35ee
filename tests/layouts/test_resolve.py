"""Which layout a record is shown with."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from layouts.resolve import ANY, rank, resolve


@dataclass(frozen=True)
class Layout:
    object_name: str = "job"
    object_type: str = ANY
    status: str = ANY


TYPES, STATUSES = ["residential", "commercial"], ["open", "done", "residential"]
bindings = st.builds(
    Layout, st.sampled_from(["job", "customer"]), st.sampled_from([ANY, *TYPES]), st.sampled_from([ANY, *STATUSES])
)
records = st.tuples(st.sampled_from([None, *TYPES]), st.sampled_from([None, *STATUSES]))


def test_the_most_specific_layout_wins():
    layouts = [Layout(), Layout(status="open"), Layout("job", "residential"), Layout("job", "residential", "open")]
    assert resolve(layouts, "job", object_type="residential", status="open") == layouts[3]
    assert resolve(layouts[:3], "job", object_type="residential", status="open") == layouts[2], (
        "a subtype counts more than a status"
    )
    assert resolve(layouts, "job", object_type="commercial", status="open") == layouts[1]
    assert resolve(layouts, "job", object_type="commercial", status="done") == layouts[0]


def test_a_record_without_subtype_or_status_matches_wildcards_only():
    assert resolve([Layout("job", "residential"), Layout(status="open")], "job") is None
    assert resolve([Layout()], "job") == Layout()


@given(st.lists(bindings, unique=True), records, st.randoms())
def test_the_answer_matches_is_unbeaten_and_does_not_depend_on_order(layouts, record, random):
    kind, status = record
    found = resolve(layouts, "job", object_type=kind, status=status)
    shuffled = list(layouts)
    random.shuffle(shuffled)
    assert resolve(shuffled, "job", object_type=kind, status=status) == found
    matching = [
        (2 * (x.object_type == kind) + (x.status == status), x)
        for x in layouts
        if x.object_name == "job" and x.object_type in (ANY, kind) and x.status in (ANY, status)
    ]
    if found is None:
        assert not matching
    else:
        assert (rank(found, kind, status), found) in matching
        assert all(rank(found, kind, status) >= score for score, _ in matching)


@given(st.lists(bindings), records)
def test_with_a_catch_all_there_is_always_a_layout(layouts, record):
    assert resolve([*layouts, Layout()], "job", object_type=record[0], status=record[1]) is not None
