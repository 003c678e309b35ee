"""Folding change lines into one write per record. clients/vectors/fold.json holds the cases of all clients."""

from typing import Any

import pytest

from moat_client.errors import Diverged
from moat_client.replica.fold import Folded, fold_changes

PATCH = [{"op": "replace", "path": "/title", "value": "b"}]


def line(op: str, version: int, payload: Any = None, record_id: str = "j1", table: str = "jobs") -> dict[str, Any]:
    return {"table": table, "id": record_id, "op": op, "version": version, "payload": payload}


def no_value(table: str, record_id: str, field: str) -> Any:
    raise AssertionError("no base row is needed")


def folded(*lines: dict[str, Any], known: Any = None, current: Any = no_value) -> Folded:
    return fold_changes(lines, current=current, known=known)["jobs"]


def test_every_table_is_folded_by_itself() -> None:
    found = fold_changes(
        [line("delete", 2), line("delete", 3, table="notes"), line("evict", 0, None, "j2")], current=no_value
    )
    assert {table: each.gone for table, each in found.items()} == {"jobs": {"j1", "j2"}, "notes": {"j1"}}


def test_ids_are_all_that_a_fold_touches() -> None:
    found = folded(line("insert", 1, {}, "a"), line("update", 2, PATCH, "b"), line("delete", 3, None, "c"))
    assert found.ids == {"a", "b", "c"}


def test_a_record_deleted_and_inserted_again_is_a_whole_row() -> None:
    found = folded(line("update", 2, PATCH), line("delete", 3), line("insert", 4, {"title": "c"}))
    assert (found.rows, found.patches, found.gone) == ({"j1": {"title": "c", "id": "j1", "version": 4}}, {}, set())


def test_an_insert_replaces_a_patch_and_a_deletion_replaces_both() -> None:
    found = folded(line("update", 2, PATCH), line("insert", 3, {"title": "c"}))
    assert (found.rows, found.patches) == ({"j1": {"title": "c", "id": "j1", "version": 3}}, {})
    found = folded(
        line("insert", 1, {}, "j1"), line("update", 2, PATCH, "j2"), line("delete", 2), line("evict", 3, None, "j2")
    )
    assert (found.rows, found.patches, found.gone) == ({}, {}, {"j1", "j2"})


def test_an_unknown_op_is_named() -> None:
    with pytest.raises(Diverged, match=r"^unknown op 'upsert' in a change line$"):
        folded(line("upsert", 1, {}))


def test_an_update_after_a_deletion_names_the_record() -> None:
    with pytest.raises(Diverged, match=r"^jobs/j1 was updated after it was deleted$"):
        folded(line("delete", 2), line("update", 3, PATCH))


def test_a_nested_patch_that_does_not_fit_names_the_record_and_the_reason() -> None:
    nested = [{"op": "remove", "path": "/attrs/k"}]
    with pytest.raises(Diverged, match=r"^jobs/j1: can't remove 'k'"):
        folded(line("update", 2, nested), current=lambda *_: {})


def test_a_nested_patch_of_a_new_row_without_the_field_has_nothing_to_start_from() -> None:
    nested = [{"op": "add", "path": "/attrs/k", "value": 1}]
    with pytest.raises(Diverged, match="the parent of 'k' does not exist"):
        folded(line("insert", 1, {"title": "a"}), line("update", 2, nested))


def test_a_field_name_with_an_escape_is_read_as_a_pointer() -> None:
    """`~1` is a slash inside a name, not a step into a json value."""
    found = folded(line("update", 2, [{"op": "add", "path": "/attrs/a~1b", "value": 1}]), current=lambda *_: {})
    assert found.patches == {"j1": {"version": 2, "attrs": {"a/b": 1}}}


# After a repair: lines that the base rows already hold


def base(**versions: int) -> Any:
    return lambda table, record_id: versions.get(record_id) if table == "jobs" else None


def test_lines_that_the_base_row_holds_are_skipped() -> None:
    found = folded(line("update", 3, PATCH), line("update", 4, PATCH), line("update", 5, PATCH), known=base(j1=4))
    assert found.patches == {"j1": {"version": 5, "title": "b"}}
    assert folded(line("delete", 4), known=base(j1=4)).ids == set()
    assert folded(line("delete", 5), known=base(j1=4)).gone == {"j1"}


def test_what_was_folded_counts_for_more_than_the_base_row() -> None:
    """A row inserted by an earlier line, or patched by one, has that line's version."""
    found = folded(line("insert", 5, {"title": "a"}), line("update", 5, PATCH), line("update", 6, PATCH), known=base())
    assert found.rows == {"j1": {"title": "b", "id": "j1", "version": 6}}
    found = folded(line("update", 5, PATCH), line("update", 5, [{"op": "remove", "path": "/title"}]), known=base(j1=4))
    assert found.patches == {"j1": {"version": 5, "title": "b"}}


def test_a_change_of_a_record_that_a_later_line_deleted_is_skipped() -> None:
    """The base row is gone already, so of its lines only an insert or a deletion can follow."""
    assert folded(line("update", 3, PATCH), known=base()).ids == set()
    assert folded(line("update", 3, PATCH), line("delete", 4), known=base()).gone == {"j1"}
    assert folded(line("insert", 5, {}), known=base()).rows == {"j1": {"id": "j1", "version": 5}}


def test_a_record_deleted_in_this_fold_is_gone_whatever_the_base_row_says() -> None:
    found = folded(line("delete", 5), line("update", 6, PATCH), line("insert", 4, {}), known=base(j1=4))
    assert (found.rows, found.gone) == ({"j1": {"id": "j1", "version": 4}}, set())
