"""Both copies of the codec against cbor2 and the examples of RFC 8949: neither copy is the only check of the other."""

import ast
import inspect
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from moat_client.v1 import cbor as client
from sync.entities import cbor as server
from tests.v1.test_cbor import loose, spoilt

BOTH = pytest.mark.parametrize("codec", [server, client], ids=["server", "client"])
FIRST_FREE_TAG = 60_000
"""cbor2 gives values of its own to some lower tags; the codec keeps every tag as it is."""

# RFC 8949 appendix A: bytes, value, and whether these bytes are the deterministic form.
APPENDIX_A: list[tuple[str, Any, bool]] = [
    ("00", 0, True), ("01", 1, True), ("0a", 10, True), ("17", 23, True), ("1818", 24, True), ("1819", 25, True),
    ("1864", 100, True), ("1903e8", 1000, True), ("1a000f4240", 1000000, True),
    ("1b000000e8d4a51000", 1000000000000, True), ("1bffffffffffffffff", 18446744073709551615, True),
    ("3bffffffffffffffff", -18446744073709551616, True), ("20", -1, True), ("29", -10, True), ("3863", -100, True),
    ("3903e7", -1000, True),
    ("f90000", 0.0, True), ("f98000", -0.0, True), ("f93c00", 1.0, True), ("fb3ff199999999999a", 1.1, True),
    ("f93e00", 1.5, True), ("f97bff", 65504.0, True), ("fa47c35000", 100000.0, True),
    ("fa7f7fffff", 3.4028234663852886e38, True), ("fb7e37e43c8800759c", 1.0e300, True),
    ("f90001", 5.960464477539063e-8, True), ("f90400", 0.00006103515625, True), ("f9c400", -4.0, True),
    ("fbc010666666666666", -4.1, True), ("f97c00", float("inf"), True), ("f97e00", float("nan"), True),
    ("f9fc00", float("-inf"), True), ("fa7f800000", float("inf"), False), ("fa7fc00000", float("nan"), False),
    ("faff800000", float("-inf"), False), ("fb7ff0000000000000", float("inf"), False),
    ("fb7ff8000000000000", float("nan"), False), ("fbfff0000000000000", float("-inf"), False),
    ("f4", False, True), ("f5", True, True), ("f6", None, True),
    ("40", b"", True), ("4401020304", bytes([1, 2, 3, 4]), True), ("60", "", True), ("6161", "a", True),
    ("6449455446", "IETF", True), ("62225c", '"\\', True), ("62c3bc", "ü", True), ("63e6b0b4", "水", True),
    ("64f0908591", "\U00010151", True),
    ("80", [], True), ("83010203", [1, 2, 3], True), ("8301820203820405", [1, [2, 3], [4, 5]], True),
    ("98190102030405060708090a0b0c0d0e0f101112131415161718181819", list(range(1, 26)), True),
    ("a0", {}, True), ("a26161016162820203", {"a": 1, "b": [2, 3]}, True),
    ("826161a161626163", ["a", {"b": "c"}], True),
    ("a56161614161626142616361436164614461656145", {"a": "A", "b": "B", "c": "C", "d": "D", "e": "E"}, True),
    ("5f42010243030405ff", bytes([1, 2, 3, 4, 5]), False), ("7f657374726561646d696e67ff", "streaming", False),
    ("9fff", [], False), ("9f018202039f0405ffff", [1, [2, 3], [4, 5]], False),
    ("9f01820203820405ff", [1, [2, 3], [4, 5]], False), ("83018202039f0405ff", [1, [2, 3], [4, 5]], False),
    ("83019f0203ff820405", [1, [2, 3], [4, 5]], False),
    ("9f0102030405060708090a0b0c0d0e0f101112131415161718181819ff", list(range(1, 26)), False),
    ("bf61610161629f0203ffff", {"a": 1, "b": [2, 3]}, False), ("826161bf61626163ff", ["a", {"b": "c"}], False),
    ("bf6346756ef563416d7421ff", {"Fun": True, "Amt": -2}, False),
]  # fmt: skip

