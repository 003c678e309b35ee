"""Create an object type from a CSV file: kinds from its values, names from its header."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from django.contrib.auth.models import User

from metadata.catalog import schema_of
from metadata.definitions import DraftField, DraftType, save_drafts
from metadata.kinds import KINDS, Kind
from metadata.names import propose_table_name
from metadata.publish import publish
from metadata.schema import ObjectSpec
from sync.csv.columns import BadColumns, ColumnPlan
from sync.csv.inference import ColumnGuess
from sync.csv.source import OpenCsv
from tenants.errors import MoatError, ValidationFailed
from tenants.models import Tenant

MOST_CHOICES = 50
CHUNK = 5000
_TITLES = ("name", "title", "label", "number", "description")


@dataclass(frozen=True, slots=True)
class FieldOptions:
    """The caller's kinds and reference targets by field name, which replace inference."""

    kinds: Mapping[str, str] = field(default_factory=dict)
    references: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Inferred:
    """The object type a file would create, with notes on the inference."""

    draft: DraftType
    notes: tuple[str, ...]


def infer(
    opened: OpenCsv,
    names: tuple[str, str],
    plan: ColumnPlan,
    *,
    field_options: FieldOptions,
    nulls: frozenset[str],
    key: frozenset[str],
) -> Inferred:
    """Read the whole file and return an object type that can hold it.

    `names` are the names of the object and the table. An empty table name is derived from the object's name. Raises
    BadColumns for options that do not fit.
    """
    _check_options(plan, field_options)
    guesses = {
        c.target: ColumnGuess()
        for c in plan.fields
        if c.target not in field_options.kinds and c.target not in field_options.references
    }
    choices: dict[str, dict[str, None]] = {c.target: {} for c in plan.columns if c.target in ("object_type", "status")}
    for lines, columns in _chunks(opened):
        for column in plan.columns:
            if column.target in guesses:
                guesses[column.target].feed(columns[column.index], lines, nulls)
            elif column.target in choices and len(choices[column.target]) <= MOST_CHOICES:
                choices[column.target].update(dict.fromkeys(v for v in columns[column.index] if v not in nulls))
    fields = tuple(
        _field(c.target, c.header, guesses.get(c.target), field_options, required=c.target in key) for c in plan.fields
    )
    object_name, table_name = names[0], names[1] or propose_table_name(names[0])
    draft = DraftType(
        object_name,
        _words(object_name),
        _words(table_name),
        fields,
        table_name=table_name,
        title_field=_title_field([f.name for f in fields], key),
        subtypes=_choices("object_type", choices),
        statuses=_choices("status", choices),
    )
    return Inferred(draft, tuple(_odd_values(plan, guesses)))


def _chunks(opened: OpenCsv) -> Iterator[tuple[tuple[int, ...], list[tuple[str, ...]]]]:
    """Yield the file by columns, some thousand rows at a time. Ragged rows are left to the import."""
    width = len(opened.header)
    rows = ((line, cells) for line, cells in opened.rows if len(cells) == width)
    while chunk := list(islice(rows, CHUNK)):
        lines, cells = zip(*chunk, strict=True)
        yield lines, list(zip(*cells, strict=True))


def create(tenant: Tenant, draft: DraftType, *, by: str) -> ObjectSpec:
    """Store and publish the draft. Raises ValidationFailed and then leaves no draft."""
    (made,) = save_drafts(tenant, [draft])
    try:
        publication = publish(tenant.pk, [draft.object_name], by=User.objects.filter(username=by).first())
    except (MoatError, ValidationFailed):
        made.delete()
        raise
    return schema_of(tenant.pk, publication.schema_version).by_object[draft.object_name]


def _check_options(plan: ColumnPlan, field_options: FieldOptions) -> None:
    names = {c.target for c in plan.fields}
    for name in (*field_options.kinds, *field_options.references):
        if name not in names:
            raise BadColumns(f"unknown field {name!r}. The fields are {', '.join(sorted(names))}.")
    for name, kind in field_options.kinds.items():
        if kind not in KINDS or kind in (Kind.CHOICE, Kind.REFERENCE):
            raise BadColumns(f"{name}: {kind!r} can't be used with --kind.")


def _field(
    name: str, header: str, guess: ColumnGuess | None, field_options: FieldOptions, *, required: bool
) -> DraftField:
    label = _words(header) if header else _words(name)
    if target := field_options.references.get(name):
        return DraftField(name, Kind.REFERENCE, label, required=required, reference=target)
    kind = field_options.kinds.get(name) or (guess.kind if guess else "text")
    places = guess.decimal_places if guess and kind == "decimal" else None
    return DraftField(name, kind, label, required=required, decimal_places=places)


def _title_field(names: list[str], key: frozenset[str]) -> str:
    """Return the title field: one with a title-like name, else a single-column key, else ""."""
    return next((n for n in (*_TITLES, *(key if len(key) == 1 else ())) if n in names), "")


def _choices(name: str, found: Mapping[str, Mapping[str, None]]) -> tuple[tuple[str, str], ...]:
    values = found.get(name, {})
    if len(values) > MOST_CHOICES:
        raise BadColumns(
            f"the column {name!r} has more than {MOST_CHOICES} distinct values. To import it as "
            f"text, use --map {name}={name}_text."
        )
    return tuple((value, _words(value)) for value in values)


def _odd_values(plan: ColumnPlan, guesses: Mapping[str, ColumnGuess]) -> Iterator[str]:
    """Name columns that are text because of a single value, which often stands for null."""
    for column in plan.fields:
        guess = guesses.get(column.target)
        if guess and guess.kind == "text" and guess.spoiler:
            line, value = guess.spoiler
            yield (
                f"column {column.header!r} is text because of {value!r} on line {line}. If that "
                f"stands for a missing value, add --null {value!r}"
            )


def _words(name: str) -> str:
    words = name.replace("_", " ").strip()
    return (words[:1].upper() + words[1:])[:80]
