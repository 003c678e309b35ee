"""Pure: check the types and the form of an op, so that the writer only meets values whose types it knows.

What depends on a table or a record is checked by the engine.
"""

from typing import Any, Final

from sync.wire.codes import Code
from sync.wire.limits import PATCH_DEPTH, POINTER_LENGTH
from sync.wire.ops import Op, Problem

_STEPS: Final = frozenset({"add", "remove", "replace", "move", "copy", "test"})
_WITH_VALUE: Final = frozenset({"add", "replace", "test"})
_WITH_SOURCE: Final = frozenset({"move", "copy"})

_BAD_STEP: Final = Problem(
    Code.BAD_PATCH, "Each operation of a patch must be an object with op: add, remove, replace, move, copy, or test."
)
_BAD_POINTER: Final = Problem(
    Code.BAD_PATCH,
    f"A pointer of a patch must start at a field, such as /field or /field/key, with at most {POINTER_LENGTH} "
    "characters "
    f"and {PATCH_DEPTH} segments.",
)


def checked(op: Op) -> Op:
    """Check an op and note the first problem in it; return the same op. Never raises, whatever the op holds."""
    op.problem = _problem(op)
    op.checked = True
    return op


def _problem(op: Op) -> Problem | None:
    if type(op.op) is not str:
        return Problem(Code.UNKNOWN_OP, "op must be insert, update, delete, or settle.")
    if type(op.table) is not str:
        return Problem(Code.UNKNOWN_TABLE, "table must be text.")
    if type(op.id) is not str:
        return Problem(Code.BAD_ID, "An ID must be text of 1 to 128 characters.", "id")
    if op.base_version is not None and type(op.base_version) is not int:
        return Problem(Code.BAD_OP, "base_version must be an integer, 0 or greater.", "base_version")
    if op.at is not None and type(op.at) is not str:
        return Problem(Code.BAD_VALUE, "at must be a time such as 2026-11-21T09:00:00.000000Z.", "at")
    if op.settles is not None and type(op.settles) is not str:
        return Problem(Code.UNKNOWN_CONFLICT, "settles must be the ID of a conflict.", "settles")
    if op.op == "update":
        return _patch_problem(op.payload)
    if op.op == "insert":
        return _insert_problem(op.payload)
    return None


def _insert_problem(payload: Any) -> Problem | None:
    if type(payload) is dict and all(type(name) is str for name in payload):
        return None
    return Problem(Code.BAD_OP, "The payload of an insert must be an object of field values.")


def _patch_problem(payload: Any) -> Problem | None:
    if type(payload) is not list:
        return Problem(Code.BAD_PATCH, "The payload of an update must be a JSON Patch: a list of operations.")
    for step in payload:
        if type(step) is not dict:
            return _BAD_STEP
        kind = step.get("op")
        # The type first: a list or an object cannot be looked up in a set.
        if type(kind) is not str or kind not in _STEPS:
            return _BAD_STEP
        if not _is_pointer(step.get("path")) or (kind in _WITH_SOURCE and not _is_pointer(step.get("from"))):
            return _BAD_POINTER
        if kind in _WITH_VALUE and "value" not in step:
            return Problem(Code.BAD_PATCH, f"{kind} needs a value.")
    return None


def _is_pointer(value: Any) -> bool:
    return (
        type(value) is str
        and value[:1] == "/"
        and len(value) <= POINTER_LENGTH
        and (len(value) <= PATCH_DEPTH or value.count("/") <= PATCH_DEPTH)
    )
