"""Pure: remove secrets from what is about to be logged."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

REDACTED: Final = "[redacted]"
MAX_TEXT: Final = 2000
_MAX_ITEMS: Final = 50
_MAX_DEPTH: Final = 5
_SHORTEST_SECRET: Final = 6

_SECRET_KEY: Final = re.compile(
    r"passw|secret|token|authorization|cookie|credential|api[-_]?key|private[-_]?key|session|csrf|otp\b", re.IGNORECASE
)
_PATTERNS: Final = (
    # Device tokens, JSON Web Tokens, and Authorization headers.
    (re.compile(r"moat_[A-Za-z0-9_-]{8,}"), REDACTED),
    (re.compile(r"eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"), REDACTED),
    (re.compile(r"\b(bearer|basic|digest)\s+[^\s'\",;]+", re.IGNORECASE), rf"\1 {REDACTED}"),
    # The user information of a URL, and query strings: they hold filter values.
    (re.compile(r"(\w://)[^/\s@'\"]+@"), rf"\1{REDACTED}@"),
    (re.compile(r"(/[\w./%~:@+-]*)\?[^\s'\"<>]+"), r"\1?[query]"),
    # name=value, "name": "value", and b'name', b'value', as in a dump of headers or cookies.
    (
        re.compile(
            r"((?:[\w-]*(?:passw(?:or)?d|secret|token|authorization|cookie|api[-_]?key|sessionid|csrf))\w*['\"]?"
            r"\s*[=:,]\s*b?)"
            r"('[^']*'|\"[^\"]*\"|[^\s,;&)}\]]+)",
            re.IGNORECASE,
        ),
        rf"\1{REDACTED}",
    ),
)


class Redactor:
    """Removes secrets: values under telling keys, known patterns, and the literal secrets of this server."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # The longest first: one secret may contain another.
        known = sorted({each for each in secrets if len(each) >= _SHORTEST_SECRET}, key=len, reverse=True)
        self._literal = re.compile("|".join(map(re.escape, known))) if known else None

    def text(self, text: str) -> str:
        """Return a text of at most `MAX_TEXT` characters without secrets."""
        # Cut only afterwards: half a secret would match no pattern. Twice the length bounds the work.
        text = text[: 2 * MAX_TEXT]
        if self._literal is not None:
            text = self._literal.sub(REDACTED, text)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"

    def value(self, value: Any, depth: int = 0) -> Any:
        """Return a value without secrets that JSON can hold; what is too deep or too long is cut."""
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bytes | bytearray | memoryview):
            return f"[{len(value)} bytes]"
        if depth >= _MAX_DEPTH:
            return "[…]"
        if isinstance(value, Mapping):
            return self.mapping(value, depth + 1)
        if isinstance(value, list | tuple | set | frozenset):
            kept = [self.value(each, depth + 1) for _, each in zip(range(_MAX_ITEMS), value, strict=False)]
            return kept if len(value) <= _MAX_ITEMS else [*kept, f"[{len(value) - _MAX_ITEMS} more]"]
        return self.text(str(value))

    def mapping(self, values: Mapping[Any, Any], depth: int = 0) -> dict[str, Any]:
        """Return a mapping without secrets: a value whose key sounds like a secret is replaced whole."""
        return {
            str(key)[:200]: REDACTED
            if _SECRET_KEY.search(str(key)) and value is not None and not isinstance(value, bool)
            else self.value(value, depth)
            for _, (key, value) in zip(range(_MAX_ITEMS), values.items(), strict=False)
        }
