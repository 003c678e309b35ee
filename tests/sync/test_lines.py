"""Tests of change lines and their hash chain."""

import hashlib
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.wire.chain import fold, link
from sync.wire.lines import decode_line, encode_change, made_at_of, wire_time
from tenants.genesis import genesis

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def test_a_line_has_its_keys_in_the_order_of_the_spec():
    patch = [{"op": "replace", "path": "/status", "value": "done"}]
    line = encode_change(42, 3, "jobs", "job-123", "update", 7, patch, wire_time(NOW), "olga", "d1", 12)
    assert line == (
        b'{"cursor":42,"schema_version":3,"table":"jobs","id":"job-123","op":"update","version":7,'
        b'"payload":[{"op":"replace","path":"/status","value":"done"}],"at":"2026-11-21T09:00:00.000000Z","by":"olga",'
        b'"device":"d1","op_id":12}'
    )


def test_the_line_of_a_server_side_change_names_no_device():
    line = encode_change(1, 1, "jobs", "ä\n", "delete", 2, None, wire_time(NOW), "olga")
    assert b"device" not in line
    assert b"op_id" not in line
    assert b"\n" not in line
    assert decode_line(line)["id"] == "ä\n"


@given(st.lists(st.binary(max_size=40), max_size=5), st.lists(st.binary(max_size=40), max_size=5))
def test_folding_is_linking_one_by_one_from_anywhere(first, second):
    start = genesis("0" * 32, "acme")
    state = start
    for line in first + second:
        state = link(state, line)
    assert fold(fold(start, first), second) == state == fold(start, first + second)


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=5), st.data())
def test_any_altered_line_alters_the_chain(lines, data):
    at = data.draw(st.integers(0, len(lines) - 1))
    altered = [*lines[:at], lines[at] + b"x", *lines[at + 1 :]]
    assert fold(b"\0" * 32, altered) != fold(b"\0" * 32, lines)


def test_the_chain_is_what_the_spec_says():
    state = b"\x01" * 32
    assert link(state, b"{}") == hashlib.sha256(hashlib.sha256(b"{}").digest() + state).digest()
    assert genesis("ab", "acme") == hashlib.sha256(b"moat.v1\x00ab\x00acme").digest()
    assert genesis("ab", "acme", "c7") == hashlib.sha256(b"moat.v1\x00ab\x00acme\x00c7").digest()


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (None, None),
        ("2026-11-21T08:59:30Z", None),
        ("2026-11-21T09:30:00Z", None),
        ("2026-11-21T08:00:00Z", "2026-11-21T08:00:00.000000Z"),
        ("2026-11-21T10:00:00.5+02:00", "2026-11-21T08:00:00.500000Z"),
        ("2026-11-21T08:00:00.000001Z", "2026-11-21T08:00:00.000001Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
    ],
)
def test_a_line_says_when_its_op_was_made_if_that_was_long_before(made, expected):
    assert made_at_of(made, NOW) == expected


@pytest.mark.parametrize("made", ["yesterday", "", "0001-01-01T00:00:00+23:00", "2026-13-01T00:00:00Z"])
def test_an_invalid_time_is_rejected(made):
    with pytest.raises(ValueError, match=r".*"):
        made_at_of(made, NOW)


def test_times_are_in_utc_with_microseconds():
    assert wire_time(NOW.astimezone(timezone(timedelta(hours=5)))) == "2026-11-21T09:00:00.000000Z"
