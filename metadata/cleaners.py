"""Pure: for each field kind, a function that converts any input to its wire form or rejects it.

`docs/spec/protocol.md` §2 is the authority. A looser spelling is accepted only where no information is lost. None
always passes: required values are not checked here.
"""

import math
import re
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any

from metadata.canonical import MAX_INTEGER, clean_json
from metadata.errors import InvalidValue
from metadata.limits import ValueLimits
from metadata.schema import FieldSpec

Cleaner = Callable[[Any], Any]

INDEXED_TEXT = 500
"""Maximum characters of unique or indexed text: PostgreSQL cannot index values longer than about 2,700 bytes."""
CHOICE_LENGTH = 80
ID_LENGTH = 128
DECIMAL_DIGITS = 15
"""Number of significant digits that SQLite stores exactly."""

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATETIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_WIRE_DATETIME_LENGTH = len("2026-11-21T09:00:00.000000Z")
_UUID = re.compile(r"[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")
_DECIMAL = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{1,40})?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def _bad(message: str) -> InvalidValue:
    return InvalidValue("bad_value", message)


def clean_text(value: Any, limit: int) -> Any:
    """Return text unchanged. Rejects other types, U+0000, lone surrogates, and text longer than `limit` characters."""
    if type(value) is not str:
        if value is None:
            return None
        raise _bad(f"Expected text, got {_kind_of(value)}.")
    if len(value) > limit:
        raise InvalidValue("too_large", f"Use at most {limit} characters (this has {len(value)}).")
    if "\0" in value:
        raise _bad("The character U+0000 is not allowed.")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise _bad("Contains a lone surrogate, which is not valid Unicode.") from error
    return value


def clean_id(value: Any) -> Any:
    """Return a record ID unchanged: 1 to 128 characters, no control characters, no lone surrogates."""
    if type(value) is not str:
        if value is None:
            return None
        raise _bad(f"An ID must be text, not {_kind_of(value)}.")
    if not value or len(value) > ID_LENGTH:
        raise _bad(f"An ID must have 1 to {ID_LENGTH} characters.")
    if _CONTROL.search(value):
        raise _bad("An ID can’t contain control characters.")
    return clean_text(value, ID_LENGTH)


def clean_integer(value: Any) -> Any:
    """Return an int within ±(2^53 − 1). Accepts a float that has no fraction."""
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is int:
        if -MAX_INTEGER <= value <= MAX_INTEGER:
            return value
        raise _bad("Whole numbers must be within ±(2^53 − 1).")
    if value is None:
        return None
    raise _bad(f"Expected a whole number, got {_kind_of(value)}.")


def clean_real(value: Any) -> Any:
    """Return a finite float. Accepts an int if it converts exactly. −0.0 becomes 0.0."""
    if type(value) is float:
        if math.isfinite(value):
            return value + 0.0
        raise _bad("Must be a finite number.")
    if type(value) is int:
        if -MAX_INTEGER <= value <= MAX_INTEGER:
            return float(value)
        raise _bad("Whole numbers must be within ±(2^53 − 1).")
    if value is None:
        return None
    raise _bad(f"Expected a number, got {_kind_of(value)}.")


def clean_boolean(value: Any) -> Any:
    """Return True or False; 0 and 1 are not accepted."""
    if value is True or value is False or value is None:
        return value
    raise _bad(f"Expected true or false, got {_kind_of(value)}.")


def clean_date(value: Any) -> Any:
    """Return `YYYY-MM-DD`; the date must exist."""
    if type(value) is str:
        if _DATE.fullmatch(value):
            try:
                date.fromisoformat(value)
            except ValueError as error:
                raise _bad(f"{value} is not a valid date.") from error
            return value
        raise _bad("Enter a date such as 2026-11-21.")
    if value is None:
        return None
    if type(value) is date:
        return value.isoformat()
    raise _bad(f"Expected a date, got {_kind_of(value)}.")


def wire_datetime(value: datetime) -> str:
    """Return an aware datetime in wire form: UTC, six fractional digits, Z."""
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def clean_datetime(value: Any) -> Any:
    """Return `YYYY-MM-DDTHH:MM:SS.ffffffZ`. Any UTC offset is converted, but one is required."""
    try:
        if type(value) is str:
            if not _DATETIME.fullmatch(value):
                raise _bad("Enter a date and time such as 2026-11-21T09:00:00Z, with Z or a UTC offset.")
            parsed = datetime.fromisoformat(value)
            return value if len(value) == _WIRE_DATETIME_LENGTH and value[-1] == "Z" else wire_datetime(parsed)
        if value is None:
            return None
        if isinstance(value, datetime) and value.utcoffset() is not None:
            return wire_datetime(value)
    except (ValueError, OverflowError) as error:
        raise _bad(f"{value} is not a valid date and time.") from error
    raise _bad(f"Expected a date and time with Z or a UTC offset, got {_kind_of(value)}.")


