"""Select lists and encoders for the two forms in which records leave the server: a replica's stored form and wire JSON.

On SQLite the type tables store what a replica stores, so columns are read unchanged. On PostgreSQL the statement casts
them, which costs less than converting values in Python.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import orjson

from metadata.canonical import canonical_json
from metadata.fieldtypes import reader
from metadata.names import RECORD_COLUMNS, quote
from metadata.replica_ddl import SYSTEM_COLUMNS, SYSTEM_JSON_COLUMNS
from metadata.schema import FieldSpec, ObjectSpec, physical_name

_POSTGRESQL = {
    "decimal": "{}::text",
    "boolean": "{}::int",
    "date": "to_char({}, 'YYYY-MM-DD')",
    "datetime": """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""",
    "uuid": "{}::text",
    "json": "{}::text",
}
Row = tuple[Any, ...]


def column_names(spec: ObjectSpec) -> list[str]:
    """Return the columns of a record in a replica, in order."""
    return [*RECORD_COLUMNS, *(field.name for field in spec.fields)]


def selected(spec: ObjectSpec, vendor: str, *, prefix: str = "") -> str:
    """Return the select list that reads a record in a replica's stored form."""
    return ", ".join(
        [
            *(prefix + quote(name) for name in RECORD_COLUMNS),
            *(_expression(field, vendor, prefix) for field in spec.fields),
        ]
    )


def _expression(field: FieldSpec, vendor: str, prefix: str) -> str:
    column = prefix + quote(field.name)
    return _POSTGRESQL.get(field.kind, "{}").format(column) if vendor == "postgresql" else column


def table_of(tenant_id: int, spec: ObjectSpec) -> str:
    """Return the quoted name of an object type's table on the server."""
    return quote(physical_name(tenant_id, spec.table_name))


def line_encoder(spec: ObjectSpec) -> Callable[[Sequence[Any]], bytes]:
    """Return a function that turns a row in stored form into a line of a `rows` frame: a JSON array of wire values."""
    base = len(RECORD_COLUMNS)
    converters = [
        (base + n, _to_wire(field))
        for n, field in enumerate(spec.fields)
        if field.kind in ("boolean", "decimal", "json", "real")
    ]
    if not converters:
        return orjson.dumps

    def encode(row: Sequence[Any]) -> bytes:
        values = list(row)
        for index, convert in converters:
            if values[index] is not None:
                values[index] = convert(values[index])
        return orjson.dumps(values)

    return encode


def _to_wire(field: FieldSpec) -> Callable[[Any], Any]:
    # The stored form is SQLite's on both databases, except that PostgreSQL returns decimals as text. The reader accepts
    # both.
    return _fragment if field.kind == "json" else reader(field, "sqlite")


def _fragment(text: str) -> Any:
    """Embed stored JSON text in a line unchanged."""
    return orjson.Fragment(text)


def system_values(table: str, record_id: str, version: int, data: dict[str, Any]) -> list[Any]:
    """Return a record of a system table as wire values in column order."""
    return [record_id, version, *(data.get(name) for name in SYSTEM_COLUMNS[table][2:])]


def system_row(table: str, record_id: str, version: int, data: dict[str, Any]) -> list[Any]:
    """Return a record of a system table as a replica stores it."""
    return [record_id, version, *_stored(SYSTEM_COLUMNS[table][2:], data)]


def _stored(names: Iterable[str], data: dict[str, Any]) -> Iterable[Any]:
    for name in names:
        value = data.get(name)
        yield canonical_json(value) if name in SYSTEM_JSON_COLUMNS and value is not None else value
