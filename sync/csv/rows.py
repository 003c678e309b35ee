"""Pure: turn a row of a file into the ID and payload of an insert."""

import hashlib
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from metadata.schema import ObjectSpec
from sync.csv.cells import reader_of
from sync.csv.columns import BadColumns, Column, ColumnPlan

_NAMESPACE = uuid.UUID("6d6f6174-0000-5000-8000-637376000000")
SEPARATOR = "~"
MOST_VALUES = 50_000


class BadCell(Exception):
    """A row cannot be read. `column` is the header's name, or None if the whole row is at fault."""

    def __init__(self, reason: str, column: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.column = column


class _Values(dict[str, Any]):
    """A cache of one column's parsed cells, bounded in size. None is null."""

    def __init__(self, convert: Callable[[str], Any], nulls: Iterable[str], *, share: bool) -> None:
        super().__init__(dict.fromkeys(nulls))
        self._convert = convert
        self._room = MOST_VALUES if share else 0

    def __missing__(self, cell: str) -> Any:
        value = self._convert(cell)
        if len(self) < self._room:
            self[cell] = value
        return value


@dataclass(slots=True)
class RowReader:
    """Reads rows into (ID, payload).

    `source` names the file. A row without a key gets its ID from the file, its line, and its text.
    """

    plan: ColumnPlan
    spec: ObjectSpec
    width: int
    source: str
    key: tuple[Column, ...] = ()
    nulls: frozenset[str] = frozenset({"", "NA"})
    _cells: list[tuple[int, str, _Values]] = field(default_factory=list)
    _id: Column | None = None

    def __post_init__(self) -> None:
        fields = self.spec.by_name
        self._id = self.plan.filling("id")
        kinds = {c.target: fields[c.target].kind if c.is_field else "text" for c in self.plan.columns}
        self._cells = [
            # A json value is mutable, so records must not share it.
            (c.index, c.target, _Values(reader_of(kinds[c.target]), self.nulls, share=kinds[c.target] != "json"))
            for c in self.plan.columns
            if c.target != "id"
        ]

    def read(self, line: int, cells: Sequence[str]) -> tuple[str, dict[str, Any]]:
        """Return the record ID and the payload of an insert, without nulls. Raises BadCell."""
        if len(cells) != self.width:
            raise BadCell(f"the row has {len(cells)} cells; the header has {self.width}")
        try:
            payload = {
                target: value for index, target, values in self._cells if (value := values[cells[index]]) is not None
            }
        except ValueError:
            raise self._bad_cell(cells) from None
        return self._record_id(line, cells), payload

    def _bad_cell(self, cells: Sequence[str]) -> BadCell:
        for column, (index, _, values) in zip(
            (c for c in self.plan.columns if c.target != "id"), self._cells, strict=True
        ):
            try:
                values[cells[index]]
            except ValueError as error:
                return BadCell(str(error), column.header)
        raise AssertionError("no invalid cell found")

    def _record_id(self, line: int, cells: Sequence[str]) -> str:
        if self.key:
            parts = [self._key_part(column, cells) for column in self.key]
            return (
                parts[0]
                if len(parts) == 1
                else SEPARATOR.join(p.replace("%", "%25").replace(SEPARATOR, "%7E") for p in parts)
            )
        if self._id is not None:
            return self._key_part(self._id, cells)
        digest = hashlib.sha256("\x1f".join(cells).encode("utf-8", "surrogatepass")).hexdigest()
        return str(uuid.uuid5(_NAMESPACE, f"{self.source}\n{line}\n{digest}"))

    def _key_part(self, column: Column, cells: Sequence[str]) -> str:
        part = cells[column.index].strip()
        # A key is text: "NA" is valid (Namibia); only an empty part is not.
        if not part:
            raise BadCell("the key is empty", column.header)
        return part


def key_columns(plan: ColumnPlan, names: Sequence[str]) -> tuple[Column, ...]:
    """Return the columns of a key, named by header or by field. Raises BadColumns."""
    found = []
    for name in names:
        column = next((c for c in plan.columns if name in (c.header, c.target)), None)
        if column is None:
            raise BadColumns(
                f"--key: no column named {name!r}. The columns are {', '.join(c.header for c in plan.columns)}."
            )
        found.append(column)
    return tuple(found)
