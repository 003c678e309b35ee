"""Tests of the CBOR codecs: bytes of real encoders, generated values, and noise."""

import json
import math
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moat_client.v1 import cbor as clients
from sync.entities import cbor as server
from sync.entities.cbor import CborError, Limits, Pairs, Simple, Tag, decode, encode

VECTORS = json.loads((Path(__file__).parents[2] / "clients/vectors/syncprotocol_v1.json").read_text())


def logical(value: Any) -> Any:
    """Return a vector's value, with `{"$bytes": hex}` as bytes."""
    if isinstance(value, dict):
        return bytes.fromhex(value["$bytes"]) if set(value) == {"$bytes"} else {k: logical(v) for k, v in value.items()}
    return [logical(v) for v in value] if isinstance(value, list) else value


# There are two copies of the codec, because clients import nothing from the server. These tests run on both.
BOTH = pytest.mark.parametrize("codec", [server, clients], ids=["server", "client"])


@BOTH
@pytest.mark.parametrize("case", VECTORS["messages"], ids=lambda case: case["id"])
def test_every_message_of_a_real_client_is_read_and_is_sent_in_deterministic_form(
    codec: Any, case: dict[str, Any]
) -> None:
    wanted = logical(case["logical"])
    for form in ("hex_dart", "hex_canonical"):
        assert codec.decode(bytes.fromhex(case[form])) == wanted
        assert codec.canonical(bytes.fromhex(case[form])).hex() == case["hex_canonical"]
    assert codec.encode(wanted).hex() == case["hex_canonical"]


@BOTH
@pytest.mark.parametrize("case", VECTORS["codec"], ids=lambda case: case["id"])
def test_every_codec_vector_holds(codec: Any, case: dict[str, Any]) -> None:
    if case["expected_error"]:
        with pytest.raises(codec.CborError, match=case["expected_error"]):
            codec.canonical(bytes.fromhex(case["input_hex"]))
    else:
        assert codec.canonical(bytes.fromhex(case["input_hex"])).hex() == case["expected_hex"]


def outcome(codec: Any, data: bytes) -> tuple[str, bytes]:
    """Return what a codec makes of bytes: the value's repr and its deterministic form, or the error message."""
    try:
        value = codec.decode(data, codec.Limits(size=5000, depth=20, items=50))
    except codec.CborError as error:
        return f"CborError: {error}", b""
    return repr(value), codec.encode(value)


KEYS = st.one_of(st.text(max_size=40), st.integers(-(2**64), 2**64 - 1), st.binary(max_size=5))
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**64), 2**64 - 1),
        st.floats(),
        st.text(),
        st.binary(),
        st.builds(Simple, st.integers(32, 255)),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(st.text(max_size=40), inner, max_size=5),
        st.builds(Tag, st.integers(6, 2**64 - 1), inner),
        st.dictionaries(KEYS, inner, min_size=1, max_size=4)
        .filter(lambda d: not all(type(k) is str for k in d))
        .map(lambda d: Pairs(tuple(d.items()))),
    ),
    max_leaves=25,
)


@given(VALUES)
def test_what_is_encoded_is_read_back_and_encoded_alike(value: Any) -> None:
    data = encode(value)
    again = decode(data)
    assert encode(again) == data


@given(
    st.recursive(
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(-(2**64), 2**64 - 1),
            st.floats(allow_nan=False),
            st.text(),
            st.binary(),
        ),
        lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(st.text(max_size=40), inner, max_size=6)),
    )
)
def test_another_implementation_agrees(value: Any) -> None:
    assert cbor2.loads(encode(value)) == value
    assert decode(cbor2.dumps(value)) == value


@settings(max_examples=2000)
@given(st.binary(max_size=80))
def test_noise_is_a_value_or_a_cbor_error(data: bytes) -> None:
    try:
        value = decode(data)
    except CborError:
        return
    assert encode(decode(encode(value))) == encode(value)


