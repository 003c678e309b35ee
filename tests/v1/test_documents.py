"""Tests of documents over HTTP: each comes back byte for byte, or its push is rejected with code 1, storing nothing."""

import base64
import functools
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sync.entities.cbor import CborError, Tag, decode, encode
from sync.models import Change
from tenants.models import Tenant
from tests.v1.http import Http
from tests.v1.test_cbor import VALUES, loose

pytestmark = pytest.mark.django_db

NAMES = [
    "title",
    "body",
    "number",
    "attrs",
    "due",
    "price",
    "object_type",
    "status",
    "id",
    "version",
    "ändern",
    "a\x00b",
    "",
]
NANS = [
    b"\xf9\x7e\x00",
    b"\xf9\x7e\x01",
    b"\xfa\x7f\xc0\x00\x01",
    b"\xfb\x7f\xf0\x00\x00\x00\x00\x00\x01",
    b"\xfb\xff\xf8" + bytes(6),
]


@st.composite
def field_maps(draw: st.DrawFn) -> bytes:
    """Draw a map of declared and other keys to any values, of definite or indefinite length, in any order."""
    keys = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=6))
    items = b"".join(encode(key) + draw(st.one_of(loose(3), st.sampled_from(NANS), VALUES.map(encode))) for key in keys)
    return bytes([0xBF]) + items + b"\xff" if draw(st.booleans()) else bytes([0xA0 | len(keys)]) + items


@st.composite
def monsters(draw: st.DrawFn) -> bytes:
    """Draw valid CBOR that is deep, long, or both."""
    depth = draw(st.sampled_from([30, 33, 64, 65, 200, 5000, 100_000]))
    opening, closing = draw(
        st.sampled_from(
            [(b"\x81", b""), (b"\x9f", b"\xff"), (b"\xa1\x61a", b""), (b"\xbf\x61a", b"\xff"), (b"\xc1", b"")]
        )
    )
    inner = draw(
        st.sampled_from(
            [b"\x00", b"\xf6", b"\x5a\x00\x01\x00\x00" + bytes(65536), b"\x9a\x00\x01\x86\xa1" + b"\x00" * 100_001]
        )
    )
    nested = opening * depth + inner + closing * depth
    return b"\xa1" + encode(draw(st.sampled_from(["attrs", "other"]))) + nested if draw(st.booleans()) else nested


DOCUMENTS = st.one_of(
    loose(), field_maps(), monsters(), VALUES.map(encode), st.sampled_from(NANS), st.binary(max_size=60)
)


@pytest.fixture
def devices(notes: Tenant) -> Callable[[str], Http]:
    """Return one device per encoding for all examples."""
    return functools.cache(lambda kind: Http(notes, kind))


@pytest.mark.parametrize("kind", ["cbor", "json"])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@example(body=b"")
@example(body=encode({"title": "a\x00b"}))
@example(body=encode({"number": 2**64 - 1}))
@example(body=encode({"attrs": 2**63}))
@example(body=b"\xa1\x65attrs" + struct.pack(">Bd", 0xFB, float("nan")))
@example(body=b"\xa2\x65title\x61a\x65title\x61b")
@given(body=DOCUMENTS)
def test_a_document_round_trips_or_is_refused(
    notes: Tenant, devices: Callable[[str], Http], kind: str, body: bytes
) -> None:
    http = devices(kind)
    notes.refresh_from_db()
    start = notes.cursor
    stored: list[tuple[str, bytes]] = []
    for collection in ("blobs", "notes"):
        record = f"{http.number}-{collection}"
        status, answer = http.push(
            http.op(record, 1, body, collection=collection), http.op(f"{record}-2", 1, {}, collection=collection)
        )
        if status == 200:
            assert answer == {"acknowledgedUpToOpId": http.number, "conflicts": []}
            stored += [(record, body), (f"{record}-2", b"\xa0")]
        else:
            assert collection == "notes", "an opaque collection accepts everything"
            assert (status, answer["code"]) == (400, 1), answer
            assert answer["field"].startswith("ops[0]"), answer
            assert not Change.objects.filter(tenant=notes, record_id__in=[record, f"{record}-2"]).exists()
    status, page = http.pull(start)
    assert status == 200
    assert [(op["entityId"], _bytes(op["entityCbor"])) for op in page["ops"]] == stored


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else base64.b64decode(value)


@pytest.mark.parametrize("size", [1 << 20, 4 << 20])
def test_large_documents_come_back_and_larger_ones_are_rejected(notes: Tenant, size: int) -> None:
    http = Http(notes)
    body = b"\x5a" + (size - 5).to_bytes(4, "big") + bytes(range(256)) * (size // 256 - 1) + bytes(251)
    assert len(body) == size
    assert http.push(http.op("b1", 1, body, collection="blobs"))[0] == 200
    assert http.pull(collections=["blobs"])[1]["ops"][0]["entityCbor"] == body
    status, answer = http.push(http.op("b2", 1, body + bytes(4 << 20), collection="blobs"))
    assert (status, answer["code"], answer["field"]) == (413, 1, "ops[0].entityCbor")


def test_bytes_the_decoder_rejects_are_a_valid_document(notes: Tenant) -> None:
    http = Http(notes)
    for n, body in enumerate([b"\xff", b"\x81" * 100, b"\x1c", b"\xa1", b"\x00\x00"]):
        with pytest.raises(CborError):
            decode(body)
        assert http.push(http.op(f"n{n}", 1, body))[0] == 200
        assert http.pull()[1]["ops"][n]["entityCbor"] == body


@pytest.mark.parametrize(
    "tag",
    [
        Tag(2, 2**36),
        Tag(2, 1000),
        Tag(3, 2**36),
        Tag(2, b"\x01" * 100_000),
        Tag(3, b"\x01" * 65),
        Tag(37, 2**40),
        Tag(37, 16),
        Tag(2, [1, 2]),
    ],
    ids=str,
)
@pytest.mark.parametrize("field", ["title", "number", "attrs", "due", "price"])
def test_a_tag_of_bytes_around_a_number_is_no_value_and_takes_no_memory(notes: Tenant, field: str, tag: Tag) -> None:
    """`bytes(n)` returns n zeros, so a document of fifteen bytes could otherwise allocate gigabytes."""
    one = Http(notes)
    status, answer = one.push(one.op("n1", 1, {field: tag}))
    assert (status, answer["code"], answer["field"]) == (400, 1, f"ops[0].{field}")
