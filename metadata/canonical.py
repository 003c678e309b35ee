"""PURE: JSON values as RFC 8785 canonical text, and what is allowed in a json field.

orjson does the work wherever its output is the same as RFC 8785 demands, which is everything but floats (other exponents)
and keys outside the basic plane (sorted by UTF-8 instead of UTF-16).
"""

from typing import Any

import orjson
import rfc8785

from metadata.errors import ValueRefused

MAX_INTEGER = 2**53 - 1
_EXPONENT_FROM = 1e21  # from here on RFC 8785 writes an exponent, so that a reader knows the number for a float


def canonical_json(value: Any) -> str:
    """Return the RFC 8785 text of a JSON value. Raises `ValueRefused` for what JSON cannot hold."""
    try:
        if _orjson_agrees(value):
            return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
        return rfc8785.dumps(value).decode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueRefused("bad_value", f"Not a JSON value: {error}.") from error


def _orjson_agrees(value: Any) -> bool:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return bool(-MAX_INTEGER <= value <= MAX_INTEGER)
    if kind is dict:
        # Names above the surrogates sort differently in UTF-8 and UTF-16; ASCII ones never do.
        return all(type(key) is str and key.isascii() and _orjson_agrees(item) for key, item in value.items())
    return kind is list and all(map(_orjson_agrees, value))


def clean_json(value: Any, max_bytes: int, *, max_depth: int) -> Any:
    """Return a JSON value in the form every replica reads back (no −0.0, no 1.0 for 1). Raises `ValueRefused`."""
    cleaned = _walk(value, max_depth)
    if len(canonical_json(cleaned).encode()) > max_bytes:
        raise ValueRefused("too_large", f"At most {max_bytes} bytes of JSON.")
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
        raise ValueRefused("bad_value", "Nested too deep.")
    if kind is list:
        return [_walk(item, depth - 1) for item in value]
    if kind is dict:
        return {_key(key): _walk(item, depth - 1) for key, item in value.items()}
    raise ValueRefused("bad_value", f"{kind.__name__} is not a JSON value.")


def _text(value: str) -> None:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ValueRefused("bad_value", "Holds half a character (a lone surrogate).") from error


def _key(key: Any) -> str:
    if type(key) is not str:
        raise ValueRefused("bad_value", "Keys must be text.")
    if key == "__proto__":
        raise ValueRefused("bad_value", "The key __proto__ is not allowed.")
    _text(key)
    return key


def _number(value: float) -> float:
    if type(value) is int:
        if -MAX_INTEGER <= value <= MAX_INTEGER:
            return value
        raise ValueRefused("bad_value", "Integers must be within ±(2^53 − 1).")
    size = abs(value)
    if not size < float("inf"):
        raise ValueRefused("bad_value", "Not a finite number.")
    if size <= MAX_INTEGER:
        return int(value) if value.is_integer() else value
    if size < _EXPONENT_FROM:
        # Its text has no exponent, so a reader would take it for an integer that no other reader holds exactly.
        raise ValueRefused("bad_value", "Integers must be within ±(2^53 − 1).")
    return value
