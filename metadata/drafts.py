"""Read drafts (ObjectMetadata and ObjectField rows) as values for the plan."""

from dataclasses import replace
from typing import Any

from metadata.choices import parse_choices
from metadata.models import ObjectField, ObjectMetadata
from metadata.names import propose_table_name
from metadata.object_draft import ObjectDraft
from metadata.schema import Choice, FieldSpec, ObjectSpec
from tenants.errors import Problem


def drafts_of(tenant_id: int) -> list[ObjectDraft]:
    """Return every draft of a tenant, including those of retired types."""
    rows = (
        ObjectMetadata.objects.filter(tenant_id=tenant_id).order_by("object_name").prefetch_related("fields__reference")
    )
    return [_object(row) for row in rows]


def _object(row: ObjectMetadata) -> ObjectDraft:
    problems: list[Problem] = []
    fields = list(row.fields.all())
    wanted = ObjectSpec(
        object_name=row.object_name,
        table_name=row.table_name or propose_table_name(row.object_name),
        label=row.label,
        label_plural=row.label_plural,
        icon=row.icon,
        title_field=row.title_field,
        conflict_policy=row.conflict_policy,
        subtypes=_choices(row.subtypes, f"{row.object_name}.subtypes", problems),
        statuses=_choices(row.statuses, f"{row.object_name}.statuses", problems),
        fields=tuple(_field(row, field, problems) for field in fields if not field.retired),
    )
    return ObjectDraft(
        wanted=_labelled(wanted),
        published=published_spec(row),
        retired=row.retired,
        gone=row.retired_version is not None,
        retiring=frozenset(field.name for field in fields if field.retired),
        burnt=frozenset(field["name"] for field in row.retired_fields),
        problems=tuple(problems),
    )


def published_spec(row: ObjectMetadata) -> ObjectSpec | None:
    """Return an object type as published, under the name it was published with."""
    return (
        ObjectSpec.from_record(row.published.get("object_name", row.object_name), row.published)
        if row.published
        else None
    )


def _labelled(spec: ObjectSpec) -> ObjectSpec:
    # Published records always have labels, so fill in a draft's empty labels before comparing.
    label = spec.label or spec.object_name.replace("_", " ").capitalize()
    return replace(spec, label=label, label_plural=spec.label_plural or spec.table_name.replace("_", " ").capitalize())


def _field(row: ObjectMetadata, field: ObjectField, problems: list[Problem]) -> FieldSpec:
    where = f"{row.object_name}.{field.name}"
    is_reference = field.kind == "reference"
    target = field.reference if is_reference else None
    if target is not None and target.tenant_id != row.tenant_id:
        problems.append(Problem(where, "unknown_reference", "References an object type in another tenant."))
        target = None
    places: Any = None
    if field.kind == "decimal":
        places = 2 if field.decimal_places is None else field.decimal_places
    return FieldSpec(
        name=field.name,
        kind=field.kind,
        label=field.label or field.name.replace("_", " ").capitalize(),
        required=field.required,
        unique=field.unique,
        indexed=field.indexed,
        default=field.default,
        help_text=field.help_text,
        choices=_choices(field.choices, where, problems) if field.kind == "choice" else (),
        reference=target.object_name if target else None,
        decimal_places=places,
    )


def _choices(raw: Any, where: str, problems: list[Problem]) -> tuple[Choice, ...]:
    choices, messages = parse_choices(raw)
    problems.extend(Problem(where, "bad_choices", message) for message in messages)
    return choices
