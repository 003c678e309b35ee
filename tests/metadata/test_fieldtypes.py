"""Values of every kind: what is accepted, its wire form, and the code that hostile values are rejected with."""

import json
import math
import sqlite3
import uuid
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import jsonschema
import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from metadata.fieldtypes import (
    InvalidValue,
    canonical_json,
    clean,
    clean_id,
    column_type,
    from_db,
    json_schema_of,
    replica_type,
    to_db,
    to_replica,
)
from metadata.kinds import KINDS
from metadata.schema import Choice, FieldSpec, ObjectSpec

DEEP = [0]
for _ in range(40):
    DEEP = [DEEP]
VERY_DEEP = json.loads("[" * 900 + "]" * 900)


def spec(kind, **about):
    if kind == "choice":
        about.setdefault("choices", (Choice("a", "A"), Choice("b", "B")))
    return FieldSpec("f", kind, **about)


@pytest.mark.parametrize("kind", KINDS)
def test_null_passes_every_kind(kind):
    assert clean(spec(kind), None) is None


GOOD = [
    ("text", "", ""), ("text", "Ä😀\n", "Ä😀\n"),
    ("integer", -(2**53) + 1, -(2**53) + 1), ("integer", 5.0, 5),
    ("real", 1, 1.0), ("real", -0.0, 0.0), ("real", 5e-324, 5e-324),
    ("decimal", "1.5", "1.50"), ("decimal", "+01.500", "1.50"), ("decimal", 10, "10.00"), ("decimal", 10.1, "10.10"),
    ("decimal", "-0.00", "0.00"), ("decimal", "9999999999999.99", "9999999999999.99"), ("decimal",
    Decimal("1E+3"), "1000.00"),
    ("boolean", True, True), ("boolean", False, False),
    ("date", "0001-01-01", "0001-01-01"), ("date", date(2026, 2, 28), "2026-02-28"),
    ("datetime", "2026-11-21T09:00:00Z", "2026-11-21T09:00:00.000000Z"),
    ("datetime", "2026-11-21T09:00+02:00", "2026-11-21T07:00:00.000000Z"),
    ("datetime", "2026-11-21T09:00:00.5-00:30", "2026-11-21T09:30:00.500000Z"),
    ("datetime", "0001-01-01T00:00:00.000000Z", "0001-01-01T00:00:00.000000Z"),
    ("datetime", datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), "2026-01-01T00:00:00.000000Z"),
    ("uuid", "0190B3C4-0000-7000-8000-00000000000F", "0190b3c4-0000-7000-8000-00000000000f"),
    ("uuid", "0190b3c400007000800000000000000f", "0190b3c4-0000-7000-8000-00000000000f"),
    ("uuid", uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    ("json", {"b": [1.0, -0.0], "a": 1e21}, {"b": [1, 0], "a": 1e21}), ("json", "x", "x"), ("json", False, False),
    ("choice", "a", "a"),
    ("reference", "job-1", "job-1"), ("reference", "x" * 128, "x" * 128),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "given_value", "wire"), GOOD)
def test_a_good_value_comes_out_in_wire_form(kind, given_value, wire):
    value = clean(spec(kind), given_value)
    assert value == wire
    assert type(value) is type(wire)
    assert not (isinstance(value, float) and math.copysign(1, value) < 0 and value == 0)
    assert clean(spec(kind), value) == value


HOSTILE = {
    "text": [5, True, "a\0b", "\ud800", b"x", ["a"], "x" * 100_001],
    "integer": [2**53, -(2**53), 2**63, 10**400, True, 1.5, float("nan"), float("inf"), "5", "", [5], {}],
    "real": [float("nan"), float("inf"), -float("inf"), True, "1.5", 2**53, 10**400, Decimal("1.5"), None.__class__],
    "decimal": [
        *("1.005", "1e5", "NaN", "Infinity", "", " 1", "1\n", "1_0", "١", "0x1", ".5", "1.", "9" * 500,
        "10000000000000.00", "--1"),
        *(True, float("nan"), 0.1 + 0.2, 2**63, Decimal("NaN"), Decimal("1E+999999"), [], 1e300),
    ],
    "boolean": [0, 1, "true", "", [], 0.0],
    "date": ["2026-02-30", "2026-13-01", "0000-01-01", "10000-01-01", "2026-1-1", "20260101", "2026-W01-1",
    "٢٠٢٦-01-01", "2026-01-01\n",
             "2026-01-01T00:00:00Z", 5, datetime(2026, 1, 1, tzinfo=UTC)],
    "datetime": ["2026-02-30T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:00:60Z", "2026-01-01T00:00:00",
    "2026-01-01",
                 "2026-01-01 00:00:00Z", "2026-01-01T00:00:00.1234567Z", "2026-01-01T00:00:00+99:00",
                 "0001-01-01T00:00:00+01:00",
                 "9999-12-31T23:59:59-01:00", "2026-01-01T00:00:00Z\n", 0, datetime(2026, 1, 1)],
    "uuid": ["", "{0190b3c4-0000-7000-8000-00000000000f}", "urn:uuid:0190b3c4-0000-7000-8000-00000000000f",
    "0190b3c4_0000_7000_8000_00000000000f",
             "g190b3c4-0000-7000-8000-00000000000f", "0190b3c4-0000-7000-8000-00000000000", 5,
             "٠190b3c4-0000-7000-8000-00000000000f"],
    "json": [{"a": float("nan")}, [float("inf")], 2**53, {"a": 2**63}, 1e20, "\ud800", {"\udfff": 1},
    {"__proto__": 1}, [{"__proto__": {}}],
             DEEP, VERY_DEEP, {1: 2}, {"a": {1, 2}}, {"a": (1,)}, b"x", "x" * 300_000, datetime(2026, 1, 1)],
    "choice": ["c", "", "A", 5, True, ["a"], {"a": 1}, "\ud800", "a\n"],
    "reference": ["", "x" * 129, "a\nb", "a\0", "\x7f", "\x85", "\ud800", 5, ["a"]],
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "value"),
    [(kind, value) for kind, values in HOSTILE.items() for value in values],
    ids=lambda v: ascii(v)[:40],
)
def test_a_hostile_value_is_refused_with_a_code(kind, value):
    with pytest.raises(InvalidValue) as refused:
        clean(spec(kind), value)
    assert refused.value.code in ("bad_value", "too_large")
    assert refused.value.message.encode()
    assert len(refused.value.message) < 300


