"""A page of records: filters, search, sort order, and an opaque cursor, in one query.

Pages are found by key rather than by offset. Every page costs the same, and concurrent writes cause no gaps or
duplicates. Nulls sort below all values, on every database.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from django.db.models import F, Q, QuerySet

from metadata.errors import InvalidValue
from metadata.fieldtypes import clean
from metadata.registry import LOOKUPS
from metadata.schema import FieldSpec, ObjectSpec
from sync.transports.rest.conf import RestSettings
from sync.transports.rest.errors import RestCode, RestError

Parameters = Mapping[str, Sequence[str]]

#: Parameters that are not filters.
RESERVED = frozenset({"limit", "cursor", "order", "q", "tenant", "format"})
OPERATORS = {
    "": "exact",
    "in": "in",
    "lt": "lt",
    "lte": "lte",
    "gt": "gt",
    "gte": "gte",
    "contains": "icontains",
    "isnull": "isnull",
}
SYSTEM_FIELDS = (
    FieldSpec("id", "text"),
    FieldSpec("version", "integer"),
    FieldSpec("object_type", "text"),
    FieldSpec("status", "text"),
)
MAX_SEARCH = 200
_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Page:
    """Rows in order, and the cursor of the next page; None on the last page."""

    rows: list[Any]
    next: str | None


@dataclass(frozen=True, slots=True)
class Order:
    """Sort order by one field, with ties broken by ID."""

    field: FieldSpec
    descending: bool

    @property
    def text(self) -> str:
        """The order as requested."""
        return f"-{self.field.name}" if self.descending else self.field.name

    @property
    def by(self) -> list[Any]:
        """The order in the ORM's form."""
        name = self.field.name
        if name == "id":
            return ["-id" if self.descending else "id"]
        return [F(name).desc(nulls_last=True) if self.descending else F(name).asc(nulls_first=True), "id"]


def page_of(rows: "QuerySet[Any]", spec: ObjectSpec, parameters: Parameters, *, settings: RestSettings) -> Page:
    """Return the page for the query parameters. Raises `bad_filter`, `bad_cursor`, and `bad_request`."""
    fields = {field.name: field for field in (*SYSTEM_FIELDS, *spec.fields)}
    limit = limit_of(_single(parameters, "limit"), settings)
    order = _order(_single(parameters, "order") or "id", fields)
    rows = rows.filter(_filters(parameters, fields, settings), _search(_single(parameters, "q"), spec))
    cursor = _single(parameters, "cursor")
    if cursor:
        rows = rows.filter(_after(order, *_decode(cursor, order)))
    found = list(rows.order_by(*order.by)[: limit + 1])
    return Page(found[:limit], _encode(order, found[limit - 1]) if len(found) > limit else None)


def limit_of(text: str, settings: RestSettings) -> int:
    """Return the page size. Raises `bad_request` unless it is a positive number within the limit."""
    if not text:
        return settings.rest_page
    if not (text.isascii() and text.isdigit() and len(text) < 9 and int(text) >= 1):
        raise RestError(RestCode.BAD_REQUEST, f"limit must be between 1 and {settings.rest_page_max}.", field="limit")
    return min(int(text), settings.rest_page_max)


def _bad(message: str, name: str | None = None) -> RestError:
    return RestError(RestCode.BAD_FILTER, message, field=name)


def _single(parameters: Parameters, name: str) -> str:
    values = parameters.get(name) or [""]
    if len(values) > 1:
        raise RestError(RestCode.BAD_REQUEST, f"{name} is given more than once.", field=name)
    return values[0]


def _order(text: str, fields: Mapping[str, FieldSpec]) -> Order:
    name = text.removeprefix("-")
    field = fields.get(name)
    if field is None or field.kind == "json":
        raise _bad(f"Can't sort by unknown field {name[:40]!a}.", "order")
    return Order(field, text.startswith("-"))