# Appendix A again: what Python has no type for. Tags are kept, not interpreted.
KEPT: list[tuple[str, str, list[Any]]] = [
    ("f7", "Simple", [23]), ("f0", "Simple", [16]), ("f8ff", "Simple", [255]),
    ("c249010000000000000000", "Tag", [2, bytes.fromhex("010000000000000000")]),
    ("c349010000000000000000", "Tag", [3, bytes.fromhex("010000000000000000")]),
    ("c074323031332d30332d32315432303a30343a30305a", "Tag", [0, "2013-03-21T20:04:00Z"]),
    ("c11a514b67b0", "Tag", [1, 1363896240]), ("c1fb41d452d9ec200000", "Tag", [1, 1363896240.5]),
    ("d74401020304", "Tag", [23, bytes([1, 2, 3, 4])]), ("d818456449455446", "Tag", [24, b"dIETF"]),
    ("d82076687474703a2f2f7777772e6578616d706c652e636f6d", "Tag", [32, "http://www.example.com"]),
    ("a201020304", "Pairs", [((1, 2), (3, 4))]),
]  # fmt: skip

# RFC 8949 appendix F: not well-formed, by kind.
MALFORMED = {
    "end of the data inside an item": (
        "18 19 1a 1b 1901 1a0102 1b01020304050607 38 58 78 98 9a01ff00 b8 d8 f8 f900 fa0000 fb000000 "
        "41 61 5affffffff00 5bffffffffffffffff010203 7affffffff00 7b7fffffffffffffff010203 "
        "81 818181818181818181 8200 a1 a20102 a100 a2000000 5f4100 7f6100 9f 9f0102 bf bf01020102 819f 9f8000 "
        "9f9f9f9f9fffffffff 9f819f819f9fffffff c0"
    ),
    "reserved additional information": "1c 1d 1e 3c 3d 3e 5c 5d 5e 7c 7d 7e 9c 9d 9e bc bd be dc dd de fc fd fe",
    "simple value below 32 in two bytes": "f800 f801 f818 f81f",
    "chunk of another kind": "5f00ff 5f21ff 5f6100ff 5f80ff 5fa0ff 5fc000ff 5fe0ff 7f4100ff 5f5f4100ffff 7f7f6100ffff",
    "break where an item belongs": (
        "ff 81ff 8200ff a1ff a1ff00 a100ff a20000ff 9f81ff 9f829f819f9fffffffff bf00ff bf000000ff"
    ),
    "integer or tag of indefinite length": "1f 3f df",
}


def docstring_removed(module: Any) -> bytes:
    """The source of a module after its docstring."""
    source = Path(inspect.getsourcefile(module) or "").read_bytes()
    docstring = ast.parse(source).body[0]
    assert isinstance(docstring, ast.Expr)
    return b"".join(source.splitlines(keepends=True)[docstring.end_lineno or 0 :])


def test_the_two_copies_are_equal_except_for_the_docstring() -> None:
    """The client imports nothing of the server, so each has its own copy; a fix of one must reach the other."""
    assert docstring_removed(server) == docstring_removed(client)
    assert len(docstring_removed(server)) > 10_000


@BOTH
@pytest.mark.parametrize(("data", "value", "deterministic"), APPENDIX_A, ids=lambda case: str(case)[:24])
def test_the_examples_of_the_standard(codec: Any, data: str, value: Any, deterministic: bool) -> None:
    found = codec.decode(bytes.fromhex(data))
    assert (type(found), repr(found)) == (type(value), repr(value))
    assert (codec.encode(value).hex() == data) is deterministic
    assert codec.encode(found) == cbor2.dumps(value, canonical=True)


@BOTH
@pytest.mark.parametrize(("data", "kind", "arguments"), KEPT, ids=lambda case: str(case)[:24])
def test_the_examples_that_python_has_no_type_for_are_kept(
    codec: Any, data: str, kind: str, arguments: list[Any]
) -> None:
    found = codec.decode(bytes.fromhex(data))
    assert found == getattr(codec, kind)(*arguments)
    assert codec.encode(found).hex() == data


@BOTH
@pytest.mark.parametrize("data", [data for items in MALFORMED.values() for data in items.split()])
def test_what_the_standard_calls_malformed_is_rejected(codec: Any, data: str) -> None:
    with pytest.raises(codec.CborError):
        codec.decode(bytes.fromhex(data))


