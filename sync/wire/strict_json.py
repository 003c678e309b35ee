"""Pure: JSON as the wire allows it: no repeated keys, no NaN, no lone surrogates, no deep nesting, no raw control characters."""

import re
from typing import Any

import orjson

_STRING_TOKENS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"(\s*+:)?+')
_MAX_PARSER_DEPTH = 1000
_CONTAINERS = frozenset((dict, list))


class NotStrict(ValueError):
    """The text is not JSON as the wire allows it; the message says why, for the one who sent it."""


def loads(text: str, *, depth: int) -> Any:
    """Parse one JSON value, `depth` levels of arrays and objects deep at most; raises NotStrict."""
    openers = text.count("{") + text.count("[")
    if openers > _MAX_PARSER_DEPTH and _nesting(text) > depth:
        raise NotStrict(f"nested deeper than {depth} levels")
    try:
        value = orjson.loads(text)
        if openers <= depth and orjson.dumps(value) == text.encode():
            return value  # written compactly, as programs do: what is the same when written again has lost no key
    except (orjson.JSONDecodeError, UnicodeEncodeError) as error:
        raise NotStrict(_reason(error)) from None
    keys = _count(value, depth)
    if text.count(":") != keys and _written_keys(text, keys) != keys:
        raise NotStrict("a key is repeated inside one object")
    return value


def _reason(error: Exception) -> str:
    """Say what the parser found wrong, without quoting what was sent."""
    if isinstance(error, orjson.JSONDecodeError):
        return f"not JSON: {error.msg} at character {error.pos}"
    return "not UTF-8: a lone surrogate"


def _count(value: Any, depth: int) -> int:
    """Count the keys of all objects in a parsed value; raises NotStrict below `depth`."""
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
        raise NotStrict("nested too deep")
    for item in children:
        if type(item) in _CONTAINERS:
            total += _count(item, depth - 1)
    return total


def _written_keys(text: str, parsed: int) -> int:
    """Count the keys as written: string tokens that a colon follows. The text must be valid JSON.

    Where no blank follows a quote, `":` is never rarer than keys, so as many of them as parsed keys settles it: nearly
    every line. Otherwise (a string that begins with a colon, a blank) the tokens are counted one by one.
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
    """Return how deep a text nests, without parsing it: strings are cut out first. Only for texts with very many brackets."""
    deepest = level = 0
    for mark in re.findall(r"[\[\]{}]", _STRING_TOKENS.sub("", text)):
        level += 1 if mark in "[{" else -1
        deepest = max(deepest, level)
    return deepest