@st.composite
def loose(draw: st.DrawFn, depth: int = 4) -> bytes:
    """Draw valid CBOR that no deterministic encoder writes: indefinite lengths, long heads."""
    kind = draw(
        st.sampled_from(["int", "text", "bytes", "array", "map", "tag", "float"] if depth else ["int", "text", "float"])
    )

    def head(major: int, n: int) -> bytes:
        size = draw(st.sampled_from([s for s in (0, 1, 2, 4, 8) if n < (24 if s == 0 else 1 << 8 * s)]))
        return (
            bytes([major << 5 | n])
            if size == 0
            else bytes([major << 5 | {1: 24, 2: 25, 4: 26, 8: 27}[size]]) + n.to_bytes(size, "big")
        )

    if kind == "int":
        return head(draw(st.integers(0, 1)), draw(st.integers(0, 2**64 - 1)))
    if kind == "float":
        return draw(
            st.sampled_from(
                [b"\xf9\x7e\x01", b"\xfa\x7f\xc0\x00\x01", b"\xfb" + bytes(8), b"\xf9\x00\x01", b"\xf7", b"\xf8\x20"]
            )
        )
    if kind in ("text", "bytes"):
        major = 3 if kind == "text" else 2
        parts = [p.encode() for p in draw(st.lists(st.text(max_size=8), max_size=3))]
        if draw(st.booleans()):
            return bytes([major << 5 | 31]) + b"".join(head(major, len(p)) + p for p in parts) + b"\xff"
        whole = b"".join(parts)
        return head(major, len(whole)) + whole
    if kind == "tag":
        return head(6, draw(st.integers(0, 99999))) + draw(loose(depth - 1))
    items = draw(st.lists(loose(depth - 1), max_size=4))
    if kind == "map":
        items = [head(3, len(str(n))) + str(n).encode() + item for n, item in enumerate(items)]
    major, count = (5, len(items)) if kind == "map" else (4, len(items))
    if draw(st.booleans()):
        return bytes([major << 5 | 31]) + b"".join(items) + b"\xff"
    return head(major, count) + b"".join(items)


@given(loose())
def test_any_valid_cbor_is_read(data: bytes) -> None:
    value = decode(data)
    assert encode(decode(encode(value))) == encode(value)


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """Draw almost valid CBOR: one byte changed, removed, or inserted."""
    data = bytearray(draw(loose()))
    at = draw(st.integers(0, len(data) - 1))
    data[at : at + draw(st.integers(0, 1))] = draw(st.binary(max_size=1))
    return bytes(data)


@settings(max_examples=400)
@given(st.one_of(loose(), spoilt(), VALUES.map(encode), st.binary(max_size=80)))
def test_the_two_codecs_behave_alike(data: bytes) -> None:
    assert outcome(server, data) == outcome(clients, data)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("", "end of data"),
        ("1c", "initial byte"),
        ("ff", "Unexpected break"),
        ("0000", "extra bytes"),
        ("9b0000000100000000", "items"),
        ("9a000186a0", "end of data"),
        ("7f4161ff", "wrong type"),
        ("61ff", "UTF-8"),
        ("a2616100616101", "Duplicate"),
        ("a201000101", "Duplicate"),
        ("a161", "end of data"),
        ("f810", "below 32"),
        ("bf6161ff", "Break code"),
        ("c1ff", "Break code"),
    ],
)
def test_invalid_cbor_is_rejected(data: str, why: str) -> None:
    with pytest.raises(CborError, match=why):
        decode(bytes.fromhex(data))


def test_bounds_hold() -> None:
    with pytest.raises(CborError, match="levels"):
        decode(b"\x81" * 65 + b"\x00")
    assert decode(b"\x81" * 64 + b"\x00")
    with pytest.raises(CborError, match="levels"):
        decode(b"\xc1" * 100_000 + b"\x00")
    with pytest.raises(CborError, match="bytes"):
        decode(bytes(11), Limits(size=10))
    with pytest.raises(CborError, match="items"):
        decode(b"\x9f" + b"\x00" * 11 + b"\xff", Limits(items=10))
    inner = b"\x84" + b"\x00" * 4
    for codec in (server, clients):
        assert codec.decode(b"\x82" + inner * 2, codec.Limits(items=11))
        with pytest.raises(codec.TooManyItems, match="10 items"):
            codec.decode(b"\x82" + inner * 2, codec.Limits(items=10))
        with pytest.raises(codec.TooManyItems, match="items"):
            codec.decode(b"\xa3" + b"".join(b"\x61%c\x00" % key for key in b"abc"), codec.Limits(items=6))
    assert server.count_items(b"\x82" + inner * 2, Limits(items=11)) == 11
    nested: Any = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(CborError, match="deep"):
        encode(nested)


def test_a_value_without_a_cbor_form_is_rejected() -> None:
    for value in (object(), 2**64, "\ud800", {1, 2}):
        with pytest.raises(CborError):
            encode(value)


def test_floats_are_sent_in_their_shortest_form() -> None:
    assert [encode(v).hex() for v in (1.0, 0.1, 100000.5, -0.0, math.nan, math.inf)] == [
        "f93c00", "fb3fb999999999999a", "fa47c35040", "f98000", "f97e00", "f97c00",
    ]  # fmt: skip
