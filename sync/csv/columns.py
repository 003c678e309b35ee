"""Pure: map a file's columns to fields, with legal database names."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from metadata.names import MAX_SLUG, field_name_problem
from metadata.schema import ObjectSpec
from tenants.errors import MoatError

SYSTEM = ("id", "object_type", "status")
IGNORED = ("version",)  # the server counts versions itself


class BadColumns(MoatError):
    """The file's columns do not fit the fields of the object type."""

    def __init__(self, message: str) -> None:
        super().__init__("bad_columns", message)


@dataclass(frozen=True, slots=True)
class Column:
    """The cell at `index` of every row, and the field (or `id`, `object_type`, `status`) it fills."""

    index: int
    header: str
    target: str

    @property
    def is_field(self) -> bool:
        """Whether the target is a field of the object type rather than a column every record has."""
        return self.target not in SYSTEM


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """All columns that are read, with notes on changed names."""

    columns: tuple[Column, ...]
    notes: tuple[str, ...]

    @property
    def fields(self) -> tuple[Column, ...]:
        """The columns that fill fields."""
        return tuple(c for c in self.columns if c.is_field)

    def filling(self, target: str) -> Column | None:
        """Return the column that fills a target."""
        return next((c for c in self.columns if c.target == target), None)


def slug(text: str, position: int) -> str:
    """Return the nearest legal field name, or `column_3` if nothing of the text is usable."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    name = f"c_{name}" if name[:1].isdigit() else name
    name = name[:MAX_SLUG].strip("_") or f"column_{position}"
    return name if name in SYSTEM or field_name_problem(name) is None else f"{name[: MAX_SLUG - 6].strip('_')}_value"


def plan_new(header: Sequence[str], *, mapping: Iterable[tuple[str, str]] = (), skip: Iterable[str] = ()) -> ColumnPlan:
    """Plan the columns of a new object type. Illegal names are changed, with a note."""
    _check_header(header)
    targets = _mapped(header, mapping)
    left_out = _known(header, skip, "--skip")
    taken = {t for names in targets.values() for t in names}
    columns: list[Column] = []
    notes: list[str] = []
    for index, name in enumerate(header):
        if name in left_out:
            continue
        for target in targets.get(name) or [_free(slug(name, index + 1), taken)]:
            taken.add(target)
            columns.append(Column(index, name, target))
            if name not in targets and target != name:
                notes.append(f"column {index + 1} {name!r} becomes the field {target!r}")
    return _checked(columns, notes)


def plan_existing(
    header: Sequence[str], spec: ObjectSpec, *, mapping: Iterable[tuple[str, str]] = (), skip: Iterable[str] = ()
) -> ColumnPlan:
    """Plan columns into a published object type, matched by field name, then by label.

    Raises BadColumns for a column without a field.
    """
    _check_header(header)
    targets = _mapped(header, mapping)
    left_out = {*_known(header, skip, "--skip"), *(n for n in IGNORED if n not in spec.by_name)}
    labels = {f.label.casefold(): f.name for f in spec.fields if f.label}
    legal = {*SYSTEM, *spec.by_name}
    columns: list[Column] = []
    unknown: list[str] = []
    for index, name in enumerate(header):
        if name in left_out and name not in targets:
            continue
        candidates = (name, slug(name, index + 1), labels.get(name.casefold(), ""))
        automatic = next((c for c in candidates if c in legal), name)
        for target in targets.get(name, [automatic]):
            columns.append(Column(index, name, target))
            if target not in legal:
                unknown.append(target)
    if unknown:
        raise BadColumns(
            f"{spec.object_name} has no field {', '.join(map(repr, unknown))}. Its fields are "
            f"{', '.join(sorted(spec.by_name))}. Use --map COLUMN=FIELD to rename a column or "
            "--skip COLUMN to leave it out."
        )
    return _checked(columns, [])


def _check_header(header: Sequence[str]) -> None:
    duplicates = [name for name, count in Counter(header).items() if count > 1 and name]
    if duplicates:
        raise BadColumns(
            f"duplicate column names: {', '.join(map(repr, duplicates))}. Give every column a unique name."
        )


def _mapped(header: Sequence[str], mapping: Iterable[tuple[str, str]]) -> Mapping[str, list[str]]:
    targets: dict[str, list[str]] = {}
    for name, target in mapping:
        targets.setdefault(name, []).append(target)
    _known(header, targets, "--map")
    return targets


def _known(header: Sequence[str], names: Iterable[str], option: str) -> set[str]:
    names = set(names)
    if missing := sorted(names - set(header)):
        raise BadColumns(
            f"{option}: no column named {', '.join(map(repr, missing))}. The columns are {', '.join(header)}."
        )
    return names


def _free(name: str, taken: set[str]) -> str:
    if name not in taken:
        return name
    return next(c for n in range(2, 10_000) if (c := f"{name[: MAX_SLUG - 5].strip('_')}_{n}") not in taken)


def _checked(columns: list[Column], notes: list[str]) -> ColumnPlan:
    for target, count in Counter(c.target for c in columns).items():
        if count > 1:
            raise BadColumns(f"more than one column maps to {target!r}.")
        problem = None if target in SYSTEM else field_name_problem(target)
        if problem:
            raise BadColumns(f"{target!r} cannot be a field: {problem}")
    if not any(c.is_field for c in columns):
        raise BadColumns("no columns left to import.")
    return ColumnPlan(tuple(columns), tuple(notes))
