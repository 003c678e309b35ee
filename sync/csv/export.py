"""Export an object type's records as CSV or JSON lines, streamed from a consistent snapshot."""

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from metadata.fieldtypes import InvalidValue, binder, clean, reader
from metadata.names import RECORD_COLUMNS
from metadata.schema import FieldSpec, ObjectSpec
from sync.csv.cells import reader_of
from sync.records.columns import selected, table_of
from sync.records.read_transaction import read_transaction
from tenants.errors import MoatError

_CONDITION = re.compile(r"([a-z][a-z0-9_]*)(!=|<=|>=|=|<|>)(.*)", re.DOTALL)
_COLUMNS = {name: FieldSpec(name, "integer" if name == "version" else "text") for name in RECORD_COLUMNS}


class Writable(Protocol):
    """Anything that text can be written to."""

    def write(self, text: str, /) -> object:
        """Write some text."""


@dataclass(frozen=True, slots=True)
class Exported:
    """The number of records written, and of texts that would import as null with the same marker."""

    records: int
    ambiguous: int


def export_csv(
    tenant_id: int, spec: ObjectSpec, out: Writable, *, where: Sequence[str] = (), null: str = ""
) -> Exported:
    """Write a header and one row per record: id, object_type, and status if present, then fields.

    Values are wire values, so `import_csv` with the same null marker restores the records. Raises MoatError for a bad
    condition.
    """
    names = _names(spec)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    json_fields = {f.name for f in spec.fields if f.kind == "json"}
    count = ambiguous = 0
    for record in _records(tenant_id, spec, where):
        cells = [null if record[name] is None else _cell(record[name], as_json=name in json_fields) for name in names]
        ambiguous += sum(cell == null and record[name] is not None for name, cell in zip(names, cells, strict=True))
        writer.writerow(cells)
        count += 1
    return Exported(count, ambiguous)


def export_json(tenant_id: int, spec: ObjectSpec, out: Writable, *, where: Sequence[str] = ()) -> Exported:
    """Write one JSON object per line, with `version` and including nulls."""
    count = 0
    for record in _records(tenant_id, spec, where):
        out.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE).decode())
        count += 1
    return Exported(count, 0)


def _names(spec: ObjectSpec) -> list[str]:
    system = [n for n, choices in (("object_type", spec.subtypes), ("status", spec.statuses)) if choices]
    return ["id", *system, *(f.name for f in spec.fields)]


def _records(tenant_id: int, spec: ObjectSpec, where: Sequence[str]) -> Iterator[dict[str, Any]]:
    names = [*RECORD_COLUMNS, *(f.name for f in spec.fields)]
    converters = [(f.name, _to_wire(f)) for f in spec.fields if f.kind in ("boolean", "decimal", "json", "real")]
    with read_transaction() as database:
        live = 'NOT "_deleted"' if database.vendor == "postgresql" else '"_deleted" = 0'
        conditions = [_condition(spec, text, database.vendor) for text in where]
        sql = " AND ".join([live, *(c for c, _ in conditions)])
        statement = (
            f'SELECT {selected(spec, database.vendor)} FROM {table_of(tenant_id, spec)} WHERE {sql} ORDER BY "id"'
        )
        for chunk in database.stream(statement, [v for _, values in conditions for v in values]):
            for row in chunk:
                record = dict(zip(names, row, strict=True))
                for name, convert in converters:
                    if record[name] is not None:
                        record[name] = convert(record[name])
                yield record


def _to_wire(field: FieldSpec) -> Callable[[Any], Any]:
    return orjson.loads if field.kind == "json" else reader(field, "sqlite")


def _condition(spec: ObjectSpec, text: str, vendor: str) -> tuple[str, list[Any]]:
    """Parse `status=done`, `price>=10`, `technician=` (null), or `technician!=` (not null)."""
    match = _CONDITION.fullmatch(text)
    field = match and (spec.by_name.get(match[1]) or _COLUMNS.get(match[1]))
    if match is None or field is None or field.kind == "json":
        raise MoatError(
            "bad_condition",
            f"{text!r} is not a valid condition for {spec.object_name}. Examples: status=done, price>=10, technician=",
        )
    name, sign, value = match.groups()
    if not value and sign in ("=", "!="):
        return f'"{name}" IS {"" if sign == "=" else "NOT "}NULL', []
    try:
        wire = clean(field, reader_of(field.kind)(value))
    except (ValueError, InvalidValue) as error:
        raise MoatError("bad_condition", f"{text!r}: {error}") from error
    return f'"{name}" {"<>" if sign == "!=" else sign} %s', [binder(field, vendor)(wire)]


def _cell(value: Any, *, as_json: bool) -> str:
    if as_json:
        return orjson.dumps(value).decode()
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)
