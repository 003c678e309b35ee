"""Pure: parse a cell's text into a value for the engine, which validates it again."""

import re
from collections.abc import Callable
from typing import Any

import orjson

_INTEGER = re.compile(r"[+-]?[0-9]{1,400}")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
_BOOLEANS = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0"), False),
}


def reader_of(kind: str) -> Callable[[str], Any]:
    """Return the function that parses a cell of this kind. It raises ValueError with the reason."""
    return _READERS.get(kind, str)


def _integer(cell: str) -> int:
    text = cell.strip()
    if not _INTEGER.fullmatch(text):
        raise ValueError(f"{_shown(cell)} is not a whole number")
    return int(text)


def _real(cell: str) -> float:
    text = cell.strip()
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{_shown(cell)} is not a number")
    return float(text)


def _decimal(cell: str) -> str:
    text = cell.strip()
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{_shown(cell)} is not a number")
    return text


def _boolean(cell: str) -> bool:
    try:
        return _BOOLEANS[cell.strip().lower()]
    except KeyError:
        raise ValueError(f"{_shown(cell)} is not yes or no") from None


def _datetime(cell: str) -> str:
    """Parse an ISO datetime. Without an offset it is UTC."""
    text = cell.strip()
    if len(text) >= 16 and text[10] == " ":
        text = f"{text[:10]}T{text[11:]}"
    has_offset = text.endswith("Z") or "+" in text[16:] or "-" in text[16:]
    return text if has_offset else text + "Z"


def _json(cell: str) -> Any:
    try:
        return orjson.loads(cell)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{_shown(cell)} is not valid JSON: {error}") from None


def _shown(cell: str) -> str:
    return repr(cell if len(cell) <= 40 else cell[:39] + "…")


_READERS: dict[str, Callable[[str], Any]] = {
    "integer": _integer,
    "real": _real,
    "decimal": _decimal,
    "boolean": _boolean,
    "date": str.strip,
    "datetime": _datetime,
    "uuid": str.strip,
    "json": _json,
}
