"""Pure: column types, database and replica values, and JSON Schema of each field kind.

`cleaner`, `binder`, and `reader` return one function per field, for paths that handle many values. `clean`, `to_db`,
and `from_db` do the same for one value. `vendor` is Django's: "sqlite" or "postgresql".
"""

import json
import uuid
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from metadata.canonical import canonical_json
from metadata.cleaners import CHOICE_LENGTH, ID_LENGTH, INDEXED_TEXT, Cleaner, clean_id, make_cleaner, wire_datetime
from metadata.errors import InvalidValue
from metadata.limits import value_limits
from metadata.schema import FieldSpec, ObjectSpec

__all__ = [
    "CHOICE_LENGTH",
    "ID_LENGTH",
    "INDEXED_TEXT",
    "InvalidValue",
    "binder",
    "canonical_json",
    "clean",
    "clean_id",
    "cleaner",
    "column_type",
    "decimal_places",
    "from_db",
    "json_schema_of",
    "literal",
    "reader",
    "replica_type",
    "to_db",
    "to_replica",
]

Convert = Callable[[Any], Any]

_SQLITE = {"integer": "INTEGER", "real": "REAL", "decimal": "NUMERIC", "boolean": "INTEGER"}
_POSTGRESQL = {
    "text": "text",
    "integer": "bigint",
    "real": "double precision",
    "decimal": "numeric",
    "boolean": "boolean",
    "date": "date",
    "datetime": "timestamp with time zone",
    "uuid": "uuid",
    "json": "json",
    "choice": "text",
    "reference": "text",
}


def decimal_places(field: FieldSpec) -> int:
    """Return the decimal places of a decimal field; 2 by default."""
    return 2 if field.decimal_places is None else field.decimal_places


def column_type(field: FieldSpec, vendor: str) -> str:
    """Return the type of the field's column on the server, as the database itself spells it."""
    return _POSTGRESQL[field.kind] if vendor == "postgresql" else replica_type(field)


def replica_type(field: FieldSpec) -> str:
    """Return the type of the field's column in a replica (docs/spec/replica.md)."""
    return _SQLITE.get(field.kind, "TEXT")


@lru_cache(maxsize=4096)
def cleaner(field: FieldSpec) -> Cleaner:
    """Return the function that converts any input to the field's wire form, or raises `InvalidValue`."""
    return make_cleaner(field, value_limits())


def clean(field: FieldSpec, value: Any) -> Any:
    """Return a value in the field's wire form. Raises `InvalidValue` (`bad_value`, `too_large`). None passes."""
    return cleaner(field)(value)


def _same(value: Any) -> Any:
    return value


def _nullable(convert: Convert) -> Convert:
    return lambda value: None if value is None else convert(value)


_canonical = _nullable(canonical_json)
_TO_SQLITE: dict[str, Convert] = {"json": _canonical, "boolean": _nullable(int)}
_TO_POSTGRESQL: dict[str, Convert] = {
    "json": _canonical,
    "date": _nullable(date.fromisoformat),
    "datetime": _nullable(datetime.fromisoformat),
    "decimal": _nullable(Decimal),
    "uuid": _nullable(uuid.UUID),
}
# What a plain SELECT returns, through the bare driver or through Django's converters.
_READERS: dict[str, Convert] = {
    "real": _nullable(float),
    "boolean": _nullable(bool),
    "date": _nullable(str),
    "datetime": _nullable(lambda value: value if isinstance(value, str) else wire_datetime(value)),
    "uuid": _nullable(str),
}


def binder(field: FieldSpec, vendor: str) -> Convert:
    """Return the function that converts a wire value to what the database driver binds."""
    return (_TO_POSTGRESQL if vendor == "postgresql" else _TO_SQLITE).get(field.kind, _same)


def reader(field: FieldSpec, vendor: str) -> Convert:
    """Return the function that converts a SELECT's result to the wire value."""
    if field.kind == "decimal":
        places = decimal_places(field)
        return _nullable(lambda value: f"{Decimal(value) if isinstance(value, str) else value:.{places}f}")
    if field.kind == "json":
        # psycopg has already parsed a JSON column; SQLite returns text.
        return _same if vendor == "postgresql" else _nullable(json.loads)
    return _READERS.get(field.kind, _same)


def to_db(field: FieldSpec, value: Any, vendor: str) -> Any:
    """Convert a wire value to what the database driver binds."""
    return binder(field, vendor)(value)


def from_db(field: FieldSpec, value: Any, vendor: str) -> Any:
    """Convert a SELECT's result to the wire value."""
    return reader(field, vendor)(value)


def to_replica(field: FieldSpec, value: Any) -> Any:
    """Convert a wire value to what `sqlite3` binds in a replica."""
    return binder(field, "sqlite")(value)


def literal(field: FieldSpec, vendor: str) -> str:
    """Return the field's default as an SQL literal. It is a wire value, so its characters are known to be safe."""
    value = to_db(field, field.default, "sqlite")
    if field.kind == "boolean" and vendor == "postgresql":
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    text = "'" + str(value).replace("'", "''") + "'"
    return f"{text}::{column_type(field, vendor)}" if vendor == "postgresql" else text


def _value_schema(field: FieldSpec) -> dict[str, Any]:
    match field.kind:
        case "integer":
            return {"type": "integer", "minimum": -(2**53) + 1, "maximum": 2**53 - 1}
        case "real":
            return {"type": "number"}
        case "boolean":
            return {"type": "boolean"}
        case "decimal":
            places = decimal_places(field)
            return {"type": "string", "pattern": rf"^-?[0-9]+\.[0-9]{{{places}}}$" if places else "^-?[0-9]+$"}
        case "date" | "uuid":
            return {"type": "string", "format": field.kind}
        case "datetime":
            return {"type": "string", "format": "date-time"}
        case "choice":
            return {"type": "string", "enum": [choice.value for choice in field.choices]}
        case "reference":
            return {"type": "string", "minLength": 1, "maxLength": ID_LENGTH}
        case "text":
            return {"type": "string", "maxLength": INDEXED_TEXT if field.has_index else value_limits().text}
    return {}


def _property(field: FieldSpec) -> dict[str, Any]:
    schema = _value_schema(field)
    if not field.required and "type" in schema:
        schema["type"] = [schema["type"], "null"]
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
    schema["title"] = field.label or field.name
    if field.help_text:
        schema["description"] = field.help_text
    if field.default is not None:
        schema["default"] = field.default
    return schema


def json_schema_of(spec: ObjectSpec) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of an object type's records, for form builders and API clients."""
    properties: dict[str, Any] = {}
    for name, values in (("object_type", spec.subtypes), ("status", spec.statuses)):
        if values:
            properties[name] = {
                "type": "string",
                "enum": [choice.value for choice in values],
                "title": name.replace("_", " ").capitalize(),
            }
    properties.update({field.name: _property(field) for field in spec.fields})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": spec.label or spec.object_name,
        "type": "object",
        "properties": properties,
        "required": [field.name for field in spec.fields if field.required],
    }
