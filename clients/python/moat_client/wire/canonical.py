"""RFC 8785 canonical JSON, the form in which every replica stores `json` fields.

Pure: no I/O, clock, or randomness.
"""

import json
import math
import re
from typing import Any

from moat_client.wire.codec import dumps_sorted

MAX_INTEGER = 2**53 - 1
# Where orjson may differ from RFC 8785, or may not fail: floats, integers out of range, and null for a NaN.
_DOUBTFUL = re.compile(rb"[0-9][.eE]|[0-9]{16}|null")


def canonical_json(value: Any) -> str:
    """Return RFC 8785 text; raise ValueError for NaN, integers that no double holds, and lone surrogates."""
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, dict | list):
        quick = _quick(value)
        if quick is not None:
            return quick
    return _encode(value)


def _quick(value: Any) -> str | None:
    try:
        data = dumps_sorted(value)
    except TypeError:
        return None
    if data is None or not data.isascii() or _DOUBTFUL.search(data):
        return None
    return data.decode("ascii")


def _encode(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, float):
        return number_text(value)
    if isinstance(value, dict):
        keys = sorted(value, key=_utf16)
        return "{" + ",".join(f"{_string(k)}:{_encode(value[k])}" for k in keys) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_encode, value)) + "]"
    raise ValueError(f"{type(value).__name__} is not a JSON type")


def _integer(value: int) -> str:
    """Return an integer as a double's text: a parser turns a double such as 1e20 into a large integer."""
    if abs(value) <= MAX_INTEGER:
        return str(value)
    try:
        double = float(value)
    except OverflowError:
        double = 0.0
    text = number_text(double)
    if double != value and text != str(value):
        raise ValueError(f"{value} is outside ±(2^53 − 1)")
    return text


def _utf16(key: Any) -> bytes:
    if not isinstance(key, str):
        raise ValueError("JSON object keys must be strings")
    return key.encode("utf-16-be")


def _string(text: str) -> str:
    text.encode()  # raises UnicodeEncodeError, a ValueError, for lone surrogates
    return json.dumps(text, ensure_ascii=False)


def number_text(number: float) -> str:
    """Return a double as ECMAScript's Number::toString does; raise ValueError for NaN and infinities."""
    if not math.isfinite(number):
        raise ValueError("NaN and infinity are not valid JSON")
    if number == 0:
        return "0"
    sign = "-" if number < 0 else ""
    digits, point = _shortest(abs(number))
    size = len(digits)
    if size <= point <= 21:
        return sign + digits + "0" * (point - size)
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    fraction = f".{digits[1:]}" if size > 1 else ""
    return f"{sign}{digits[0]}{fraction}e{point - 1:+d}"


def _shortest(number: float) -> tuple[str, int]:
    """Return the shortest digits that read back as `number`, and the position of their decimal point."""
    mantissa, _, exponent = repr(number).partition("e")
    whole, _, fraction = mantissa.partition(".")
    point = len(whole) + int(exponent or 0)
    digits = whole + fraction
    stripped = digits.lstrip("0")
    point -= len(digits) - len(stripped)
    return stripped.rstrip("0") or "0", point
