"""Mutate valid messages: their structure (keys, values, nesting) and their encoded bytes."""

import copy
import json
import random
from typing import Any

ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**53, -(2**53), 2**63, 2**64, 1e308, -0.0, 0.1,
    "", " ", "\0", "a\nb", "\u202e", "é" * 200, "x" * 5000, "__proto__", "id", "version", "_cursor", "jobs",
    "auth_user",
    "'; DROP TABLE jobs; --", "9" * 400, "2026-02-30", "00000000-0000-0000-0000-000000000000", "/", "/attrs", "/~2",
    "full", "../..", [], {}, [[]], [{}], {"": ""}, [None] * 50, {"a": {"b": {"c": []}}},
]  # fmt: skip
DEEP = (40, 400, 20_000)

Path = tuple[Any, ...]


def odd(rnd: random.Random) -> Any:
    """Return an odd value. It is a copy, because later mutations change it."""
    return copy.deepcopy(rnd.choice(ODD))


def mutated(message: Any, rnd: random.Random) -> Any:
    """Return a copy with one to three changes of its structure."""
    changed = copy.deepcopy(message)
    for _ in range(rnd.choice((1, 1, 1, 2, 3))):
        changed = _once(changed, rnd)
    return changed


def _paths(value: Any, here: Path = ()) -> list[Path]:
    """The paths of all values, from the outside in."""
    found = [here]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += _paths(inner, (*here, key))
    return found


def _at(value: Any, path: Path) -> Any:
    for key in path:
        value = value[key]
    return value


def _once(message: Any, rnd: random.Random) -> Any:
    path = rnd.choice(_paths(message)[:2000])
    if not path:
        return odd(rnd) if rnd.random() < 0.1 else message
    parent, key = _at(message, path[:-1]), path[-1]
    others = _paths(message)[:2000]
    match rnd.randrange(8):
        case 0:
            parent[key] = odd(rnd)
        case 1:  # the wrong type; lists and objects also cannot be keys of a set or a dict
            parent[key] = rnd.choice(([], {}, [{}], {"a": 1}, None, 7, "x"))
        case 2:
            del parent[key]
        case 3:
            parent[key] = [copy.deepcopy(parent[key]) for _ in range(rnd.choice((1, 2, 50)))]
        case 4:
            parent[key] = {rnd.choice(["", "op", "id", "__proto__", "é"]): parent[key]}
        case 5:
            parent[key] = copy.deepcopy(_at(message, rnd.choice(others)))
        case 6:
            _add(parent, rnd)
        case 7:
            parent[key] = _near(parent[key], rnd)
    return message


def _add(parent: Any, rnd: random.Random) -> None:
    if isinstance(parent, dict):
        name = rnd.choice([v for v in ODD if isinstance(v, str)] + ["tx", "settles", "ranges", "at", "resolvers"])
        parent[name] = odd(rnd)
    else:
        parent.extend(odd(rnd) for _ in range(rnd.choice((1, 2, 100))))


def _near(value: Any, rnd: random.Random) -> Any:
    """Return a value of the same type, a little off."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + rnd.choice((-1, 1, 2**32, -(2**53)))
    if isinstance(value, str):
        at = rnd.randrange(len(value) + 1)
        return value[:at] + rnd.choice(["", "\0", "'", "é", "~", "/", "%00", "x" * 300]) + value[at + 1 :]
    if isinstance(value, bytes):
        return damaged(value, rnd)
    return odd(rnd)


def damaged(data: bytes, rnd: random.Random) -> bytes:
    """Return encoded bytes that are cut, flipped, repeated, or spliced."""
    if not data:
        return rnd.randbytes(8)
    at, end = sorted((rnd.randrange(len(data) + 1), rnd.randrange(len(data) + 1)))
    match rnd.randrange(5):
        case 0:
            return data[:at]
        case 1:
            at = min(at, len(data) - 1)
            return data[:at] + bytes([data[at] ^ (1 << rnd.randrange(8))]) + data[at + 1 :]
        case 2:
            return data[:at] + rnd.randbytes(rnd.randrange(1, 9)) + data[at:]
        case 3:
            return data[:end] + data[at:end] * rnd.randrange(1, 4) + data[end:]
        case _:
            return data[:at] + data[end:]


def json_bytes(message: Any, rnd: random.Random) -> bytes:
    """Encode as JSON; now and then as JSON that a strict reader must reject."""
    text = json.dumps(message, ensure_ascii=rnd.random() < 0.5)
    match rnd.randrange(20):
        case 0:
            text = text.replace(":", ":" + "[" * (depth := rnd.choice(DEEP)) + "]" * depth + ',"x":', 1)
        case 1:
            text = text.replace("{", '{"type":"ping","type":"push","op":1,', 1)
        case 2:
            text = text.replace(":", f":{rnd.choice(['NaN', '-Infinity', '1e999', '01', '+1'])}," + '"y":', 1)
        case 3:
            text = text.replace('"', r'"\ud800', 1)
    data = text.encode("utf-8", "surrogatepass")
    return damaged(data, rnd) if rnd.random() < 0.15 else data
