"""Parse `k=v` and `k:=json` arguments into field values.

Pure: no I/O, clock, or randomness.
"""

from collections.abc import Iterable
from typing import Any

from moat_client.cli import words
from moat_client.errors import InvalidEdit
from moat_client.replica.checks import field_of
from moat_client.wire.codec import loads
from moat_client.wire.schema import Field, ObjectType
from moat_client.wire.values import parse_text

_CONDITIONS = ("ne", "lt", "lte", "gt", "gte", "in", "like")


def parse_values(object_type: ObjectType, pairs: Iterable[str]) -> dict[str, Any]:
    """Return values by field; raise InvalidEdit.

    `price=12.50` is read by the field's kind, `done:=true` as JSON, and `note=` sets null.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        name, raw, text = split_pair(pair)
        values[name] = _json(name, text) if raw else _typed(object_type, name, text)
    return values


def split_pair(pair: str) -> tuple[str, bool, str]:
    """Return (name, whether the value is JSON, value); raise InvalidEdit."""
    name, mark, text = pair.partition("=")
    if not mark or not name or name == ":":
        raise InvalidEdit(words.NOT_A_PAIR.format(pair=pair), code="bad_argument")
    return (name[:-1], True, text) if name.endswith(":") else (name, False, text)


def _json(name: str, text: str) -> Any:
    try:
        return loads(text)
    except ValueError:
        raise InvalidEdit(words.NOT_JSON.format(name=name, text=text), code="bad_argument", field=name) from None


def _typed(object_type: ObjectType, name: str, text: str) -> Any:
    if name == "id":
        return text
    field = field_of(object_type, name)
    return None if text == "" and field.kind != "text" else parse_text(field, text)


def parse_where(object_type: ObjectType | None, pairs: Iterable[str]) -> dict[str, Any]:
    """Return conditions for `Replica.find`; raise InvalidEdit.

    Examples: `status=done`, `price__gte=10`, `status__in=open,done`, and `note=` for null.
    """
    where: dict[str, Any] = {}
    for pair in pairs:
        key, raw, text = split_pair(pair)
        name, _, condition = key.partition("__")
        if condition and condition not in _CONDITIONS:
            raise InvalidEdit(
                words.UNKNOWN_CONDITION.format(key=key, conditions=", ".join(_CONDITIONS)),
                code="bad_argument",
                field=name,
            )
        if raw:
            where[key] = _json(name, text)
        elif condition == "in":
            where[key] = [_loose(object_type, name, part) for part in text.split(",")]
        else:
            where[key] = text if condition == "like" else _loose(object_type, name, text)
    return where


def _loose(object_type: ObjectType | None, name: str, text: str) -> Any:
    """Read a value to compare with, by the field's kind; unlike on writing, any choice is allowed."""
    if text == "":
        return None
    field = object_type.by_name.get(name) if object_type else None
    if name == "version":
        field = Field("version", "integer")
    if field is None or field.kind in ("choice", "text", "reference"):
        return text
    return parse_text(field, text)
