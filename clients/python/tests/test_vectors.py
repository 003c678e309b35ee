"""The shared vectors: this client computes them, and independent libraries agree with them."""

import json
import sqlite3
from typing import Any

import jsonpatch
import make_vectors
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from moat_client.wire import canonical, patch, values
from moat_client.wire.schema import Field

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("name", make_vectors.FILES)
def test_this_client_computes_what_the_vectors_say(name: str) -> None:
    assert make_vectors.text_of(name) == (make_vectors.FOLDER / f"{name}.json").read_text(encoding="utf-8")


def cases(name: str) -> list[dict[str, Any]]:
    return json.loads((make_vectors.FOLDER / f"{name}.json").read_text(encoding="utf-8"))["cases"]


@pytest.mark.parametrize("case", cases("canonical"), ids=lambda c: c["json"][:30])
def test_canonical_vectors_agree_with_another_implementation(case: dict[str, Any]) -> None:
    try:
        expected = rfc8785.dumps(
            json.loads(case["json"], parse_int=lambda text: float(text) if len(text) > 16 else int(text))
        ).decode()
    except (rfc8785.CanonicalizationError, UnicodeEncodeError):
        assert case["error"]
    else:
        assert case["canonical"] == expected


@given(JSON)
def test_canonical_json_is_rfc_8785(value: Any) -> None:
    assert canonical.canonical_json(value) == rfc8785.dumps(value).decode()


@pytest.mark.parametrize(
    "case", [c for c in cases("patch") if "patch" in c and not c["lenient"]], ids=lambda c: json.dumps(c["patch"])[:60]
)
def test_patch_vectors_agree_with_another_implementation(case: dict[str, Any]) -> None:
    if "error" in case:
        return  # stricter than RFC 6902: only add, replace, remove, and only below a field
    other = jsonpatch.apply_patch({**case["record"], "fresh": None}, case["patch"])
    # A removed field is null here.
    drop = lambda record: {k: v for k, v in record.items() if v is not None}  # noqa: E731
    assert drop(other) == drop(case["result"])


RECORDS = st.dictionaries(st.sampled_from(["a", "b", "c~", "d/"]), JSON, max_size=4)


@given(RECORDS, RECORDS)
def test_the_patch_between_two_records_leads_from_one_to_the_other(old: dict[str, Any], new: dict[str, Any]) -> None:
    before = json.dumps(old)
    patched = patch.apply_patch(old, patch.flat_patch(old, new))
    assert all(patch.same(patched.get(name), new[name]) for name in new)
    assert all(patch.same(patched[name], old[name]) for name in old.keys() - new.keys())
    assert json.dumps(old) == before


def test_the_ddl_vectors_run_in_sqlite() -> None:
    con = sqlite3.connect(":memory:")
    for case in cases("ddl"):
        for sql in [*case.get("system", ()), *case.get("local", ()), *case.get("sql", ())]:
            con.execute(sql)
    assert {row[1] for row in con.execute("PRAGMA table_info(jobs)")} >= {"urgent", "price"}
    con.close()


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**11), max_value=10**11, places=3))
def test_a_decimal_comes_back_from_sqlite_as_it_went_in(number: Any) -> None:
    spec = Field("d", "decimal", decimal_places=3)
    wire = values.clean(spec, number)
    con = sqlite3.connect(":memory:")
    con.execute("CREATE TABLE t (d NUMERIC)")
    con.execute("INSERT INTO t VALUES (?)", [wire])
    (stored,) = con.execute("SELECT d FROM t").fetchone()
    con.close()
    assert not isinstance(stored, str), "SQLite must compare it as a number"
    assert values.from_sql("decimal", stored, decimal_places=3) == wire


@pytest.mark.parametrize(
    "case", [c for c in cases("values") if "wire" in c], ids=lambda c: f"{c['field']['kind']}-{c['value']!r:.30}"
)
def test_a_wire_value_is_its_own_wire_value_and_comes_back_from_sqlite(case: dict[str, Any]) -> None:
    spec = Field.from_record(case["field"])
    assert values.clean(spec, case["wire"]) == case["wire"]
    assert values.from_sql(spec.kind, case["stored"], decimal_places=spec.decimal_places) == case["wire"]
