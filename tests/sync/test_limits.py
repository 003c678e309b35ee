"""Tests of the limits and budgets that need no database."""

import json
import re
from pathlib import Path
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.conf import EngineSettings
from sync.settle.quiet_log import QuietLog
from sync.settle.turn import Turn
from sync.transports.rest.conf import RestSettings
from sync.v1.conf import V1Settings
from sync.wire import limits
from sync.wire.codes import Code
from sync.wire.limits import Budget, Limits, OverBudget, work_of
from sync.wire.op_check import checked
from sync.wire.ops import Op
from sync.wire.patch import PatchFailed
from sync.wire.patching import patched
from sync.wire.strict_json import TooManyItems, count_items, loads

PAGE = (Path(__file__).resolve().parents[2] / "docs/spec/limits.md").read_text()
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.text(max_size=12)
    | st.sampled_from(['a","b', "[]{}:,"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)


def test_the_page_lists_every_limit_with_its_number() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", PAGE, re.M)
    engine, rest, v1 = EngineSettings(), RestSettings(), V1Settings()
    known: dict[str, float] = dict(Limits().wire())
    for settings, names in (
        (engine, ("patch_ops", "patch_bytes", "op_work", "tx_work", "turn_seconds", "turn_work", "base_bytes")),
        (rest, ("rest_body", "rest_items", "rest_depth")),
        (v1, ("v1_body", "v1_items", "v1_entity", "v1_ops")),
    ):
        known |= {name: getattr(settings, name) for name in names}
    for name in ("patch_depth", "pointer_length", "v1_push_work", "v1_depth"):
        known[name] = getattr(limits, name.upper())
    assert {name: float(number) for name, number in rows} == known
    assert len(rows) == len(known)


def items_in(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + len(value) + sum(map(items_in, value.values()))
    return 1 + sum(map(items_in, value)) if isinstance(value, list) else 1


@given(JSON, st.sampled_from([None, 1]))
def test_items_are_counted_exactly_without_parsing(value: Any, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    exact = items_in(value)
    assert count_items(text, 0) == exact
    loads(text, depth=50, items=exact)
    if exact > 1:
        with pytest.raises(TooManyItems):
            loads(text, depth=50, items=exact - 1)


ODD: list[Any] = [None, True, 0, 1.5, "", [], {}, [[]], {"a": []}, "add", "/title"]
SHAPES = (
    [{"op": odd, "path": "/title", "value": 1} for odd in ODD if odd != "add"]
    + [{"op": "add", "path": odd, "value": 1} for odd in ODD if odd != "/title"]
    + [{"op": "copy", "from": odd, "path": "/title"} for odd in ODD if odd != "/title"]
    + list(ODD)
)


@pytest.mark.parametrize("step", SHAPES, ids=repr)
def test_an_oddly_typed_step_is_found_before_anything_is_queued(step: Any) -> None:
    problem = checked(Op(1, None, "jobs", "a", "update", 1, [step])).problem
    assert problem is not None
    assert problem.code is Code.BAD_PATCH


@given(JSON, JSON, JSON, JSON, JSON, st.sampled_from(["insert", "update", "delete", "settle"]))
def test_the_check_never_raises(table: Any, record_id: Any, payload: Any, at: Any, base: Any, verb: str) -> None:
    op = checked(Op(1, None, table, record_id, verb, base, payload, at, at))
    assert op.checked
    if op.problem is None:
        assert type(op.table) is str
        assert type(op.id) is str


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"id": {}}, Code.BAD_ID),
        ({"table": []}, Code.UNKNOWN_TABLE),
        ({"op": []}, Code.UNKNOWN_OP),
        ({"base_version": []}, Code.BAD_OP),
        ({"at": {}}, Code.BAD_VALUE),
        ({"settles": []}, Code.UNKNOWN_CONFLICT),
        ({"payload": {1: 2}}, Code.BAD_OP),
        ({"op": "update", "payload": {}}, Code.BAD_PATCH),
        ({"op": "update", "payload": [{"op": "add", "path": "/a" * 65, "value": 1}]}, Code.BAD_PATCH),
        ({"op": "update", "payload": [{"op": "add", "path": "/" + "a" * 2000, "value": 1}]}, Code.BAD_PATCH),
        ({"op": "update", "payload": [{"op": "replace", "path": "/a"}]}, Code.BAD_PATCH),
    ],
)
def test_an_odd_member_has_its_code(changed: dict[str, Any], code: Code) -> None:
    op = Op(**{"op_id": 1, "tx": None, "table": "jobs", "id": "a", "op": "insert", "payload": {}, **changed})
    problem = checked(op).problem
    assert problem is not None
    assert problem.code is code


def free() -> Budget:
    return Budget("op_work", 10**9)


