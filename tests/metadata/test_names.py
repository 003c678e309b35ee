"""Names: what is allowed, what is rejected, and their spelling in a database."""

import pytest
from django.db import models
from hypothesis import given
from hypothesis import strategies as st

from metadata.names import (
    BadName,
    field_name_problem,
    index_name,
    object_name_problem,
    propose_table_name,
    quote,
    replica_index_name,
    table_name_problem,
)
from metadata.schema import physical_name

EVIL = [
    "", " ", "Jobs", "9lives", "a__b", "a_", "_a", "a-b", "a b", "a.b",
    'a"b', "a'b", "a;drop table x", "a\n", "a\0", "é", "ａ", "a" * 41,
    "١", "a١", "../a", "a/b", "a%s", "{a}", "\ud800", None, 5, ["a"],
]  # fmt: skip


@pytest.mark.parametrize("check", [field_name_problem, object_name_problem, table_name_problem])
@pytest.mark.parametrize("name", EVIL)
def test_an_evil_name_is_refused_with_a_message(check, name):
    assert check(name)


@pytest.mark.parametrize("name", [n for n in EVIL if n not in ("a_", "_a", "a__b", "a" * 41)])
def test_quote_refuses_what_would_need_escaping(name):
    with pytest.raises(BadName):
        quote(name)


@pytest.mark.parametrize("name", ["a", "job", "dep_time", "a1", "a" * 40, "order", "user", "year", "cursor"])
def test_an_ordinary_name_is_fine_everywhere(name):
    assert field_name_problem(name) is None
    assert object_name_problem(name) is None
    assert table_name_problem(name) is None
    assert quote(name) == f'"{name}"'


@pytest.mark.parametrize(
    "name", ["id", "version", "object_type", "status", "pk", "rowid", "xmin", "constructor", "null", "select", "save"]
)
def test_a_reserved_field_name_is_refused_with_its_reason(name):
    assert "SQL" in field_name_problem(name) or "reserved" in field_name_problem(name)


@pytest.mark.parametrize(
    "name", ["object_metadata", "overlays", "changes", "sqlite_master", "ix_jobs_a", "table", "pg_class"]
)
def test_a_reserved_table_name_is_refused(name):
    assert table_name_problem(name)


def test_no_field_can_shadow_what_django_gives_a_model():
    public = {name for name in dir(models.Model) if not name.startswith("_")}
    assert all(field_name_problem(name) for name in public)


@pytest.mark.parametrize(
    ("object_name", "table_name"),
    [
        ("job", "jobs"),
        ("inventory_item", "inventory_items"),
        ("person", "people"),
        ("equipment", "equipment"),
        ("overlay", "overlays_list"),
    ],
)
def test_a_table_name_is_proposed_from_the_object_name(object_name, table_name):
    assert propose_table_name(object_name) == table_name


slugs = st.from_regex(r"[a-z][a-z0-9_]{0,39}", fullmatch=True).filter(
    lambda name: "__" not in name and not name.endswith("_")
)


@given(slugs)
def test_a_proposed_table_name_is_always_legal(name):
    assert table_name_problem(propose_table_name(name)) is None


@given(st.text())
def test_what_a_check_lets_through_can_be_quoted(name):
    if field_name_problem(name) is None:
        assert quote(name) == f'"{name}"'


@given(st.lists(st.tuples(st.integers(1, 10**9), slugs, slugs), min_size=2, max_size=2, unique=True))
def test_index_names_are_short_enough_and_never_equal(pairs):
    names = {index_name("ix", physical_name(tenant, table), field) for tenant, table, field in pairs}
    assert len(names) == 2
    assert all(len(name.encode()) <= 63 for name in names)


def test_an_index_name_cannot_run_table_and_field_into_each_other():
    assert index_name("ix", "t1_a_b", "c") != index_name("ix", "t1_a", "b_c")
    assert replica_index_name("a_b", "c") != replica_index_name("a", "b_c")
