"""Make an object type out of a CSV file: kinds from its values, names from its header."""

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
class Wishes:
    """What the caller says about fields, so that it need not be guessed: kinds and reference targets, by field name."""

    kinds: Mapping[str, str] = field(default_factory=dict)
    references: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Inferred:
    """The object type a file would make, and what a person should know about the guesses."""

    draft: DraftType
    notes: tuple[str, ...]


def infer(
    opened: OpenCsv,
    names: tuple[str, str],
    plan: ColumnPlan,
    *,
    wishes: Wishes,
    nulls: frozenset[str],
    key: frozenset[str],
) -> Inferred:
    """Read the whole file and return the object type that holds all of it. Raises BadColumns for wishes that do not fit.

    `names` are the object's and the table's; an empty table name is proposed from the object's.
    """
    _check_wishes(plan, wishes)
    guesses = {
        c.target: ColumnGuess()
        for c in plan.fields
        if c.target not in wishes.kinds and c.target not in wishes.references
    }
    choices: dict[str, dict[str, None]] = {c.target: {} for c in plan.columns if c.target in ("object_type", "status")}
    for lines, columns in _chunks(opened):
        for column in plan.columns:
            if column.target in guesses:
                guesses[column.target].feed(columns[column.index], lines, nulls)
            elif column.target in choices and len(choices[column.target]) <= MOST_CHOICES:
                choices[column.target].update(dict.fromkeys(v for v in columns[column.index] if v not in nulls))
    fields = tuple(
        _field(c.target, c.header, guesses.get(c.target), wishes, required=c.target in key) for c in plan.fields
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
    """Yield the file by columns, some thousand rows at a time; ragged rows are left for the import to name."""
    width = len(opened.header)
    rows = ((line, cells) for line, cells in opened.rows if len(cells) == width)
    while chunk := list(islice(rows, CHUNK)):
        lines, cells = zip(*chunk, strict=True)
        yield lines, list(zip(*cells, strict=True))


def create(tenant: Tenant, draft: DraftType, *, by: str) -> ObjectSpec:
    """Store the draft and publish it. Raises ValidationFailed, and leaves no draft behind then."""
    (made,) = save_drafts(tenant, [draft])
    try:
        publication = publish(tenant.pk, [draft.object_name], by=User.objects.filter(username=by).first())
    except (MoatError, ValidationFailed):
        made.delete()
        raise
    return schema_of(tenant.pk, publication.schema_version).by_object[draft.object_name]


def _check_wishes(plan: ColumnPlan, wishes: Wishes) -> None:
    names = {c.target for c in plan.fields}
    for name in (*wishes.kinds, *wishes.references):
        if name not in names:
            raise BadColumns(f"there is no field {name!r}; the fields are {', '.join(sorted(names))}.")
    for name, kind in wishes.kinds.items():
        if kind not in KINDS or kind in (Kind.CHOICE, Kind.REFERENCE):
            raise BadColumns(f"{name}: {kind!r} is not a kind that can be given here.")


def _field(name: str, header: str, guess: ColumnGuess | None, wishes: Wishes, *, required: bool) -> DraftField:
    label = _words(header) if header else _words(name)
    if target := wishes.references.get(name):
        return DraftField(name, Kind.REFERENCE, label, required=required, reference=target)
    kind = wishes.kinds.get(name) or (guess.kind if guess else "text")
    places = guess.decimal_places if guess and kind == "decimal" else None
    return DraftField(name, kind, label, required=required, decimal_places=places)


def _title_field(names: list[str], key: frozenset[str]) -> str:
    """Return the field that names a record: one called so, or a key of one column; empty leaves it to the record's id."""
    return next((n for n in (*_TITLES, *(key if len(key) == 1 else ())) if n in names), "")


def _choices(name: str, found: Mapping[str, Mapping[str, None]]) -> tuple[tuple[str, str], ...]:
    values = found.get(name, {})
    if len(values) > MOST_CHOICES:
        raise BadColumns(
            f"the column {name!r} has more than {MOST_CHOICES} values; import it as text with --map {name}={name}_text."
        )
    return tuple((value, _words(value)) for value in values)


def _odd_values(plan: ColumnPlan, guesses: Mapping[str, ColumnGuess]) -> Iterator[str]:
    """Name columns that are text for the sake of one value: often that value means null."""
    for column in plan.fields:
        guess = guesses.get(column.target)
        if guess and guess.kind == "text" and guess.spoiler:
            line, value = guess.spoiler
            yield f"column {column.header!r} is text because of {value!r} in line {line}; if that means nothing, say --null {value!r}"


def _words(name: str) -> str:
    words = name.replace("_", " ").strip()
    return (words[:1].upper() + words[1:])[:80]
