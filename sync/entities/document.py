"""Pure: convert between the document of a CBOR client (`entityCbor`) and the columns of its record.

A client's bytes are stored unchanged, and the values of declared fields are read from them. When another client changes
a field, the document is decoded, its key changed, and the result encoded. Bytes that are not a map are opaque: only
the client that sent them can interpret them.
"""

import base64
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from sync.entities.cbor import CborError, Limits, Pairs, Simple, Tag, count_items, decode, encode

MAX_VERSION: Final = 2**63 - 1
_EPOCH: Final = date(1970, 1, 1)
_UNDEFINED: Final = Simple(23)
_DEPTH: Final = 128
_BIG: Final = 64


class NotPlain(ValueError):
    """A CBOR value cannot be stored in a field."""


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A record's document after a change.

    `version` counts as CBOR clients count; `cbor` is None after a delete; `timestamp_ms` is from the writer's clock.
    """

    version: int
    cbor: bytes | None
    timestamp_ms: int | None = None


def keys_of(data: bytes) -> list[tuple[Any, Any]] | None:
    """Return the pairs of a CBOR map; None for anything else, valid or not."""
    try:
        found = decode(data, Limits(size=len(data), depth=_DEPTH, items=len(data)))
    except CborError:
        return None
    if isinstance(found, Pairs):
        return list(found.items)
    return list(found.items()) if isinstance(found, dict) else None


def items_of(data: bytes, most: int) -> int:
    """Count the items of a document. Raises `TooManyItems` above `most`."""
    return count_items(data, Limits(size=len(data), depth=_DEPTH, items=most))


def declared(data: bytes, kinds: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of declared fields in a form that their cleaners accept; `kinds` maps field names to kinds.

    Raises `NotPlain` with (field, reason).
    """
    out: dict[str, Any] = {}
    for key, value in keys_of(data) or ():
        if type(key) is str and key in kinds:
            try:
                out[key] = plain(value, kinds[key])
            except NotPlain as error:
                raise NotPlain(key, str(error)) from None
    return out


def plain(value: Any, kind: str = "json") -> Any:
    """Return the JSON equivalent of a CBOR value. Raises `NotPlain`."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, bytes):
        return (
            str(uuid.UUID(bytes=value))
            if kind == "uuid" and len(value) == 16
            else base64.urlsafe_b64encode(value).decode().rstrip("=")
        )
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, Pairs):
        return {_key(key): plain(each) for key, each in value.items}
    if isinstance(value, Tag):
        return _untagged(value, kind)
    if value == _UNDEFINED:
        return None
    raise NotPlain("a simple value with no JSON equivalent")


def _key(key: Any) -> str:
    if isinstance(key, str | int) and not isinstance(key, bool):
        return str(key)
    raise NotPlain("a map whose keys are neither text nor integers")


def _untagged(tag: Tag, kind: str) -> Any:
    reader = _TAGS.get(tag.number)
    if reader is None:
        return plain(tag.value, kind)
    try:
        return reader(tag.value)
    except (ValueError, TypeError, OverflowError, ArithmeticError) as error:
        raise NotPlain(f"a tag {tag.number} with invalid content") from error


def _moment(seconds: Any) -> str:
    if not isinstance(seconds, int | float):
        raise TypeError
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _fraction(parts: Any) -> str:
    exponent, mantissa = parts
    if not (isinstance(exponent, int) and isinstance(mantissa, int) and -40 <= exponent <= 40):
        raise InvalidOperation
    return f"{Decimal(mantissa).scaleb(exponent):f}"


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError  # `bytes(5)` would return five zero bytes
    return value


def _big(value: Any) -> int:
    raw = _bytes(value)
    if len(raw) > _BIG:
        raise ValueError  # no field holds it, and arithmetic with it would take long
    return int.from_bytes(raw, "big")


_TAGS: Final[dict[int, Callable[[Any], Any]]] = {
    0: _text,
    1: _moment,
    2: _big,
    3: lambda value: -1 - _big(value),
    4: _fraction,
    37: lambda value: str(uuid.UUID(bytes=_bytes(value))),
    100: lambda days: (_EPOCH + timedelta(days=days)).isoformat(),
    1004: _text,
}
"""Tags that stand for values of field kinds. Other tags are ignored; their content counts."""


def document(values: Mapping[str, Any]) -> bytes:
    """Return a record's non-null columns, given in wire form, as a CBOR map."""
    return encode({name: value for name, value in values.items() if value is not None})


def edited(data: bytes, changed: Mapping[str, Any], columns: Callable[[], Mapping[str, Any]]) -> bytes:
    """Return a document with the `changed` fields; a null removes its key.

    Bytes that are not a map are replaced by the record's `columns`.
    """
    if not changed:
        return data
    pairs = keys_of(data)
    if pairs is None:
        return document(columns())
    left = dict(changed)
    out = [(key, left.pop(key) if _names(key, left) else value) for key, value in pairs]
    out += left.items()
    return encode(Pairs(tuple((key, value) for key, value in out if not (_names(key, changed) and value is None))))


def _names(key: Any, fields: Mapping[str, Any]) -> bool:
    return type(key) is str and key in fields


def merge(base: bytes, mine: bytes, theirs: bytes) -> bytes | None:
    """Merge two documents with the same base key by key.

    Returns None if both changed a key differently, or if one of the three is not a map.
    """
    documents = [_by_key(each) for each in (base, mine, theirs)]
    if any(each is None for each in documents):
        return None
    base_keys, my_keys, their_keys = (each or {} for each in documents)
    out: list[tuple[Any, Any]] = []
    for key in {**their_keys, **my_keys}:
        pairs = [each.get(key) for each in (base_keys, my_keys, their_keys)]
        base_value, my_value, their_value = (None if pair is None else pair[2] for pair in pairs)
        if my_value in (their_value, base_value):
            chosen = pairs[2]
        elif their_value == base_value:
            chosen = pairs[1]
        else:
            return None
        if chosen is not None:
            out.append(chosen[:2])
    return encode(Pairs(tuple(out)))


def _by_key(data: bytes) -> dict[bytes, tuple[Any, Any, bytes]] | None:
    pairs = keys_of(data)
    return None if pairs is None else {encode(key): (key, value, encode(value)) for key, value in pairs}


def next_version(version: int) -> int:
    """Return the next version, capped at 63 bits."""
    return min(version + 1, MAX_VERSION)