@pytest.mark.parametrize("value", ["", "\x00", "a\x9f", "x" * 129, 5, "\udc00"])
def test_a_bad_record_id_is_refused(value):
    with pytest.raises(InvalidValue):
        clean_id(value)


def test_an_indexed_text_is_kept_short_enough_for_an_index():
    assert clean(spec("text", indexed=True), "😀" * 500)
    with pytest.raises(InvalidValue) as refused:
        clean(spec("text", unique=True), "x" * 501)
    assert refused.value.code == "too_large"


plain = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(codec="utf-8"), max_size=20)
)
number = st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: abs(x) < 2**53 or abs(x) >= 1e21)
keys = st.text(st.characters(codec="utf-8"), max_size=5).filter(lambda key: key != "__proto__")
documents = st.recursive(
    plain | number, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=8
)


@given(documents)
def test_json_reads_back_as_it_was_cleaned(document):
    value = clean(spec("json"), document)
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text
    assert clean(spec("json"), value) == value


@given(documents)
def test_canonical_json_is_rfc_8785_whichever_way_it_is_made(document):
    import rfc8785  # noqa: PLC0415

    value = clean(spec("json"), document)
    assert canonical_json(value).encode() == rfc8785.dumps(value)


values = {
    "text": st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=50),
    "integer": st.integers(-(2**53) + 1, 2**53 - 1),
    "real": st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False),
    "decimal": st.integers(-(10**15) + 1, 10**15 - 1).map(lambda n: str(Decimal(n).scaleb(-2))),
    "boolean": st.booleans(),
    "date": st.dates().map(date.isoformat),
    "datetime": st.datetimes(timezones=st.just(UTC)),
    "uuid": st.uuids().map(str),
    "json": documents,
    "choice": st.sampled_from(["a", "b"]),
    "reference": st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=128),
}


@pytest.mark.contract
@pytest.mark.django_db
@pytest.mark.parametrize("kind", KINDS)
def test_every_value_survives_the_database(kind):
    field = spec(kind)

    with connection.cursor() as cursor:
        cursor.execute(f'CREATE TEMP TABLE "probe" ("f" {column_type(field, connection.vendor)})')

        @given(values[kind])
        def survives(value):
            wire = clean(field, value)
            cursor.execute('DELETE FROM "probe"')
            cursor.execute('INSERT INTO "probe" VALUES (%s)', [to_db(field, wire, connection.vendor)])
            cursor.execute('SELECT "f" FROM "probe"')
            back = from_db(field, cursor.fetchone()[0], connection.vendor)
            assert back == wire
            assert type(back) is type(wire)

        survives()
        cursor.execute('DROP TABLE "probe"')


@pytest.mark.parametrize("kind", KINDS)
def test_every_value_survives_a_replica(kind):
    field = spec(kind)
    replica = sqlite3.connect(":memory:")
    replica.execute(f'CREATE TABLE "probe" ("f" {replica_type(field)})')

    @given(values[kind])
    def survives(value):
        wire = clean(field, value)
        replica.execute('DELETE FROM "probe"')
        replica.execute('INSERT INTO "probe" VALUES (?)', [to_replica(field, wire)])
        assert from_db(field, replica.execute('SELECT "f" FROM "probe"').fetchone()[0], "sqlite") == wire

    survives()
    replica.close()


def test_the_json_schema_describes_what_is_accepted():
    fields = tuple(FieldSpec(f"f_{kind}", kind, choices=(Choice("a", "A"),), required=kind == "text") for kind in KINDS)
    schema = json_schema_of(ObjectSpec("job", "jobs", fields=fields, statuses=(Choice("open", "Open"),)))
    jsonschema.Draft202012Validator.check_schema(schema)
    record = {
        "f_text": "x", "f_integer": 1, "f_real": 1.5, "f_decimal": "1.50", "f_boolean": True,
        "f_date": "2026-01-01", "f_choice": "a",
        "f_datetime": "2026-01-01T00:00:00.000000Z", "f_uuid": str(uuid.UUID(int=1)), "f_json": {"a": 1},
        "f_reference": "r", "status": "open",
    }  # fmt: skip
    jsonschema.validate(record, schema)
    jsonschema.validate({"f_text": "x", "f_choice": None}, schema)
    for bad in (
        {},
        {"f_text": None},
        {"f_text": "x", "f_choice": "b"},
        {"f_text": "x", "f_decimal": "1.5"},
        {"f_text": "x", "status": "gone"},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, schema)
