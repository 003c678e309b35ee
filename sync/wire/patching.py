"""Pure: apply a client's JSON Patch (RFC 6902) to a record, within a budget for what is copied and produced.

The steps must have passed `sync.wire.op_check`. A field is copied once, when a step first reaches into it; after that
steps change the copy in place, so a step costs what it copies and not what the record holds.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from sync.wire.limits import ITEM_WORK, Budget, work_of
from sync.wire.patch import PatchFailed, same, unescape

_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,8}")
_SHIFT: Final = 6
"""Items that move along with a list's insertion or removal: 64 of them cost as much as one byte."""
_BAD_ESCAPE: Final = re.compile(r"~(?![01])")


class _Patching:
    """The record while its patch is applied."""

    def __init__(self, record: Mapping[str, Any], budget: Budget) -> None:
        self.record, self.budget = record, budget
        self.changed: dict[str, Any] = {}
        #: Fields whose value is a copy of its own, which may be changed in place.
        self.owned: set[str] = set()

    def copy(self, value: Any) -> Any:
        """Return an independent copy, charged to the budget. Raises `PatchFailed` for what JSON cannot hold."""
        if type(value) is str:
            self.budget.spend(len(value))
            return value
        if type(value) is not dict and type(value) is not list:
            return value
        return orjson.loads(self.encoded(value))

    def encoded(self, value: Any) -> bytes:
        """Return a value's JSON, charged to the budget."""
        try:
            data = orjson.dumps(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise PatchFailed("not a JSON value, or nested too deeply") from error
        self.budget.spend(work_of(data))
        return data

    def apply(self, step: Mapping[str, Any]) -> None:
        """Apply one step. Raises `PatchFailed`, `OverBudget`."""
        self.budget.spend(ITEM_WORK)
        kind, keys = step["op"], _keys(step["path"])
        if kind == "test":
            if not same(self.get(keys), step["value"]):
                raise PatchFailed("the value is another one")
        elif kind == "remove":
            self.remove(keys)
        elif kind == "add":
            self.put(keys, self.copy(step["value"]), replace=False)
        elif kind == "replace":
            self.put(keys, self.copy(step["value"]), replace=True)
        elif kind == "copy":
            self.put(keys, self.copy(self.get(_keys(step["from"]))), replace=False)
        else:
            source = _keys(step["from"])
            if keys[: len(source)] == source and len(keys) > len(source):
                raise PatchFailed("a value cannot be moved into itself")
            self.put(keys, self.remove(source), replace=False)

    def field(self, name: str) -> Any:
        return self.changed[name] if name in self.changed else self.record.get(name)

    def get(self, keys: list[str]) -> Any:
        """Return the value at a pointer."""
        value = self.field(keys[0])
        for key in keys[1:]:
            value = _child(value, key)
        return value

    def container(self, keys: list[str]) -> Any:
        """Return the object or list that holds the last key, in a copy that may be changed in place."""
        name = keys[0]
        if name not in self.owned:
            self.changed[name] = self.copy(self.field(name))
            self.owned.add(name)
        value = self.changed[name]
        for key in keys[1:-1]:
            value = _child(value, key)
        return value

    def put(self, keys: list[str], value: Any, *, replace: bool) -> None:
        """Add or replace the value at a pointer; the value belongs to this patch alone."""
        if len(keys) == 1:
            self.changed[keys[0]] = value
            self.owned.add(keys[0])
            return
        target, key = self.container(keys), keys[-1]
        if replace:
            _child(target, key)
        if type(target) is dict:
            target[key] = value
        elif type(target) is not list:
            raise PatchFailed("neither an object nor a list")
        elif replace:
            target[int(key)] = value
        else:
            self.budget.spend(len(target) >> _SHIFT)
            target.insert(len(target) if key == "-" else _index(key, len(target) + 1), value)

    def remove(self, keys: list[str]) -> Any:
        """Remove the value at a pointer and return it. A removed field is null."""
        if len(keys) == 1:
            name = keys[0]
            value = self.field(name)
            if name not in self.owned:
                value = self.copy(value)
            self.changed[name] = None
            self.owned.add(name)
            return value
        target, key = self.container(keys), keys[-1]
        _child(target, key)
        if type(target) is dict:
            return target.pop(key)
        self.budget.spend(len(target) >> _SHIFT)
        return target.pop(int(key))


def patched(record: Mapping[str, Any], steps: list[Any], budget: Budget) -> dict[str, Any]:
    """Return the fields that a patch changes, with their new values; neither argument is changed.

    Raises `PatchFailed` with `step`, the operation that cannot be applied, and `OverBudget`.
    """
    patching = _Patching(record, budget)
    for step in steps:
        try:
            patching.apply(step)
        except PatchFailed as error:
            raise StepFailed(step) from error
    out: dict[str, Any] = {}
    changed = patching.changed
    for name in [name for name in record if name in changed]:
        value = changed[name]
        # Moves can nest a value deeper than it can be walked; the encoder finds out.
        if type(value) is dict or type(value) is list:
            patching.encoded(value)
        if not same(record.get(name), value):
            out[name] = value
    return out


class StepFailed(PatchFailed):
    """One operation of a patch cannot be applied."""

    def __init__(self, step: Mapping[str, Any]) -> None:
        super().__init__(f"{step['op']} cannot be applied")
        self.step = step


def _keys(pointer: str) -> list[str]:
    if _BAD_ESCAPE.search(pointer):
        raise PatchFailed("~ must be followed by 0 or 1")
    return [unescape(segment) for segment in pointer[1:].split("/")]


def _index(key: str, length: int) -> int:
    """Return a position below `length`."""
    if not _INDEX.fullmatch(key) or int(key) >= length:
        raise PatchFailed("no such position")
    return int(key)


def _child(value: Any, key: str) -> Any:
    if type(value) is dict:
        if key not in value:
            raise PatchFailed("no such key")
        return value[key]
    if type(value) is list:
        return value[_index(key, len(value))]
    raise PatchFailed("neither an object nor a list")
