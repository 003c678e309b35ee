"""PURE: what is wrong with a draft. Every check looks at everything and returns all it finds."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from metadata.canonical import MAX_INTEGER
from metadata.fieldtypes import ValueRefused, clean
from metadata.kinds import KINDS
from metadata.names import field_name_problem, object_name_problem, table_name_problem
from metadata.object_draft import ObjectDraft
from metadata.schema import FieldSpec, ObjectSpec
from tenants.errors import Problem

POLICIES = ("field_merge", "last_write_wins", "server_wins", "manual")
"""Conflict policies by name; anything else is the dotted path of a resolver class."""

WIDER: dict[str, frozenset[str]] = {
    "choice": frozenset({"text"}),
    "uuid": frozenset({"text"}),
    "integer": frozenset({"real", "decimal"}),
}
"""The kinds a published field of a kind may be changed to: those that hold every value it can have."""

MAX_FIELDS = 500
MAX_DECIMAL_PLACES = 12

Importable = Callable[[str], bool]


def object_problems(draft: ObjectDraft, target: ObjectSpec, importable: Importable) -> Iterator[Problem]:
    """Find what is wrong with an object type by itself; `target` is what would be published."""
    name = draft.name
    for part, problem in (("", object_name_problem(name)), (".table_name", table_name_problem(target.table_name))):
        if problem:
            yield Problem(f"{name}{part}", "bad_name", problem)
    live = draft.live
    if live is not None and live.object_name != name:
        yield Problem(
            name, "renamed", f"Was published as {live.object_name}; the name cannot change. Change the label instead."
        )
    if live is not None and live.table_name != target.table_name:
        yield Problem(f"{name}.table_name", "renamed", f"Was published as {live.table_name}; the name cannot change.")
    if target.title_field and target.title_field not in target.by_name:
        yield Problem(f"{name}.title_field", "unknown_field", f"There is no field {target.title_field!r}.")
    if target.conflict_policy not in POLICIES and not importable(target.conflict_policy):
        yield Problem(
            f"{name}.conflict_policy",
            "unknown_policy",
            f"Not one of {', '.join(POLICIES)}, nor a resolver this installation allows.",
        )
    if len(target.fields) > MAX_FIELDS:
        yield Problem(name, "too_many_fields", f"At most {MAX_FIELDS} fields; this has {len(target.fields)}.")
    yield from _removed(draft)
    repeated = {
        field.name for i, field in enumerate(target.fields) if field.name in {f.name for f in target.fields[:i]}
    }
    yield from (
        Problem(f"{name}.{field}", "repeated", "There are two fields of this name.") for field in sorted(repeated)
    )


def _removed(draft: ObjectDraft) -> Iterator[Problem]:
    live = draft.live
    known = {field.name for field in draft.wanted.fields} | draft.retiring
    for field in live.fields if live else ():
        if field.name not in known:
            yield Problem(
                f"{draft.name}.{field.name}",
                "removed",
                "Clients have this field. Mark it retired instead of deleting it.",
            )


def field_problems(draft: ObjectDraft, field: FieldSpec) -> Iterator[Problem]:
    """Find what is wrong with a field by itself, and with how it differs from what is published."""
    where = f"{draft.name}.{field.name}"
    problem = field_name_problem(field.name)
    if problem:
        yield Problem(where, "bad_name", problem)
    if field.name in draft.burnt:
        yield Problem(
            where, "name_was_retired", "A field of this name was retired; its name is never used again. Choose another."
        )
    if field.kind not in KINDS:
        yield Problem(where, "unknown_kind", f"There is no field kind {field.kind!r}.")
        return
    yield from _kind_problems(where, field)
    yield from _default_problems(where, field)
    old = draft.live.by_name.get(field.name) if draft.live else None
    if old is not None:
        yield from _change_problems(where, old, field)


def _kind_problems(where: str, field: FieldSpec) -> Iterator[Problem]:
    if field.kind == "choice" and not field.choices:
        yield Problem(where, "no_choices", "A choice field needs choices.")
    if field.kind == "reference" and field.reference is None:
        yield Problem(where, "unknown_reference", "Say which object type it refers to.")
    if field.kind == "json" and (field.unique or field.indexed):
        yield Problem(where, "json_index", "A JSON field can be neither unique nor indexed.")
    if field.kind == "decimal" and not 0 <= (field.decimal_places or 0) <= MAX_DECIMAL_PLACES:
        yield Problem(where, "bad_decimal_places", f"0 to {MAX_DECIMAL_PLACES} digits after the point.")


def _default_problems(where: str, field: FieldSpec) -> Iterator[Problem]:
    if field.default is None:
        return
    if field.kind == "reference":
        yield Problem(
            where,
            "bad_default",
            "A reference can have no default: existing records would point to one that may not exist.",
        )
    elif field.unique:
        yield Problem(where, "bad_default", "A unique field can have no default: two records would share it.")
    elif field.kind != "decimal" or 0 <= (field.decimal_places or 0) <= MAX_DECIMAL_PLACES:
        try:
            clean(field, field.default)
        except ValueRefused as refused:
            yield Problem(where, "bad_default", f"The default does not fit: {refused.message}")
        if _has_huge_number(field.default):
            # PostgreSQL's jsonb, which keeps definitions, would hand it back as an integer that nobody can hold.
            yield Problem(where, "bad_default", "Numbers in a default must be within ±(2^53 − 1).")


def _has_huge_number(value: Any) -> bool:
    if isinstance(value, int | float):
        return abs(value) > MAX_INTEGER
    return any(
        map(_has_huge_number, value.values() if isinstance(value, dict) else value if isinstance(value, list) else ())
    )


def _change_problems(where: str, old: FieldSpec, new: FieldSpec) -> Iterator[Problem]:
    advice = "Add a new field, fill it, and retire this one."
    if old.kind != new.kind and new.kind not in WIDER.get(old.kind, ()):
        wider = " or ".join(sorted(WIDER.get(old.kind, ())))
        can = f"It can only become {wider}" if wider else "It cannot change"
        yield Problem(where, "kind_changed", f"Was published as {old.kind}. {can}. {advice}")
    elif old.kind == new.kind == "reference" and old.reference != new.reference:
        yield Problem(where, "reference_changed", f"Was published as a reference to {old.reference}. {advice}")
    elif old.kind == new.kind == "decimal" and old.decimal_places != new.decimal_places:
        yield Problem(
            where, "decimal_places_changed", f"Was published with {old.decimal_places} digits after the point. {advice}"
        )


def reference_problems(
    target: ObjectSpec, after: dict[str, ObjectSpec], drafts: dict[str, ObjectDraft]
) -> Iterator[Problem]:
    """Find references to object types that are not there once this publish is done."""
    for field in target.fields:
        if field.kind != "reference" or field.reference is None or field.reference in after:
            continue
        where = f"{target.object_name}.{field.name}"
        other = drafts.get(field.reference)
        if other is None:
            yield Problem(where, "unknown_reference", f"There is no object type {field.reference}.")
        elif other.retired or other.gone:
            yield Problem(
                where, "retired_reference", f"Refers to {field.reference}, which is retired. Retire this field too."
            )
        else:
            yield Problem(
                where,
                "unpublished_reference",
                f"Refers to {field.reference}, which is not published: publish it in the same run.",
            )


def clashes(after: Iterable[ObjectSpec], drafts: Sequence[ObjectDraft]) -> Iterator[Problem]:
    """Find names that two object types of a tenant would share: tables, retired ones too."""
    tables: dict[str, str] = {}
    for draft in drafts:
        if draft.gone and draft.published is not None:
            tables[draft.published.table_name.lower()] = f"{draft.published.object_name}, which is retired,"
    for spec in after:
        table = spec.table_name.lower()
        if table in tables:
            yield Problem(
                f"{spec.object_name}.table_name", "table_taken", f"{tables[table]} has the table {spec.table_name}."
            )
        tables.setdefault(table, spec.object_name)
