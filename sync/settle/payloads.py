"""Read payloads: field → clean wire value, or a rejection that names the field."""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import jsonpatch
import jsonpointer
import orjson

from metadata.fieldtypes import InvalidValue
from sync.conf import EngineSettings
from sync.errors import OpRejected
from sync.records.rows import RECORD_FIELDS, Table
from sync.wire.codes import Code
from sync.wire.patch import same

Unknown = Callable[[Table, str], OpRejected]
_VALUE_CODES: Final = {code.value: code for code in (Code.BAD_VALUE, Code.TOO_LARGE)}
_FLAT_OPS: Final = ("replace", "add", "remove")
_PATCH_OPS: Final = frozenset({"add", "remove", "replace", "move", "copy", "test"})
_BAD_ID: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def valid_id(value: object) -> bool:
    """Whether a value can be a record's ID: 1 to 128 characters, no control characters, no lone surrogates."""
    return type(value) is str and 0 < len(value) <= 128 and not _BAD_ID.search(value)


def clean_field(table: Table, name: str, value: Any, unknown: Unknown) -> Any:
    """Return a field's value in wire form. Raises `OpRejected` with the field's name."""
    clean = table.cleaners.get(name)
    if clean is None:
        raise unknown(table, name)
    try:
        return clean(value)
    except InvalidValue as error:
        raise _rejection(name, error) from None


def _rejection(name: str, error: InvalidValue) -> OpRejected:
    return OpRejected(_VALUE_CODES.get(error.code, Code.BAD_VALUE), f"{name}: {error.message}", field=name)


def read_insert(table: Table, payload: Any, unknown: Unknown, only: Collection[str] | None = None) -> dict[str, Any]:
    """Return every field of a new record, as given, else its default, else null. Checks `object_type` and `status`.

    `only` restricts the result to some fields, for a record whose other fields stay as they are.
    """
    if type(payload) is not dict:
        raise OpRejected(Code.BAD_OP, "The payload of an insert must be an object of field values.")
    values = dict.fromkeys(table.fields)
    for name, value in table.defaults:
        values[name] = value
    for name, allowed in table.choices:
        if allowed:
            values[name] = allowed[0]
    cleaners = table.cleaners
    for name, value in payload.items():  # inline instead of `clean_field`: this is most of the cost of an insert
        if value is not None or name not in RECORD_FIELDS:
            if (clean := cleaners.get(name)) is None:
                raise unknown(table, name)
            try:
                values[name] = clean(value)
            except InvalidValue as error:
                raise _rejection(name, error) from None
    if only is not None:
        values = {name: value for name, value in values.items() if name in only}
    check_values(table, values)
    return values


def check_values(table: Table, values: Mapping[str, Any]) -> None:
    """Check required fields, and the declared subtypes and statuses. Only the given fields are checked."""
    if table.checked.isdisjoint(values):
        return
    for name in table.required:
        if name in values and values[name] is None:
            raise OpRejected(Code.REQUIRED, f"{name} is required.", field=name)
    for name, allowed in table.choices:
        if name in values and (values[name] not in allowed if allowed else values[name] is not None):
            rule = f"must be one of {', '.join(allowed)}" if allowed else "is not used by this object type; omit it"
            raise OpRejected(Code.BAD_VALUE, f"{name} {rule}.", field=name)


def read_update(
    table: Table, payload: Any, document: Callable[[], dict[str, Any]], limits: EngineSettings, unknown: Unknown
) -> dict[str, Any]:
    """Return the fields a patch sets.

    `document` returns the record the patch was made for. It is called only if the patch is not flat.
    """
    if type(payload) is not list:
        raise OpRejected(Code.BAD_PATCH, "The payload of an update must be a JSON Patch (a list of operations).")
    if len(payload) > limits.patch_ops:
        raise OpRejected(Code.TOO_LARGE, f"A patch can have at most {limits.patch_ops} operations.")
    changes: dict[str, Any] = {}
    cleaners = table.cleaners
    for step in payload:
        # The common case is to replace, add, or remove a whole field. It is inline because it is most of an op's cost.
        try:
            op, path = step["op"], step["path"]
            name = path[1:]
            clean = cleaners.get(name)
            if path[0] != "/" or (clean is None and ("/" in name or "~" in name)) or op not in _FLAT_OPS:
                return _read_patch(table, payload, document(), limits, unknown)
            value = None if op == "remove" else step["value"]
        except (LookupError, TypeError):
            return _read_patch(table, payload, document(), limits, unknown)
        if clean is None:
            raise unknown(table, name)
        try:
            changes[name] = clean(value)
        except InvalidValue as error:
            raise _rejection(name, error) from None
    return changes


def _read_patch(
    table: Table, payload: list[Any], document: dict[str, Any], limits: EngineSettings, unknown: Unknown
) -> dict[str, Any]:
    steps, result = _copied(payload), _copied(document)
    for step in steps:
        _check_step(table, step, unknown)
        try:
            result = jsonpatch.apply_patch(result, [step], in_place=True)
        except (
            jsonpatch.JsonPatchException,
            jsonpointer.JsonPointerException,
            LookupError,
            TypeError,
            ValueError,
            AttributeError,
        ) as error:
            raise OpRejected(
                Code.BAD_PATCH, f"{step['op']} at {_short(step['path'])} can't be applied to this record."
            ) from error
        if step["op"] in ("copy", "move"):
            _check_size(result, limits)
    return {
        name: clean_field(table, name, result.get(name), unknown)
        for name in {**document, **result}
        if not same(document.get(name), result.get(name))
    }


def _copied(value: Any) -> Any:
    """Return a deep copy: patching must not change the record or the payload, since a push may be retried."""
    try:
        return orjson.loads(orjson.dumps(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise OpRejected(Code.BAD_PATCH, "The patch is not valid JSON or is nested too deeply.") from error


def _check_step(table: Table, step: Any, unknown: Unknown) -> None:
    """Check an operation's form, and that each of its pointers starts with a field."""
    if type(step) is not dict or step.get("op") not in _PATCH_OPS:
        raise OpRejected(
            Code.BAD_PATCH,
            "Each patch operation must be an object whose op is add, remove, replace, move, copy, or test.",
        )
    pointers = [step.get("path")] + ([step.get("from")] if step["op"] in ("move", "copy") else [])
    for pointer in pointers:
        if type(pointer) is not str or not pointer.startswith("/") or len(pointer) > 2000:
            raise OpRejected(Code.BAD_PATCH, "A patch path must start with a field: /field or /field/key.")
        name = pointer[1:].split("/", 1)[0]
        if name not in table.cleaners:
            raise unknown(table, name)
    if step["op"] in ("add", "replace", "test") and "value" not in step:
        raise OpRejected(Code.BAD_PATCH, f"{step['op']} needs a value.")


def _check_size(document: dict[str, Any], limits: EngineSettings) -> None:
    # Each copy can double a document's size. orjson also rejects values nested too deeply to walk safely.
    try:
        size = len(orjson.dumps(document))
    except (TypeError, ValueError, RecursionError) as error:
        raise OpRejected(Code.BAD_PATCH, "The patched value is nested too deeply.") from error
    if size > limits.patch_bytes:
        raise OpRejected(Code.TOO_LARGE, f"The patched record would exceed {limits.patch_bytes} bytes.")


def _short(text: str) -> str:
    return ascii(text if len(text) <= 60 else text[:57] + "...")
