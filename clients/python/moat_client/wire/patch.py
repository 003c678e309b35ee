"""RFC 6902 patches of records, with the three operations the wire uses: add, replace, and remove.

A record is a flat object of fields. Every field exists, so removing one sets it to null. Inside a `json` field, the
usual RFC 6902 rules apply.

Pure: no I/O, clock, or randomness.
"""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

Record = dict[str, Any]
Patch = list[dict[str, Any]]


class PatchFailed(ValueError):
    """The patch does not fit the record."""


def split_pointer(path: str) -> list[str]:
    """Return the parts of a JSON pointer below the root; raise PatchFailed for the root or anything else."""
    if not path.startswith("/"):
        raise PatchFailed(f"{path!r} does not start with a field")
    if "~" not in path:
        return path[1:].split("/")
    return [part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/")]


def join_pointer(parts: Iterable[str]) -> str:
    """Return the JSON pointer of these parts."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def apply_patch(record: Mapping[str, Any], patch: Iterable[Mapping[str, Any]], *, lenient: bool = False) -> Record:
    """Return a patched copy of the record; the original is untouched.

    Raise PatchFailed for an operation that does not fit. When `lenient`, skip it instead: an overlay must keep showing
    what it can while the row below it changes.
    """
    result = dict(record)
    owned: set[str] = set()
    for step in patch:
        try:
            _apply_step(result, step, owned)
        except PatchFailed:
            if not lenient:
                raise
    return result


def _apply_step(result: Record, step: Mapping[str, Any], owned: set[str]) -> None:
    kind, parts = step.get("op"), split_pointer(str(step.get("path")))
    if kind not in ("add", "replace", "remove"):
        raise PatchFailed(f"{kind!r} is not add, replace or remove")
    if kind != "remove" and "value" not in step:
        raise PatchFailed(f"{kind} needs a value")
    field, *inner = parts
    value = None if kind == "remove" else step["value"]
    if not inner:
        result[field] = value
        owned.discard(field)
        return
    if field not in owned:  # values are shared with the caller's record until changed
        result[field] = copy.deepcopy(result.get(field))
        owned.add(field)
    patch_value(result[field], inner, kind, copy.deepcopy(value))


def patch_value(root: Any, parts: list[str], kind: str, value: Any) -> None:
    """Apply one operation inside a json value, in place; raise PatchFailed."""
    target = root
    for part in parts[:-1]:
        target = _step_into(target, part)
    last = parts[-1]
    if isinstance(target, dict):
        if kind != "add" and last not in target:
            raise PatchFailed(f"can't {kind} {last!r}: it does not exist")
        if kind == "remove":
            del target[last]
        else:
            target[last] = value
    elif isinstance(target, list):
        _patch_list(target, last, kind, value)
    else:
        raise PatchFailed(f"the parent of {last!r} does not exist")


def _patch_list(target: list[Any], last: str, kind: str, value: Any) -> None:
    if kind == "add":
        target.insert(len(target) if last == "-" else _index(last, len(target) + 1), value)
    elif kind == "remove":
        del target[_index(last, len(target))]
    else:
        target[_index(last, len(target))] = value


def _step_into(target: Any, part: str) -> Any:
    if isinstance(target, dict) and part in target:
        return target[part]
    if isinstance(target, list):
        return target[_index(part, len(target))]
    raise PatchFailed(f"{part!r} does not exist")


def _index(text: str, limit: int) -> int:
    if not (text.isascii() and text.isdigit()) or (text[0] == "0" and len(text) > 1) or int(text) >= limit:
        raise PatchFailed(f"{text!r} is not a valid index")
    return int(text)


def flat_patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> Patch:
    """Return the patch that turns the fields of `old` into those of `new`; fields that `new` omits stay.

    Objects inside a json field are compared key by key, so that two people can change different keys. Lists are
    compared whole.
    """
    patch: Patch = []
    for field, value in new.items():
        before = old.get(field)
        if isinstance(before, dict) and isinstance(value, dict):
            _diff_objects([field], before, value, patch)
        elif not same(before, value):
            patch.append({"op": "replace", "path": join_pointer([field]), "value": value})
    return patch


def _diff_objects(at: list[str], old: Record, new: Record, patch: Patch) -> None:
    for key in sorted(old.keys() - new.keys()):
        patch.append({"op": "remove", "path": join_pointer([*at, key])})
    for key, value in new.items():
        if key not in old:
            patch.append({"op": "add", "path": join_pointer([*at, key]), "value": value})
        elif isinstance(old[key], dict) and isinstance(value, dict):
            _diff_objects([*at, key], old[key], value, patch)
        elif not same(old[key], value):
            patch.append({"op": "replace", "path": join_pointer([*at, key]), "value": value})


def same(one: Any, other: Any) -> bool:
    """Return whether two JSON values are equal: true and 1 differ, 1 and 1.0 do not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other if isinstance(one, str) or isinstance(other, str) else one == other
