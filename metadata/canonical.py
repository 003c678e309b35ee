"""Pure: JSON values as RFC 8785 canonical text, and the rules for JSON fields.

orjson does the work wherever its output matches RFC 8785. It differs only for floats (exponents) and for keys outside
the basic multilingual plane, which it sorts by UTF-8 instead of UTF-16.
"""

from typing import Any

import orjson
import rfc8785

from metadata.errors import InvalidValue

MAX_INTEGER = 2**53 - 1
_EXPONENT_FROM = 1e21  # from here on, RFC 8785 writes an exponent, so readers can tell the number is a float


def canonical_json(value: Any) -> str:
    """Return the RFC 8785 text of a JSON value. Raises `InvalidValue` for values JSON cannot represent."""
    try:
        if _orjson_agrees(value):
            return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
        return rfc8785.dumps(value).decode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidValue("bad_value", f"Invalid JSON value: {error}.") from error


def _orjson_agrees(value: Any) -> bool:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return bool(-MAX_INTEGER <= value <= MAX_INTEGER)
    if kind is dict:
        # Keys above the surrogates sort differently in UTF-8 and UTF-16; ASCII keys never do.
        return all(type(key) is str and key.isascii() and _orjson_agrees(item) for key, item in value.items())
    return kind is list and all(map(_orjson_agrees, value))


def clean_json(value: Any, max_bytes: int, *, max_depth: int) -> Any:
    """Return a JSON value as every replica reads it back (no −0.0, no 1.0 for 1). Raises `InvalidValue`."""
    cleaned = _walk(value, max_depth)
    if len(canonical_json(cleaned).encode()) > max_bytes:
        raise InvalidValue("too_large", f"JSON must be at most {max_bytes} bytes.")
    return cleaned


def _walk(value: Any, depth: int) -> Any:
    kind = type(value)
    if kind is str:
        _text(value)
        return value
    if value is None or kind is bool:
        return value
    if kind is int or kind is float:
        return _number(value)
    if depth <= 0:
        raise InvalidValue("bad_value", "Nested too deeply.")
    if kind is list:
        return [_walk(item, depth - 1) for item in value]
    if kind is dict:
        return {_key(key): _walk(item, depth - 1) for key, item in value.items()}
    raise InvalidValue("bad_value", f"{kind.__name__} is not a JSON value.")


def _text(value: str) -> None:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InvalidValue("bad_value", "Contains a lone surrogate, which is not valid Unicode.") from error


def _key(key: Any) -> str:
    if type(key) is not str:
        raise InvalidValue("bad_value", "Keys must be text.")
    if key == "__proto__":
        raise InvalidValue("bad_value", "The key __proto__ is not allowed.")
    _text(key)
    return key


def _number(value: float) -> float:
    if type(value) is int:
        if -MAX_INTEGER <= value <= MAX_INTEGER:
            return value
        raise InvalidValue("bad_value", "Integers must be within ±(2^53 − 1).")
    size = abs(value)
    if not size < float("inf"):
        raise InvalidValue("bad_value", "Must be a finite number.")
    if size <= MAX_INTEGER:
        return int(value) if value.is_integer() else value
    if size < _EXPONENT_FROM:
        # Without an exponent, readers would parse it as an integer that not every reader can represent.
        raise InvalidValue("bad_value", "Integers must be within ±(2^53 − 1).")
    return value
