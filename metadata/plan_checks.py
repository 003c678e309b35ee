"""Pure: find all problems of a draft. No check stops at the first problem."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from metadata.canonical import MAX_INTEGER
from metadata.fieldtypes import InvalidValue, clean
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
"""The kinds that a published kind can change to: those that can represent all its values."""

MAX_FIELDS = 500
MAX_DECIMAL_PLACES = 12

Importable = Callable[[str], bool]


def object_problems(draft: ObjectDraft, target: ObjectSpec, importable: Importable) -> Iterator[Problem]:
    """Find problems of an object type by itself; `target` is what would be published."""
    name = draft.name
    for part, problem in (("", object_name_problem(name)), (".table_name", table_name_problem(target.table_name))):
        if problem:
            yield Problem(f"{name}{part}", "bad_name", problem)
    live = draft.live
    if live is not None and live.object_name != name:
        yield Problem(
            name, "renamed", f"Published as {live.object_name}, so the name can’t change. Change the label instead."
        )
    if live is not None and live.table_name != target.table_name:
        yield Problem(
            f"{name}.table_name", "renamed", f"Published as {live.table_name}, so the table name can’t change."
        )
    if target.title_field and target.title_field not in target.by_name:
        yield Problem(f"{name}.title_field", "unknown_field", f"No field is named {target.title_field!r}.")
    if target.conflict_policy not in POLICIES and not importable(target.conflict_policy):
        yield Problem(
            f"{name}.conflict_policy",
            "unknown_policy",
            f"Use {', '.join(POLICIES)}, or a resolver listed in MOAT['RESOLVERS'].",
        )
    if len(target.fields) > MAX_FIELDS:
        yield Problem(name, "too_many_fields", f"Use at most {MAX_FIELDS} fields (this has {len(target.fields)}).")
    yield from _removed(draft)
    repeated = {
        field.name for i, field in enumerate(target.fields) if field.name in {f.name for f in target.fields[:i]}
    }
    yield from (Problem(f"{name}.{field}", "repeated", "Two fields have this name.") for field in sorted(repeated))


def _removed(draft: ObjectDraft) -> Iterator[Problem]:
    live = draft.live
    known = {field.name for field in draft.wanted.fields} | draft.retiring
    for field in live.fields if live else ():
        if field.name not in known:
            yield Problem(
                f"{draft.name}.{field.name}",
                "removed",
                "Clients use this field. Retire it instead of deleting it.",
            )


def field_problems(draft: ObjectDraft, field: FieldSpec) -> Iterator[Problem]:
    """Find problems of a field by itself, and of its differences from the published field."""
    where = f"{draft.name}.{field.name}"
    problem = field_name_problem(field.name)
    if problem:
        yield Problem(where, "bad_name", problem)
    if field.name in draft.burnt:
        yield Problem(
            where, "name_was_retired", "A retired field used this name, so it can’t be reused. Choose another name."
        )
    if field.kind not in KINDS:
        yield Problem(where, "unknown_kind", f"Unknown field kind {field.kind!r}.")
        return
    yield from _kind_problems(where, field)
    yield from _default_problems(where, field)
    old = draft.live.by_name.get(field.name) if draft.live else None
    if old is not None:
        yield from _change_problems(where, old, field)


def _kind_problems(where: str, field: FieldSpec) -> Iterator[Problem]:
    if field.kind == "choice" and not field.choices:
        yield Problem(where, "no_choices", "Add at least one choice.")
    if field.kind == "reference" and field.reference is None:
        yield Problem(where, "unknown_reference", "Choose the object type this field refers to.")
    if field.kind == "json" and (field.unique or field.indexed):
        yield Problem(where, "json_index", "A JSON field can’t be unique or indexed.")
    if field.kind == "decimal" and not 0 <= (field.decimal_places or 0) <= MAX_DECIMAL_PLACES:
        yield Problem(where, "bad_decimal_places", f"Use 0 to {MAX_DECIMAL_PLACES} decimal places.")


def _default_problems(where: str, field: FieldSpec) -> Iterator[Problem]:
    if field.default is None:
        return
    if field.kind == "reference":
        yield Problem(
            where,
            "bad_default",
            "A reference can’t have a default: existing records might point to a missing record.",
        )
    elif field.unique:
        yield Problem(where, "bad_default", "A unique field can’t have a default: records would share the value.")
    elif field.kind != "decimal" or 0 <= (field.decimal_places or 0) <= MAX_DECIMAL_PLACES:
        try:
            clean(field, field.default)
        except InvalidValue as error:
            yield Problem(where, "bad_default", f"The default is not valid: {error.message}")
        if _has_huge_number(field.default):
            # PostgreSQL's jsonb, which stores definitions, would return it as an integer outside the safe range.
            yield Problem(where, "bad_default", "Numbers in a default must be within ±(2^53 − 1).")


def _has_huge_number(value: Any) -> bool:
    if isinstance(value, int | float):
        return abs(value) > MAX_INTEGER
    return any(
        map(_has_huge_number, value.values() if isinstance(value, dict) else value if isinstance(value, list) else ())
    )


def _change_problems(where: str, old: FieldSpec, new: FieldSpec) -> Iterator[Problem]:
    advice = "Add a new field, copy the values, then retire this one."
    if old.kind != new.kind and new.kind not in WIDER.get(old.kind, ()):
        wider = " or ".join(sorted(WIDER.get(old.kind, ())))
        can = f"It can only become {wider}" if wider else "Its kind can’t change"
        yield Problem(where, "kind_changed", f"Published as {old.kind}. {can}. {advice}")
    elif old.kind == new.kind == "reference" and old.reference != new.reference:
        yield Problem(where, "reference_changed", f"Published as a reference to {old.reference}. {advice}")
    elif old.kind == new.kind == "decimal" and old.decimal_places != new.decimal_places:
        yield Problem(where, "decimal_places_changed", f"Published with {old.decimal_places} decimal places. {advice}")


def reference_problems(
    target: ObjectSpec, after: dict[str, ObjectSpec], drafts: dict[str, ObjectDraft]
) -> Iterator[Problem]:
    """Find references to object types that will not exist after this publish."""
    for field in target.fields:
        if field.kind != "reference" or field.reference is None or field.reference in after:
            continue
        where = f"{target.object_name}.{field.name}"
        other = drafts.get(field.reference)
        if other is None:
            yield Problem(where, "unknown_reference", f"No object type is named {field.reference}.")
        elif other.retired or other.gone:
            yield Problem(
                where, "retired_reference", f"References {field.reference}, which is retired. Retire this field too."
            )
        else:
            yield Problem(
                where,
                "unpublished_reference",
                f"References {field.reference}, which isn’t published. Publish both together.",
            )


def clashes(after: Iterable[ObjectSpec], drafts: Sequence[ObjectDraft]) -> Iterator[Problem]:
    """Find table names that two object types of a tenant would share, including retired ones."""
    tables: dict[str, str] = {}
    for draft in drafts:
        if draft.gone and draft.published is not None:
            tables[draft.published.table_name.lower()] = f"{draft.published.object_name}, which is retired,"
    for spec in after:
        table = spec.table_name.lower()
        if table in tables:
            yield Problem(
                f"{spec.object_name}.table_name",
                "table_taken",
                f"The table name {spec.table_name} is already used by {tables[table]}.",
            )
        tables.setdefault(table, spec.object_name)