def _filters(parameters: Parameters, fields: Mapping[str, FieldSpec], settings: RestSettings) -> Q:
    query = Q()
    count = 0
    for name, values in parameters.items():
        if name in RESERVED:
            continue
        count += len(values)
        if count > settings.rest_filters:
            raise _bad(f"Use at most {settings.rest_filters} filters.")
        field_name, separator, operator = name.partition("__")
        field = fields.get(field_name)
        if (
            field is None
            or operator not in OPERATORS
            or (separator and not operator)
            or OPERATORS[operator] not in LOOKUPS[field.kind]
        ):
            raise _bad(f"Unknown filter {name[:60]!a}.", name[:60])
        for value in values:
            query &= _filter(field, operator, value, settings)
    return query


def _filter(field: FieldSpec, operator: str, value: str, settings: RestSettings) -> Q:
    lookup = f"{field.name}__{OPERATORS[operator]}"
    if operator == "isnull":
        if value not in _BOOLEANS:
            raise _bad("Expected true or false.", lookup)
        return Q(**{lookup: _BOOLEANS[value]})
    if operator == "in":
        parts = value.split(",")
        if len(parts) > settings.rest_in:
            raise _bad(f"Use at most {settings.rest_in} values.", lookup)
        return Q(**{lookup: [_value(field, part) for part in parts]})
    if operator == "contains":
        return Q(**{lookup: _clean(FieldSpec(field.name, "text"), value)})
    return Q(**{lookup: _value(field, value)})


def _value(field: FieldSpec, text: str) -> Any:
    """Return a parameter's text as the wire value of the field's kind. Raises `bad_filter`."""
    value: Any = text
    try:
        if field.kind == "integer":
            value = int(text) if len(text) < 20 and text.isascii() else text
        elif field.kind == "real":
            value = float(text)
        elif field.kind == "boolean":
            value = _BOOLEANS.get(text, text)
    except ValueError:
        raise _bad(f"Expected a number, got {text[:40]!a}.", field.name) from None
    # An unknown choice matches nothing; it is not an error.
    return _clean(FieldSpec(field.name, "text") if field.kind == "choice" else field, value)


def _clean(field: FieldSpec, value: Any) -> Any:
    try:
        return clean(field, value)
    except InvalidValue as error:
        raise _bad(error.message, field.name) from None


def _search(text: str, spec: ObjectSpec) -> Q:
    """Match records whose ID equals the text or whose text fields contain it."""
    if not text:
        return Q()
    if len(text) > MAX_SEARCH:
        raise _bad(f"Use at most {MAX_SEARCH} characters.", "q")
    text = _clean(FieldSpec("q", "text"), text)
    query = Q(id=text)
    for field in spec.fields:
        if field.kind == "text":
            query |= Q(**{f"{field.name}__icontains": text})
    return query


def _after(order: Order, value: Any, record_id: str) -> Q:
    """Match what comes after a record in this order."""
    name = order.field.name
    if name == "id":
        return Q(id__lt=record_id) if order.descending else Q(id__gt=record_id)
    if value is None:
        same = Q(**{f"{name}__isnull": True}, id__gt=record_id)
        return same if order.descending else same | Q(**{f"{name}__isnull": False})
    same = Q(**{name: value}, id__gt=record_id)
    if order.descending:
        return Q(**{f"{name}__lt": value}) | same | Q(**{f"{name}__isnull": True})
    return Q(**{f"{name}__gt": value}) | same


def _encode(order: Order, row: Any) -> str:
    data = orjson.dumps([order.text, getattr(row, order.field.name), row.id])
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decode(cursor: str, order: Order) -> tuple[Any, str]:
    """Return the value and ID of a cursor. It is not secret; its content is checked as parameters are."""
    try:
        data = orjson.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
        text, value, record_id = data
        if text == order.text and isinstance(record_id, str):
            field = FieldSpec(order.field.name, "text") if order.field.kind == "choice" else order.field
            return clean(field, value), clean(SYSTEM_FIELDS[0], record_id)
    except (ValueError, TypeError, InvalidValue):
        pass
    raise RestError(
        RestCode.BAD_CURSOR, "The page cursor is not valid for this query. Start from the first page.", field="cursor"
    )
