"""Pure: compute and apply the JSON Patch between two records.

A record is a dict of wire values; a missing key is null. At the top level every field exists, so there `add` and
`replace` are equivalent and `remove` sets null. Inside a json field the patch is strict RFC 6902 and descends through
objects only: a list is always replaced as a whole.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

Patch = list[dict[str, Any]]


class PatchFailed(ValueError):
    """A patch cannot be applied to the record."""


def same(a: Any, b: Any) -> bool:
    """Return whether two JSON values are equal. Unlike `==`, true is not 1. 1 and 1.0 are equal, as in RFC 8785."""
    if isinstance(a, dict):
        return isinstance(b, dict) and len(a) == len(b) and all(k in b and same(v, b[k]) for k, v in a.items())
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return bool(a == b) and isinstance(a, bool) == isinstance(b, bool)


def escape(key: str) -> str:
    """Return a key as one segment of a JSON Pointer."""
    return key.replace("~", "~0").replace("/", "~1")


def unescape(segment: str) -> str:
    """Return the key named by a segment of a JSON Pointer."""
    return segment.replace("~1", "/").replace("~0", "~")


def flat_patch(old: Mapping[str, Any], new: Mapping[str, Any], fields: Iterable[str] | None = None) -> Patch:
    """Return the patch that turns record `old` into `new`, in the order of `new`'s keys.

    `fields` limits the comparison to these fields.
    """
    names = fields if fields is not None else [*new, *(k for k in old if k not in new)]
    patch: Patch = []
    for name in names:
        before, after = old.get(name), new.get(name)
        if not same(before, after):
            patch.extend(field_patch(name, before, after))
    return patch


def field_patch(name: str, before: Any, after: Any) -> Patch:
    """Return the patch of one changed field: the whole value, or the changes inside an object if they are shorter."""
    path = "/" + escape(name)
    whole: Patch = [{"op": "replace", "path": path, "value": after}]
    if isinstance(before, dict) and isinstance(after, dict) and before:
        nested: Patch = []
        _descend(path, before, after, nested)
        if len(orjson.dumps(nested)) < len(orjson.dumps(whole)):
            return nested
    return whole


def _descend(path: str, before: dict[str, Any], after: dict[str, Any], patch: Patch) -> None:
    patch.extend({"op": "remove", "path": f"{path}/{escape(key)}"} for key in before if key not in after)
    for key, value in after.items():
        here = f"{path}/{escape(key)}"
        if key not in before:
            patch.append({"op": "add", "path": here, "value": value})
        elif isinstance(value, dict) and isinstance(before[key], dict):
            _descend(here, before[key], value, patch)
        elif not same(before[key], value):
            patch.append({"op": "replace", "path": here, "value": value})


def apply_patch(record: Mapping[str, Any], patch: Patch) -> dict[str, Any]:
    """Return a copy of the record with a change line's patch applied. Raises `PatchFailed`."""
    out = dict(record)
    for step in patch:
        segments = step["path"].split("/")[1:]
        field = unescape(segments[0])
        value = None if step["op"] == "remove" else step["value"]
        out[field] = (
            value
            if len(segments) == 1
            else _apply(out.get(field), [unescape(s) for s in segments[1:]], step["op"], value)
        )
    return out


def _apply(target: Any, keys: list[str], op: str, value: Any) -> Any:
    # Copy along the path, so that values shared with the old record do not change.
    if not isinstance(target, dict):
        raise PatchFailed(f"No object at /{'/'.join(keys)}.")
    key = keys[0]
    if (len(keys) > 1 or op != "add") and key not in target:
        raise PatchFailed(f"Nothing at {key}.")
    out = dict(target)
    if len(keys) > 1:
        out[key] = _apply(target[key], keys[1:], op, value)
    elif op == "remove":
        del out[key]
    else:
        out[key] = value
    return out
