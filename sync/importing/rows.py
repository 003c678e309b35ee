"""PURE: a row of a file as the id and payload of an insert."""

import hashlib
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from metadata.schema import ObjectSpec
from sync.importing.cells import reader_of
from sync.importing.columns import BadColumns, Column, ColumnPlan

_NAMESPACE = uuid.UUID("6d6f6174-0000-5000-8000-637376000000")
SEPARATOR = "~"


class BadCell(Exception):
    """A row cannot be read; `column` is the header's name, None when the row as a whole is at fault."""

    def __init__(self, reason: str, column: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.column = column


@dataclass(slots=True)
class RowReader:
    """Reads rows into (id, payload). `source` names the file: rows without a key are known by it, their line and their text."""

    plan: ColumnPlan
    spec: ObjectSpec
    width: int
    source: str
    key: tuple[Column, ...] = ()
    nulls: frozenset[str] = frozenset({"", "NA"})
    _cells: list[tuple[int, str, str, Callable[[str], Any]]] = field(default_factory=list)
    _id: Column | None = None

    def __post_init__(self) -> None:
        fields = self.spec.by_name
        self._id = self.plan.filling("id")
        self._cells = [
            (c.index, c.header, c.target, reader_of(fields[c.target].kind if c.is_field else "text"))
            for c in self.plan.columns
            if c.target != "id"
        ]

    def read(self, line: int, cells: Sequence[str]) -> tuple[str, dict[str, Any]]:
        """Return the record id and the payload of an insert, nulls left out. Raises BadCell."""
        if len(cells) != self.width:
            raise BadCell(f"the row has {len(cells)} cells, the header has {self.width}")
        payload: dict[str, Any] = {}
        nulls = self.nulls
        for index, header, target, convert in self._cells:
            cell = cells[index]
            if cell in nulls:
                continue
            try:
                payload[target] = convert(cell)
            except ValueError as error:
                raise BadCell(str(error), header) from None
        return self._record_id(line, cells), payload

    def _record_id(self, line: int, cells: Sequence[str]) -> str:
        if self.key:
            parts = [self._key_part(column, cells) for column in self.key]
            return parts[0] if len(parts) == 1 else SEPARATOR.join(p.replace("%", "%25").replace(SEPARATOR, "%7E") for p in parts)
        if self._id is not None:
            return self._key_part(self._id, cells)
        digest = hashlib.sha256("\x1f".join(cells).encode("utf-8", "surrogatepass")).hexdigest()
        return str(uuid.uuid5(_NAMESPACE, f"{self.source}\n{line}\n{digest}"))

    def _key_part(self, column: Column, cells: Sequence[str]) -> str:
        part = cells[column.index].strip()
        # A key is text: "NA" is a good one (Namibia), only nothing is not.
        if not part:
            raise BadCell("the key is empty", column.header)
        return part


def key_columns(plan: ColumnPlan, names: Sequence[str]) -> tuple[Column, ...]:
    """Return the columns a key is made of, named by header or by field. Raises BadColumns."""
    found = []
    for name in names:
        column = next((c for c in plan.columns if name in (c.header, c.target)), None)
        if column is None:
            raise BadColumns(f"--key names {name!r}, which is not a column. The columns are {', '.join(c.header for c in plan.columns)}.")
        found.append(column)
    return tuple(found)
