"""Pure: compare published types with drafts; return an ordered list of operations, or every problem."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from metadata.cleaners import DECIMAL_DIGITS, INDEXED_TEXT
from metadata.fieldtypes import clean, decimal_places
from metadata.object_draft import ObjectDraft
from metadata.operations import (
    AddColumn,
    AddLink,
    CreateIndex,
    CreateTable,
    DataCheck,
    Describe,
    DropIndex,
    Operation,
    RetireColumn,
    RetireTable,
    Widen,
)
from metadata.plan_checks import Importable, clashes, field_problems, object_problems, reference_problems
from metadata.schema import Choice, FieldSpec, ObjectSpec
from tenants.errors import MoatError, Problem

Change = tuple[str, ObjectSpec | None, ObjectSpec | None]
"""An object type before and after: (object_name, old, new)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a publish would do. It must not run if it has `problems`, or before the data passes its `checks`."""

    operations: tuple[Operation, ...] = ()
    changes: tuple[Change, ...] = ()
    checks: tuple[DataCheck, ...] = ()
    problems: tuple[Problem, ...] = ()


def make_plan(
    drafts: Sequence[ObjectDraft], object_names: Iterable[str] | None = None, *, importable: Importable
) -> Plan:
    """Plan the publish of some object types, or of all. `importable` tells whether a dotted path can be imported.

    `drafts` are all drafts of the tenant, so that names and references are also checked against types not published
    now.
    """
    by_name = {draft.name: draft for draft in drafts}
    chosen = list(by_name) if object_names is None else list(dict.fromkeys(object_names))
    problems = [
        Problem(name, "unknown_object", "No object type has this name.") for name in chosen if name not in by_name
    ]
    targets = {name: _target(by_name[name], by_name) for name in chosen if name in by_name}
    after = {draft.name: draft.live for draft in drafts if draft.live is not None and draft.name not in targets}
    after |= {name: target for name, target in targets.items() if target is not None}
    for name, target in targets.items():
        problems.extend(_problems(by_name[name], target, importable))
    if not problems:
        targets = {name: target and _with_clean_defaults(target) for name, target in targets.items()}
    for spec in after.values():
        # Check types that are not published now too: this run may retire a type they reference.
        problems.extend(reference_problems(spec, after, by_name))
    problems.extend(clashes(after.values(), drafts))
    changes = [(name, by_name[name].live, target) for name, target in targets.items() if by_name[name].live != target]
    if problems:
        return Plan(problems=tuple(problems))
    steps = sorted(chain.from_iterable(_steps(*change) for change in changes), key=lambda step: step[0])
    return Plan(
        operations=tuple(operation for _, operation in steps),
        changes=tuple(changes),
        checks=tuple(
            chain.from_iterable(_checks(old, new) for _, old, new in changes if old is not None and new is not None)
        ),
    )


def pending(drafts: Sequence[ObjectDraft]) -> frozenset[str]:
    """Return the names of object types whose draft differs from the published state, valid or not."""
    by_name = {draft.name: draft for draft in drafts}
    return frozenset(draft.name for draft in drafts if _differs(draft, _target(draft, by_name)))


def _differs(draft: ObjectDraft, target: ObjectSpec | None) -> bool:
    if draft.problems:
        return True
    try:
        return draft.live != (target and _with_clean_defaults(target))
    except (MoatError, ValueError):
        return True  # an invalid default or kind, so it cannot be what is published


def _problems(draft: ObjectDraft, target: ObjectSpec | None, importable: Importable) -> Iterator[Problem]:
    if draft.gone and not draft.retired:
        yield Problem(
            draft.name,
            "was_retired",
            "This object type is retired and can’t be restored. Create a new one with a different name.",
        )
    if target is None:
        return
    yield from draft.problems
    yield from object_problems(draft, target, importable)
    for field in target.fields:
        yield from field_problems(draft, field)


def _target(draft: ObjectDraft, drafts: dict[str, ObjectDraft]) -> ObjectSpec | None:
    """Return the object type to publish, with its fields in their published order; None if it is or will be retired."""
    if draft.retired or draft.gone:
        return None
    wanted = draft.wanted
    place = {field.name: i for i, field in enumerate(draft.live.fields)} if draft.live else {}
    fields = sorted(wanted.fields, key=lambda field: place.get(field.name, len(place)))
    return replace(wanted, fields=tuple(_with_table(field, drafts) for field in fields))


def _with_table(field: FieldSpec, drafts: dict[str, ObjectDraft]) -> FieldSpec:
    target = drafts.get(field.reference or "")
    if target is None:
        return field
    return replace(field, reference_table=(target.published or target.wanted).table_name)


def _with_clean_defaults(spec: ObjectSpec) -> ObjectSpec:
    return replace(spec, fields=tuple(replace(field, default=clean(field, field.default)) for field in spec.fields))


# Step order: names are freed before they are reused, and tables exist before foreign keys to them.
_RETIRE, _FREE, _WIDEN, _CREATE, _ADD, _LINK, _INDEX, _DESCRIBE = range(8)
Step = tuple[int, Operation]


def _steps(name: str, old: ObjectSpec | None, new: ObjectSpec | None) -> Iterator[Step]:
    if new is None:
        if old is not None:
            yield _RETIRE, RetireTable(old)
        return
    if old is None:
        yield _CREATE, CreateTable(new)
        yield from ((_LINK, AddLink(new.table_name, field)) for field in new.fields if field.reference_table)
        return
    table = new.table_name
    for field in old.fields:
        if field.name not in new.by_name:
            if field.has_index:
                yield _RETIRE, DropIndex(table, field.name, field.unique, on_replicas=False)
            yield _RETIRE, RetireColumn(table, field)
    for field in new.fields:
        yield from _field_steps(table, old.by_name.get(field.name), field)
    what = tuple(_described(old, new))
    if what:
        yield _DESCRIBE, Describe(name, what)


def _field_steps(table: str, old: FieldSpec | None, new: FieldSpec) -> Iterator[Step]:
    if old is None:
        yield _ADD, AddColumn(table, new)
        if new.reference_table:
            yield _LINK, AddLink(table, new)
        if new.has_index:
            yield _INDEX, CreateIndex(table, new.name, new.unique)
        return
    if old.kind != new.kind:
        yield _WIDEN, Widen(table, old, new)
    before, now = (old.has_index, old.unique), (new.has_index, new.unique)
    if before == now:
        return
    if old.has_index:
        yield _FREE, DropIndex(table, new.name, old.unique, on_replicas=not new.has_index)
    if new.has_index:
        yield _INDEX, CreateIndex(table, new.name, new.unique, on_replicas=not old.has_index)


_OBJECT_ATTRIBUTES = ("label", "label_plural", "icon", "title_field", "conflict_policy", "subtypes", "statuses")
_FIELD_ATTRIBUTES = ("label", "help_text", "required", "unique", "indexed", "default", "choices")


def _described(old: ObjectSpec, new: ObjectSpec) -> Iterator[str]:
    yield from (name for name in _OBJECT_ATTRIBUTES if getattr(old, name) != getattr(new, name))
    for field in new.fields:
        before = old.by_name.get(field.name)
        if before is not None:
            yield from (
                f"{name} of {field.name}" for name in _FIELD_ATTRIBUTES if getattr(before, name) != getattr(field, name)
            )


def _checks(old: ObjectSpec, new: ObjectSpec) -> Iterator[DataCheck]:
    name, table = new.object_name, new.table_name
    for column, before, after in (("object_type", old.subtypes, new.subtypes), ("status", old.statuses, new.statuses)):
        lost = _lost(before, after)
        if lost:
            yield DataCheck(
                "not_used",
                f"{name}.{'subtypes' if column == 'object_type' else 'statuses'}",
                table,
                column,
                values=lost,
            )
    for field in new.fields:
        before_field = old.by_name.get(field.name)
        yield from _field_checks(f"{name}.{field.name}", table, before_field, field)


def _lost(before: tuple[Choice, ...], after: tuple[Choice, ...]) -> tuple[str, ...]:
    kept = {choice.value for choice in after}
    return tuple(choice.value for choice in before if choice.value not in kept)


def _field_checks(where: str, table: str, old: FieldSpec | None, new: FieldSpec) -> Iterator[DataCheck]:
    if old is None:
        if new.required and new.default is None:
            yield DataCheck("no_records", where, table, new.name)
        return
    if new.required and not old.required:
        yield DataCheck("no_nulls", where, table, new.name)
    if new.unique and not old.unique:
        yield DataCheck("no_duplicates", where, table, new.name)
    if new.kind == "text" and new.has_index and not old.has_index and old.kind == "text":
        yield DataCheck("not_longer", where, table, new.name, limit=INDEXED_TEXT)
    if old.kind == "integer" and new.kind == "decimal":
        yield DataCheck("smaller", where, table, new.name, limit=10 ** (DECIMAL_DIGITS - decimal_places(new)))
    if old.kind == new.kind == "choice" and _lost(old.choices, new.choices):
        yield DataCheck("not_used", where, table, new.name, values=_lost(old.choices, new.choices))
