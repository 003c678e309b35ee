"""Read payloads: field → clean wire value, or a rejection that names the field."""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import orjson

from metadata.fieldtypes import InvalidValue
from sync import metrics
from sync.conf import EngineSettings
from sync.errors import OpRejected
from sync.records.rows import RECORD_FIELDS, Table
from sync.wire.codes import Code
from sync.wire.limits import Budget
from sync.wire.patch import PatchFailed
from sync.wire.patching import StepFailed, patched

Unknown = Callable[[Table, str], OpRejected]
_VALUE_CODES: Final = {code.value: code for code in (Code.BAD_VALUE, Code.TOO_LARGE)}
_FLAT_OPS: Final = ("replace", "add", "remove")
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
    table: Table,
    payload: Any,
    document: Callable[[], dict[str, Any]],
    budget: Budget,
    settings: EngineSettings,
    unknown: Unknown,
) -> dict[str, Any]:
    """Return the fields that a patch sets. Its form was checked (`sync.wire.op_check`).

    `document` returns the record that the patch was made for; called only if the patch is not flat. `budget` is charged
    with what the patch copies and produces. Raises `OpRejected` and `OverBudget`.
    """
    if len(payload) > settings.patch_ops:
        metrics.limit_rejections.labels("patch_ops").inc()
        raise OpRejected(Code.TOO_LARGE, f"A patch can have at most {settings.patch_ops} operations.")
    changes: dict[str, Any] = {}
    cleaners = table.cleaners
    for step in payload:
        # The common case is to replace, add, or remove a whole field. It is inline because it is most of an op's cost.
        op, name = step["op"], step["path"][1:]
        clean = cleaners.get(name)
        if (clean is None and ("/" in name or "~" in name)) or op not in _FLAT_OPS:
            return _read_patch(table, payload, document(), budget, settings, unknown)
        value = None if op == "remove" else step["value"]
        if clean is None:
            raise unknown(table, name)
        try:
            changes[name] = clean(value)
        except InvalidValue as error:
            raise _rejection(name, error) from None
    return changes


def _read_patch(
    table: Table,
    payload: list[Any],
    document: dict[str, Any],
    budget: Budget,
    settings: EngineSettings,
    unknown: Unknown,
) -> dict[str, Any]:
    for step in payload:
        for pointer in (step["path"], step["from"]) if step["op"] in ("move", "copy") else (step["path"],):
            name = pointer[1:].split("/", 1)[0]
            if name not in table.cleaners:
                raise unknown(table, name)
    try:
        changed = patched(document, payload, budget)
    except StepFailed as failed:
        step = failed.step
        raise OpRejected(
            Code.BAD_PATCH, f"{step['op']} at {_short(step['path'])} can't be applied to this record."
        ) from None
    except PatchFailed:
        raise OpRejected(Code.BAD_PATCH, "The patched value is nested too deeply.") from None
    if any(step["op"] in ("copy", "move") for step in payload):
        _check_size({**document, **changed}, settings)
    return {name: clean_field(table, name, value, unknown) for name, value in changed.items()}


def _check_size(document: dict[str, Any], settings: EngineSettings) -> None:
    if len(orjson.dumps(document)) > settings.patch_bytes:
        metrics.limit_rejections.labels("patch_bytes").inc()
        raise OpRejected(Code.TOO_LARGE, f"The patched record would exceed {settings.patch_bytes} bytes.")


def _short(text: str) -> str:
    return ascii(text if len(text) <= 60 else text[:57] + "...")