POINTERS = st.sampled_from(
    [
        "/a",
        "/b",
        "/a/x",
        "/a/y",
        "/a/x/0",
        "/a/x/1",
        "/a/x/-",
        "/b/0",
        "/b/01",
        "/b/x",
        "/a/x/y",
        "/a/~0",
        "/a/~1",
        "/a/~2",
    ]
)
STEPS = st.one_of(
    st.builds(
        lambda op, path, value: {"op": op, "path": path, "value": value},
        st.sampled_from(["add", "replace", "test"]),
        POINTERS,
        JSON,
    ),
    st.builds(lambda path: {"op": "remove", "path": path}, POINTERS.filter(lambda path: path.count("/") > 1)),
    st.builds(
        lambda op, source, path: {"op": op, "from": source, "path": path},
        st.sampled_from(["copy", "move"]),
        POINTERS.filter(lambda path: path.count("/") > 1),
        POINTERS,
    ),
)
INNER = st.dictionaries(st.sampled_from(["x", "y", "~", "/"]), JSON | st.lists(JSON, max_size=3), max_size=4)


@given(INNER, JSON, st.lists(STEPS, max_size=5))
def test_a_patch_does_what_the_standard_says_and_leaves_its_input_alone(a: Any, b: Any, steps: list[Any]) -> None:
    record = {"a": a, "b": b}
    before = json.dumps([record, steps])
    try:
        mine: Any = {**record, **patched(record, steps, free())}
    except PatchFailed:
        mine = None
    assert json.dumps([record, steps]) == before
    try:
        theirs: Any = jsonpatch.apply_patch(record, steps)
    except (
        jsonpatch.JsonPatchException,
        jsonpatch.JsonPointerException,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
    ):
        theirs = None
    if mine is not None and theirs is not None:
        assert json.dumps(mine, sort_keys=True) == json.dumps(theirs, sort_keys=True)
    # In `test`, the library takes true for 1, and is lenient about values without children. The other way round it is
    # strict.
    if mine is not None:
        assert theirs is not None, steps


def test_copies_are_charged_as_they_are_made() -> None:
    big: dict[str, Any] = {"a": [[] for _ in range(10_000)]}
    step = [{"op": "copy", "from": "/f/a", "path": "/f/b"}, {"op": "remove", "path": "/f/b"}]
    one = Budget("op_work", 10**9)
    patched({"f": big}, step, one)
    tight = Budget("op_work", one.spent * 3)
    with pytest.raises(OverBudget, match="op_work"):
        patched({"f": big}, step * 250, tight)
    assert tight.spent < one.spent * 4, "the work ends when the budget does"


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([{"op": "add", "path": "/f/-", "value": "x" * 5000}], id="produced"),
        pytest.param([{"op": "move", "from": "/g", "path": "/f/0"}], id="moved"),
        pytest.param([{"op": "add", "path": "/f/0", "value": 1}], id="reached into"),
    ],
)
def test_everything_a_patch_produces_is_charged(steps: list[Any]) -> None:
    budget = free()
    patched({"f": ["y" * 5000], "g": "z" * 5000}, steps, budget)
    assert budget.spent > 5000


def test_a_value_nested_by_moves_is_rejected_before_it_is_walked() -> None:
    deep: Any = 1
    for _ in range(60):
        deep = {"k": deep}
    steps = []
    for n in range(30):
        steps += [{"op": "add", "path": "/f", "value": {}}] if n == 0 else []
        steps += [{"op": "add", "path": f"/f/n{n}", "value": deep}]
        if n:
            steps += [{"op": "move", "from": f"/f/n{n - 1}", "path": f"/f/n{n}{'/k' * 60}"}]
    with pytest.raises(PatchFailed):
        patched({"f": None}, steps, free())


def test_many_small_items_cost_more_than_their_bytes() -> None:
    assert work_of(b"[" + b"1," * 100 + b"1]") > 10 * 202 // 2
    assert work_of(b'"' + b"x" * 200 + b'"') == 202


def test_a_budget_charges_its_parent_and_names_itself() -> None:
    whole = Budget("tx_work", 10)
    Budget("op_work", 8, whole).spend(8)
    with pytest.raises(OverBudget) as over:
        Budget("op_work", 8, whole).spend(3)
    assert (over.value.limit, over.value.most) == ("tx_work", 10)


def test_a_turn_ends_by_time_or_by_work() -> None:
    now = [0.0]
    turn = Turn(EngineSettings(turn_seconds=2, turn_work=100), lambda: now[0])
    assert not turn.is_over(99)
    assert turn.is_over(100)
    now[0] = 2.0
    assert turn.is_over(0)


class Full:
    """A logger whose disk is full."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def warning(self, event: str, **values: Any) -> None:
        self.lines.append((event, values))
        raise OSError(28, "No space left on device")

    error = warning


def test_the_quiet_log_never_raises_quotes_no_value_and_writes_one_line_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full, now = Full(), [0.0]
    monkeypatch.setattr("sync.settle.quiet_log.logger", full)
    log = QuietLog(lambda: now[0])
    try:
        raise KeyError("a secret value")
    except KeyError as error:
        for _ in range(100):
            log.failed("op_failed", error, op_id=1)
        now[0] = 1.0
        log.failed("op_failed", error, op_id=2)
    assert [(event, values.get("suppressed")) for event, values in full.lines] == [
        ("op_failed", None),
        ("op_failed", 99),
    ]
    assert full.lines[0][1]["error"] == "KeyError"
    assert "secret" not in repr(full.lines)
