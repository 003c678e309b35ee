"""Pure: a strict JSON parser for the wire.

It rejects duplicate keys, NaN, lone surrogates, deep nesting, and raw control characters.
"""

import re
from typing import Any

import orjson

_STRINGS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"')
_EMPTY = re.compile(r"\[\s*+\]|\{\s*+\}")
_STRING_TOKENS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"(\s*+:)?+')
_MAX_PARSER_DEPTH = 1000
_CONTAINERS = frozenset((dict, list))


class NotStrict(ValueError):
    """The text is not strict JSON. The message says why and is meant for the sender."""


class TooManyItems(NotStrict):
    """The text has more values and keys than allowed."""


def loads(text: str, *, depth: int, items: int | None = None) -> Any:
    """Parse one JSON value with at most `depth` levels of arrays and objects. Raises `NotStrict`.

    `items` limits its values and keys; what has more raises `TooManyItems` before it is parsed.
    """
    if items is not None and count_items(text, items) > items:
        raise TooManyItems(f"has more than {items} values and keys")
    openers = text.count("{") + text.count("[")
    if openers > _MAX_PARSER_DEPTH and _nesting(text) > depth:
        raise NotStrict(f"nested more than {depth} levels deep")
    try:
        value = orjson.loads(text)
        if openers <= depth and orjson.dumps(value) == text.encode():
            return value  # compact text that encodes back to itself cannot have had a duplicate key
    except (orjson.JSONDecodeError, UnicodeEncodeError) as error:
        raise NotStrict(_reason(error)) from None
    keys = _count(value, depth)
    if text.count(":") != keys and _written_keys(text, keys) != keys:
        raise NotStrict("duplicate key in an object")
    return value


def count_items(text: str, limit: int) -> int:
    """Count the values and keys of a JSON text, or of several, one per line, without parsing it.

    The count is exact if it can exceed `limit`; below, it may be anything up to `limit`.
    """
    if len(text) <= limit:
        return 0
    most = _separators(text)
    if most <= limit:
        return most
    bare = _STRINGS.sub("0", text)
    return _separators(bare) - len(_EMPTY.findall(bare))


def _separators(text: str) -> int:
    """Count the characters that introduce items. Those inside strings, and empty containers, make it too high."""
    return 1 + sum(map(text.count, ",:[{"))


def _reason(error: Exception) -> str:
    """Return the parser's reason without quoting the input."""
    if isinstance(error, orjson.JSONDecodeError):
        return f"invalid JSON: {error.msg} at character {error.pos}"
    return "invalid UTF-8: lone surrogate"


def _count(value: Any, depth: int) -> int:
    """Count the keys of all objects in a parsed value. Raises `NotStrict` below `depth`."""
    kind = type(value)
    if kind is dict:
        total = len(value)
        children = value.values()
    elif kind is list:
        total = 0
        children = value
    else:
        return 0
    if depth <= 0:
        raise NotStrict("nested too deeply")
    for item in children:
        if type(item) in _CONTAINERS:
            total += _count(item, depth - 1)
    return total


def _written_keys(text: str, parsed: int) -> int:
    """Count the keys as written: string tokens followed by a colon. The text must be valid JSON.

    If no whitespace follows a quote, `":` occurs at least once per key. So if it occurs exactly `parsed` times, that is
    the count; this covers nearly every line. Otherwise (whitespace, or a string that starts with a colon) the tokens
    are counted one by one.
    """
    if (
        '" ' not in text
        and '"\t' not in text
        and '"\r' not in text
        and '"\n' not in text
        and text.count('":') == parsed
    ):
        return parsed
    return sum(1 for colon in _STRING_TOKENS.findall(text) if colon)


def _nesting(text: str) -> int:
    """Return the nesting depth of a text without parsing it: strings are cut out first.

    Used only for texts with very many brackets.
    """
    deepest = level = 0
    for bracket in re.findall(r"[\[\]{}]", _STRING_TOKENS.sub("", text)):
        level += 1 if bracket in "[{" else -1
        deepest = max(deepest, level)
    return deepest
