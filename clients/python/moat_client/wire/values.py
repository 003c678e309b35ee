"""Field values: from Python to the wire form, and between the wire form and SQLite.

See docs/spec/protocol.md §2 and docs/spec/replica.md.

Pure: no I/O, clock, or randomness.
"""

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from moat_client.errors import InvalidEdit
from moat_client.wire.canonical import MAX_INTEGER, canonical_json
from moat_client.wire.codec import loads
from moat_client.wire.schema import Field

MAX_JSON_DEPTH = 32
MAX_DIGITS = 15
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def clean(field: Field, value: Any) -> Any:
    """Return the wire form of a value for this field; raise InvalidEdit with the reason.

    Accepts the wire form and Python's own types (Decimal, date, datetime, UUID). None is always valid here:
    `check_required` decides whether the field may be empty.
    """
    if value is None:
        return None
    try:
        return _CLEANERS[field.kind](field, value)
    except KeyError:
        raise InvalidEdit(
            f"{field.name}: this client doesn't support the field kind {field.kind!r}. Update the client.",
            field=field.name,
        ) from None
    except (ValueError, TypeError, InvalidOperation, OverflowError) as problem:
        raise InvalidEdit(f"{field.name}: {problem}", field=field.name) from None


def check_id(record_id: Any) -> str:
    """Return a record ID, or raise InvalidEdit: 1 to 128 characters, without control characters."""
    if not isinstance(record_id, str) or not 1 <= len(record_id) <= 128 or _CONTROL.search(record_id):
        raise InvalidEdit("An ID must be 1 to 128 characters, without control characters.", code="bad_id", field="id")
    _checked_text(record_id)
    return record_id


def _checked_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, not {type(value).__name__}")
    if "\x00" in value:
        raise ValueError("text cannot hold U+0000")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("text cannot contain a lone surrogate") from None
    return value


def _text(_: Field, value: Any) -> str:
    return _checked_text(value)


def _integer(_: Field, value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("expected a whole number")
    if abs(value) > MAX_INTEGER:
        raise ValueError("whole numbers must be within ±(2^53 − 1)")
    return value


def _real(_: Field, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("expected a number")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("the number must be finite")
    return number + 0.0  # −0.0 becomes 0.0


def _decimal(field: Field, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise TypeError("expected a decimal number")
    text = repr(value) if isinstance(value, float) else str(value)
    if not _DECIMAL.fullmatch(text):
        raise ValueError(f"{text!r} is not a decimal number")
    return decimal_text(Decimal(text), field.decimal_places or 0)


def decimal_text(number: Decimal, places: int) -> str:
    """Return the wire form of a decimal; raise ValueError if digits would be lost or exceed 15."""
    if number.is_zero():
        number = Decimal(0)
    if number.adjusted() > 30 or number != round(number, places):
        raise ValueError(f"more than {places} decimal places, or too large")
    text = f"{number:.{places}f}"
    if len(text.lstrip("-").replace(".", "").lstrip("0")) > MAX_DIGITS:
        raise ValueError(f"more than {MAX_DIGITS} significant digits")
    return text


def _boolean(_: Field, value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("expected true or false")
    return value


def _date(_: Field, value: Any) -> str:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    text = _checked_text(value)
    if not _DATE.fullmatch(text):
        raise ValueError("expected a date in the form YYYY-MM-DD")
    return date.fromisoformat(text).isoformat()


def _datetime(_: Field, value: Any) -> str:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(_checked_text(value))
    if moment.tzinfo is None:
        raise ValueError("a date and time needs Z or a UTC offset")
    return datetime_text(moment)


def datetime_text(moment: datetime) -> str:
    """Return the wire form of an aware datetime: UTC, microseconds, Z."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _uuid(_: Field, value: Any) -> str:
    return str(value if isinstance(value, UUID) else UUID(_checked_text(value)))


def _json(_: Field, value: Any) -> Any:
    _check_json(value, MAX_JSON_DEPTH)
    canonical_json(value)
    return value


def _check_json(value: Any, depth: int) -> None:
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise ValueError("whole numbers must be within ±(2^53 − 1)")
    if isinstance(value, dict | list):
        if depth == 0:
            raise ValueError(f"JSON can be nested at most {MAX_JSON_DEPTH} levels deep")
        if isinstance(value, dict) and "__proto__" in value:
            raise ValueError("the key __proto__ is not allowed")
        for item in value.values() if isinstance(value, dict) else value:
            _check_json(item, depth - 1)


def _choice(field: Field, value: Any) -> str:
    text = _checked_text(value)
    if text not in field.choices:
        raise ValueError(f"{text!r} is not one of {', '.join(field.choices)}")
    return text


def _reference(_: Field, value: Any) -> str:
    return check_id(value)


_CLEANERS: dict[str, Callable[[Field, Any], Any]] = {
    "text": _text,
    "integer": _integer,
    "real": _real,
    "decimal": _decimal,
    "boolean": _boolean,
    "date": _date,
    "datetime": _datetime,
    "uuid": _uuid,
    "json": _json,
    "choice": _choice,
    "reference": _reference,
}


def to_sql(kind: str, value: Any) -> Any:
    """Return what is bound to SQLite for a wire value. Decimals are text; the column's affinity converts them."""
    if value is None:
        return None
    if kind == "json":
        return canonical_json(value)
    return int(value) if isinstance(value, bool) else value


def from_sql(kind: str, stored: Any, *, decimal_places: int | None = None) -> Any:
    """Return the wire value of a stored value."""
    if stored is None:
        return None
    match kind:
        case "json":
            return loads(stored)
        case "boolean":
            return bool(stored)
        case "decimal":
            return stored_decimal(stored, decimal_places or 0)
        case "real":
            return float(stored)
        case "integer":
            return int(stored)
    return stored if isinstance(stored, str) else str(stored)


def stored_decimal(stored: Any, places: int) -> str:
    """Return the wire form of a decimal that SQLite stores as an integer, double, or text."""
    number = Decimal(repr(stored)) if isinstance(stored, float) else Decimal(stored)
    return f"{Decimal(0) if number.is_zero() else number:.{places}f}"


def parse_text(field: Field, text: str) -> Any:
    """Return the wire value of typed text for this field (`k=v` on a command line); raise InvalidEdit."""
    if field.kind in ("integer", "real", "json"):
        try:
            return clean(field, loads(text))
        except ValueError:
            raise InvalidEdit(
                f"{field.name}: {text!r} is not {'JSON' if field.kind == 'json' else 'a number'}.", field=field.name
            ) from None
    if field.kind == "boolean":
        words = {
            "true": True,
            "yes": True,
            "1": True,
            "on": True,
            "false": False,
            "no": False,
            "0": False,
            "off": False,
        }
        if text.strip().lower() not in words:
            raise InvalidEdit(f"{field.name}: {text!r} is not true or false.", field=field.name)
        return words[text.strip().lower()]
    return clean(field, text)