@BOTH
@pytest.mark.parametrize("data", ["a2616100616101", "a201000101", "a20100180101", "bf616100616101ff", "a2410000410001"])
def test_duplicate_keys_are_rejected(codec: Any, data: str) -> None:
    """Also a key that is spelled in two ways: 1 as 01 and as 1801."""
    with pytest.raises(codec.CborError, match="Duplicate"):
        codec.decode(bytes.fromhex(data))
    with pytest.raises(cbor2.CBORDecodeError, match="Duplicate"):
        cbor2.loads(bytes.fromhex(data), allow_duplicate_keys=False)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**64), 2**64 - 1),
    st.floats(),
    st.floats(width=16),
    st.floats(width=32),
    st.text(),
    st.binary(),
    st.integers(32, 255).map(cbor2.CBORSimpleValue),
    st.just(cbor2.undefined),
)
KEYS = st.one_of(st.text(max_size=70), st.integers(-(2**64), 2**64 - 1), st.binary(max_size=30))
ITEMS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=30),
        st.dictionaries(st.text(max_size=70), inner, max_size=30),
        st.dictionaries(KEYS, inner, max_size=6),
        st.builds(cbor2.CBORTag, st.integers(FIRST_FREE_TAG, 2**64 - 1), inner),
    ),
    max_leaves=40,
)


def ours(codec: Any, value: Any) -> Any:
    """A value of cbor2 in the codec's types."""
    if isinstance(value, cbor2.CBORTag):
        return codec.Tag(value.tag, ours(codec, value.value))
    if isinstance(value, cbor2.CBORSimpleValue):
        return codec.Simple(value.value)
    if value is cbor2.undefined:
        return codec.Simple(23)
    if isinstance(value, dict):
        pairs = [(key, ours(codec, each)) for key, each in value.items()]
        return dict(pairs) if all(type(key) is str for key in value) else codec.Pairs(tuple(pairs))
    return [ours(codec, each) for each in value] if isinstance(value, list) else value


@BOTH
@settings(max_examples=400)
@given(value=ITEMS)
def test_cbor2_encodes_every_item_to_the_same_bytes(codec: Any, value: Any) -> None:
    expected = cbor2.dumps(value, canonical=True)
    assert codec.encode(ours(codec, value)) == expected
    assert codec.encode(codec.decode(expected)) == expected


@BOTH
@settings(max_examples=300)
@given(value=ITEMS)
def test_what_cbor2_writes_in_its_own_order_is_read(codec: Any, value: Any) -> None:
    assert codec.encode(codec.decode(cbor2.dumps(value))) == cbor2.dumps(value, canonical=True)


def incomparable(codec: Any, value: Any) -> bool:
    """Whether cbor2 reads something else: it interprets lower tags, and 1, 1.0, and True are one key of a dict."""
    if isinstance(value, codec.Tag):
        return value.number < FIRST_FREE_TAG or incomparable(codec, value.value)
    if isinstance(value, codec.Pairs):
        return any(type(key) not in (str, int, bytes) or incomparable(codec, each) for key, each in value.items)
    if isinstance(value, dict):
        return any(incomparable(codec, each) for each in value.values())
    return isinstance(value, list) and any(incomparable(codec, each) for each in value)


@BOTH
@settings(max_examples=600)
@given(data=st.one_of(loose(), spoilt(), st.binary(max_size=40)))
@example(data=bytes.fromhex("bf6161f97e01ff"))
def test_cbor2_reads_the_same_item_or_rejects_it_too(codec: Any, data: bytes) -> None:
    try:
        value = codec.decode(data)
    except codec.CborError as error:
        if str(error).endswith("extra bytes after the value."):  # cbor2.loads reads the first item only
            return
        with pytest.raises(cbor2.CBORDecodeError):
            cbor2.loads(data, allow_duplicate_keys=False)
    else:
        assume(not incomparable(codec, value))
        assert codec.encode(value) == cbor2.dumps(cbor2.loads(data, allow_duplicate_keys=False), canonical=True)


@BOTH
@pytest.mark.parametrize("value", [object(), {1, 2}, 2**64, -(2**64) - 1, "\ud800", {"a": ["\udfff"]}, 1j])
def test_what_cbor_cannot_represent_is_not_encoded(codec: Any, value: Any) -> None:
    with pytest.raises(codec.CborError):
        codec.encode(value)
