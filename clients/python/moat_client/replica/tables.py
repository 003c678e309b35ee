"""A replica's tables: their columns and kinds, and rows to and from records.

Pure: no I/O, clock, or randomness.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from moat_client.replica.ddl import quoted
from moat_client.wire.canonical import canonical_json
from moat_client.wire.patch import Record
from moat_client.wire.schema import SYSTEM_COLUMNS, SYSTEM_JSON, ObjectType
from moat_client.wire.values import from_sql, to_sql

DEFAULT_PLACES = 2
_CHUNK = 500


@dataclass(frozen=True)
class Table:
    """A synced table. Base columns come first; a column not in `object_metadata` counts as text."""

    name: str
    columns: tuple[str, ...]
    kinds: Mapping[str, str]
    places: Mapping[str, int]
    object_type: ObjectType | None = None

    @cached_property
    def json_columns(self) -> tuple[tuple[int, str], ...]:
        """The positions and names of the columns that hold canonical JSON."""
        return tuple((n, c) for n, c in enumerate(self.columns) if self.kinds.get(c) == "json")

    @cached_property
    def column_list(self) -> str:
        """All columns, quoted."""
        return ", ".join(map(quoted, self.columns))

    @cached_property
    def upsert_sql(self) -> str:
        """The statement that writes a whole row."""
        rest = ", ".join(f"{quoted(c)} = excluded.{quoted(c)}" for c in self.columns[1:])
        marks = ", ".join("?" * len(self.columns))
        return (
            f"INSERT INTO main.{quoted(self.name)} ({self.column_list}) "
            f'VALUES ({marks}) ON CONFLICT ("id") DO UPDATE SET {rest}'
        )

    def row(self, record: Mapping[str, Any]) -> list[Any]:
        """Return the SQL values of a record of wire values; missing keys are null."""
        row = list(map(record.get, self.columns))
        for n, _ in self.json_columns:
            if row[n] is not None:
                row[n] = canonical_json(row[n])
        return row

    def value(self, column: str, wire: Any) -> Any:
        """Return the SQL value of one column's wire value."""
        return to_sql(self.kinds.get(column, "text"), wire)

    def record(self, row: Sequence[Any]) -> Record:
        """Return the wire values of a row selected in the order of `columns`."""
        return {
            c: from_sql(self.kinds[c], v, decimal_places=self.places.get(c))
            for c, v in zip(self.columns, row, strict=True)
        }


@dataclass(frozen=True)
class Catalog:
    """All tables of a replica."""

    tables: Mapping[str, Table]
    system: Mapping[str, Table]

    @cached_property
    def objects(self) -> list[ObjectType]:
        """The published object types that have a table here, sorted by name."""
        found = [t.object_type for t in self.tables.values() if t.object_type]
        return sorted(found, key=lambda o: o.object_name)

    def synced(self, name: str) -> Table | None:
        """Return an object type's table or a system table."""
        return self.tables.get(name) or self.system.get(name)


def _system_table(name: str) -> Table:
    columns = SYSTEM_COLUMNS[name]
    kinds = {c: "json" if c in SYSTEM_JSON[name] else "text" for c in columns} | {"version": "integer"}
    return Table(name, columns, kinds, {})


SYSTEM = {name: _system_table(name) for name in SYSTEM_COLUMNS}
