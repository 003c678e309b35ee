"""Tests of the parser of client messages, without a database."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.wire.codes import Code
from sync.wire.limits import Limits
from sync.wire.protocol import (
    Hello,
    Ping,
    ProtocolError,
    Push,
    Subscribe,
    Verify,
    VerifyRanges,
    open_frame,
    parse,
    utf8_size,
)
from sync.wire.strict_json import NotStrict, loads

LIMITS = Limits()
PUSH = '{"type":"push","ref":7,"schema_version":1,"cursor":0}'


def read(text: str, limits: Limits = LIMITS):
    return parse(open_frame(text, limits), limits)


def rejected(text: str, limits: Limits = LIMITS) -> ProtocolError:
    with pytest.raises(ProtocolError) as error:
        read(text, limits)
    return error.value


def op(**changed) -> str:
    line = {"op_id": 1, "table": "jobs", "id": "a", "op": "insert", "base_version": 0, "payload": {"title": "t"}}
    return json.dumps({k: v for k, v in {**line, **changed}.items() if v is not ...})


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(JSON, st.sampled_from([None, 1]), st.sampled_from([(",", ":"), (", ", ": ")]), st.booleans())
def test_json_without_duplicate_keys_is_parsed_as_the_standard_library_parses_it(
    value, indent, separators, ascii_only
) -> None:
    text = json.dumps(value, indent=indent, separators=separators, ensure_ascii=ascii_only)
    assert loads(text, depth=64) == value


@given(st.text(st.characters(exclude_categories=["Cs"])), JSON, JSON, st.sampled_from(["", " ", "\t", "\n"]))
def test_a_duplicate_key_is_found_at_any_depth(key, first, second, blank) -> None:
    name = json.dumps(key)
    inner = f"{{{name}{blank}:{json.dumps(first)},{blank}{name}:{json.dumps(second)}}}"
    for text in (
        inner,
        f'{{"a":[1,{inner}]}}',
        f'{{":":":",{json.dumps(key + "x")}:{inner}}}',
    ):
        with pytest.raises(NotStrict, match="duplicate"):
            loads(text, depth=64)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "{",
        '{"a":NaN}',
        '{"a":Infinity}',
        '"\\ud800"',
        '{"a":"\ud800"}',
        "[" * 10_000 + "]" * 10_000,
        "[" * 600 + "]" * 600,
        '{"a":1}x',
        "01",
    ],
)
def test_text_that_is_not_strict_json_is_rejected(text: str) -> None:
    with pytest.raises(NotStrict):
        loads(text, depth=40)


def test_brackets_inside_strings_do_not_count_as_depth() -> None:
    assert loads(json.dumps({"a": "[" * 5000}), depth=2) == {"a": "[" * 5000}


@given(st.text(), st.integers(0, 40))
def test_sizes_are_exact_wherever_they_could_exceed_the_limit(text: str, limit: int) -> None:
    exact = len(text.encode("utf-8", "surrogatepass"))
    assert (utf8_size(text, limit) > limit) == (exact > limit)


def test_a_hello_is_read_with_all_its_keys() -> None:
    body = {
        "type": "hello",
        "protocol": "moat.v1",
        "token": "t",
        "device": "d",
        "schema_version": 3,
        "cursor": 9,
        "state_hash": "ab" * 32,
        "later": 1,
    }
    hello = read(json.dumps(body))
    assert hello == Hello("moat.v1", "t", "d", 3, 9, b"\xab" * 32, None, "")
    assert "'t'" not in repr(hello)


def test_a_push_keeps_its_ops_in_order() -> None:
    push = read("\n".join([PUSH, op(), op(op_id=2, tx="x"), op(op_id=5, tx="x", op="delete", payload=...)]))
    assert isinstance(push, Push)
    assert push.ref == 7
    assert [(o.op_id, o.tx, o.op) for o in push.ops] == [(1, None, "insert"), (2, "x", "insert"), (5, "x", "delete")]


def test_an_invalid_op_is_left_to_the_engine_and_does_not_reject_the_push() -> None:
    push = read("\n".join([PUSH, op(table=5, id=None, op=[], base_version="x", at=3, settles={})]))
    assert isinstance(push, Push)
    (bad,) = push.ops
    assert (bad.table, bad.id, bad.op, bad.base_version, bad.at, bad.settles) == ("", "", "", -1, "", "")


def test_a_missing_base_version_never_passes_for_the_current_one() -> None:
    push = read("\n".join([PUSH, op(base_version=...), op(op_id=2, op="settle", base_version=...)]))
    assert isinstance(push, Push)
    assert [o.base_version for o in push.ops] == [-1, 0]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[]", Code.MALFORMED),
        ("{}", Code.MALFORMED),
        ('{"type":5}', Code.MALFORMED),
        ('{"type":"ping","ref":"a"}', Code.MALFORMED),
        ('{"type":"ping","ref":9007199254740993}', Code.MALFORMED),
        ('{"type":"nonsense"}', Code.UNKNOWN_TYPE),
        ('{"type":"ping"}\n{}', Code.MALFORMED),
        ('{"type":"subscribe","schema_version":-1,"cursor":0}', Code.MALFORMED),
        ('{"type":"subscribe","schema_version":1,"cursor":1.5}', Code.MALFORMED),
        ('{"type":"subscribe","schema_version":true,"cursor":0}', Code.MALFORMED),
        ('{"type":"subscribe","schema_version":1,"cursor":0,"state_hash":"zz"}', Code.MALFORMED),
        ('{"type":"subscribe","schema_version":1,"cursor":0,"state_hash":"' + "AB" * 32 + '"}', Code.MALFORMED),
        ('{"type":"verify","table":"jobs","ranges":[["a"]]}', Code.MALFORMED),
        ('{"type":"verify","table":"jobs","ranges":[]}', Code.MALFORMED),
        ('{"type":"verify","tables":[1]}', Code.MALFORMED),
        (json.dumps({"type": "verify", "tables": ["a"] * 201}), Code.TOO_LARGE),
        ('{"type":"repair","table":"jobs","low":1}', Code.MALFORMED),
        ('{"type":"part","snapshot":"x","part":-1}', Code.MALFORMED),
        (PUSH + "\n" + op(op_id=0), Code.MALFORMED),
        (PUSH + "\n" + op(op_id="1"), Code.MALFORMED),
        (PUSH + "\n" + op(op_id=2**63), Code.MALFORMED),
        (PUSH + "\n" + op(tx=[]), Code.MALFORMED),
        (PUSH + "\n" + op() + "\n" + op(), Code.OP_ORDER),
        (PUSH + "\n" + op(op_id=2) + "\n" + op(op_id=1), Code.OP_ORDER),
        ("\n".join([PUSH, op(tx="x"), op(op_id=2), op(op_id=3, tx="x")]), Code.OP_ORDER),
        (PUSH + "\n[]", Code.MALFORMED),
        (PUSH + "\n", Code.MALFORMED),
    ],
)
def test_a_bad_message_is_rejected_with_its_code(text: str, code: Code) -> None:
    assert rejected(text).code is code


def test_an_error_carries_the_ref_of_its_request() -> None:
    assert rejected(PUSH + "\nnonsense").ref == 7


def test_frames_lines_and_pushes_over_their_limits_are_rejected() -> None:
    limits = Limits(frame=400, line=200, ops=2)
    assert rejected("x" * 401, limits).code is Code.TOO_LARGE
    assert rejected("é" * 201, limits).code is Code.TOO_LARGE
    assert rejected('{"type":"ping"}\n' + "y" * 201, limits).code is Code.TOO_LARGE
    assert rejected("\n".join([PUSH, *("{}" for _ in range(3))]), limits).code is Code.TOO_MANY_OPS


def test_small_requests_are_read() -> None:
    assert read('{"type":"ping","ref":3}') == Ping(3)
    assert read('{"type":"subscribe","schema_version":0,"cursor":0,"state_hash":""}') == Subscribe(0, 0, None)
    assert read('{"type":"verify"}') == Verify(None)
    assert read('{"type":"verify","table":"jobs","ranges":[[null,"m"],["n",null]]}') == VerifyRanges(
        "jobs", ((None, "m"), ("n", None))
    )


@given(st.text(max_size=200))
def test_no_text_at_all_raises_anything_but_a_protocol_error(text: str) -> None:
    for frame in (text, PUSH + "\n" + text, '{"type":"hello",' + text):
        try:
            read(frame)
        except ProtocolError as error:
            assert error.code in Code
