"""Encode and decode JSON: with orjson where it is installed, otherwise with the standard library.

Pure: no I/O, clock, or randomness.
"""

import json
from collections.abc import Sequence
from typing import Any

try:
    import orjson as _orjson
except ImportError:  # pragma: no cover - the speed-up is optional
    _orjson = None  # type: ignore[assignment]


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not valid JSON")


def loads_plain(data: bytes | str) -> Any:
    """Parse one JSON text with the standard library; raise ValueError, also for NaN and infinities."""
    return json.loads(data, parse_constant=_no_constant)


def dumps_plain(value: Any) -> bytes:
    """Encode compactly with the standard library; raise ValueError for NaN, infinities, and lone surrogates."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def loads(data: bytes | str) -> Any:
    """Parse one JSON text; raise ValueError."""
    return loads_plain(data) if _orjson is None else _orjson.loads(data)


def dumps(value: Any) -> bytes:
    """Encode compactly as UTF-8; raise ValueError or TypeError."""
    if _orjson is None:
        return dumps_plain(value)
    try:
        return _orjson.dumps(value)
    except TypeError:  # integers beyond 64 bits, which orjson cannot write
        return dumps_plain(value)


def loads_lines(lines: Sequence[bytes]) -> list[Any]:
    """Parse many JSON lines in one call, which is several times faster than one call per line; raise ValueError."""
    parsed = loads(b"[" + b",".join(lines) + b"]")
    if len(parsed) != len(lines):
        raise ValueError("the line contains more than one JSON value")
    return list(parsed)


def dumps_sorted(value: Any) -> bytes | None:
    """Encode with sorted keys with orjson; return None without it (see `canonical`)."""
    return None if _orjson is None else _orjson.dumps(value, option=_orjson.OPT_SORT_KEYS)