def clean_uuid(value: Any) -> Any:
    """Return a UUID as canonical lowercase text. Accepts uppercase and missing hyphens."""
    if type(value) is str and _UUID.fullmatch(value):
        return str(uuid.UUID(value))
    if value is None:
        return None
    if isinstance(value, uuid.UUID):
        return str(value)
    raise _bad("Enter a UUID such as 0190b3c4-0000-7000-8000-000000000000.")


def decimal_cleaner(places: int) -> Cleaner:
    """Return the cleaner of a decimal field, which produces text with exactly `places` decimal places."""
    step = Decimal(1).scaleb(-places)
    bound = Decimal(10) ** (DECIMAL_DIGITS - places)
    # Most values are in wire form already. For nonnegative ones a pattern match is ten times as fast as arithmetic.
    point = rf"\.[0-9]{{{places}}}" if places else ""
    in_wire_form = re.compile(rf"(0|[1-9][0-9]{{0,{max(DECIMAL_DIGITS - places - 1, 0)}}}){point}").fullmatch

    def clean(value: Any) -> Any:
        if value is None or (type(value) is str and places < DECIMAL_DIGITS and in_wire_form(value)):
            return value
        exact = _to_decimal(value)
        if abs(exact) >= bound:
            raise _bad(f"Use at most {DECIMAL_DIGITS - places} digits before the decimal point.")
        try:
            rounded = exact.quantize(step)
        except InvalidOperation as error:
            raise _bad("Too many digits.") from error
        if rounded != exact:
            raise _bad(f"Use at most {places} decimal places.")
        return f"{rounded if rounded else abs(rounded):f}"

    return clean


def _to_decimal(value: Any) -> Decimal:
    kind = type(value)
    if kind is str:
        if _DECIMAL.fullmatch(value):
            return Decimal(value)
        raise _bad("Enter a decimal number such as 12.50, without an exponent.")
    if kind is int:
        if -(10**DECIMAL_DIGITS) < value < 10**DECIMAL_DIGITS:
            return Decimal(value)
        raise _bad(f"Use at most {DECIMAL_DIGITS} digits.")
    if kind is float and math.isfinite(value):
        return Decimal(repr(value))
    if isinstance(value, Decimal) and value.is_finite():
        return value
    raise _bad(f"Expected a decimal number, got {_kind_of(value)}.")


def choice_cleaner(values: frozenset[str]) -> Cleaner:
    """Return the cleaner of a choice field."""

    def clean(value: Any) -> Any:
        if value is None or (type(value) is str and value in values):
            return value
        raise _bad(f"{_short(value)} is not one of the choices.")

    return clean


def make_cleaner(field: FieldSpec, limits: ValueLimits) -> Cleaner:
    """Return the cleaner of a field. Raises `ValueError` for an unknown kind."""
    match field.kind:
        case "text":
            limit = min(limits.text, INDEXED_TEXT) if field.has_index else limits.text
            return partial(clean_text, limit=limit)
        case "decimal":
            return decimal_cleaner(2 if field.decimal_places is None else field.decimal_places)
        case "choice":
            return choice_cleaner(frozenset(choice.value for choice in field.choices))
        case "json":
            return lambda value: None if value is None else clean_json(value, limits.json, max_depth=limits.depth)
    try:
        return _PLAIN[field.kind]
    except KeyError:
        raise ValueError(f"Unknown field kind {field.kind!r}.") from None


_PLAIN: dict[str, Cleaner] = {
    "integer": clean_integer,
    "real": clean_real,
    "boolean": clean_boolean,
    "date": clean_date,
    "datetime": clean_datetime,
    "uuid": clean_uuid,
    "reference": clean_id,
}

_KINDS_IN_WORDS = {
    bool: "true/false",
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "an object",
}


def _kind_of(value: Any) -> str:
    return _KINDS_IN_WORDS.get(type(value), type(value).__name__)


def _short(value: Any) -> str:
    # Use ascii() so that a lone surrogate in the input cannot break the encoding of the response.
    text = ascii(value) if isinstance(value, str) else _kind_of(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
