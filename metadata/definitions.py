"""Object types written down as values, and the one function that stores them as drafts of a tenant."""

from dataclasses import dataclass
from typing import Any

from django.db import transaction

from metadata.models import ObjectField, ObjectMetadata
from tenants.models import Tenant


@dataclass(frozen=True, slots=True)
class DraftField:
    """A field to be: the same attributes as `metadata.models.ObjectField`; `reference` is an object name."""

    name: str
    kind: str = "text"
    label: str = ""
    required: bool = False
    unique: bool = False
    indexed: bool = False
    default: Any = None
    help_text: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    reference: str | None = None
    decimal_places: int | None = None


@dataclass(frozen=True, slots=True)
class DraftType:
    """An object type to be. A subtype is (value, label); a status is (value, label) or (value, label, colour)."""

    object_name: str
    label: str
    label_plural: str
    fields: tuple[DraftField, ...]
    title_field: str = ""
    icon: str = ""
    table_name: str = ""
    subtypes: tuple[tuple[str, str], ...] = ()
    statuses: tuple[tuple[str, ...], ...] = ()
    conflict_policy: str = "field_merge"


@transaction.atomic
def save_drafts(tenant: Tenant, drafts: list[DraftType]) -> list[ObjectMetadata]:
    """Store drafts that are not there yet, references resolved by object name; publish them with `metadata.publish`."""
    made = [
        ObjectMetadata.objects.create(
            tenant=tenant,
            object_name=draft.object_name,
            table_name=draft.table_name,
            label=draft.label,
            label_plural=draft.label_plural,
            icon=draft.icon,
            title_field=draft.title_field,
            subtypes=[_choice(*s) for s in draft.subtypes],
            statuses=[_choice(*s) for s in draft.statuses],
            conflict_policy=draft.conflict_policy,
        )
        for draft in drafts
    ]
    known = {o.object_name: o for o in ObjectMetadata.objects.filter(tenant=tenant)}
    for object_type, draft in zip(made, drafts, strict=True):
        ObjectField.objects.bulk_create(
            ObjectField(
                object_type=object_type,
                position=position,
                name=field.name,
                label=field.label,
                kind=field.kind,
                required=field.required,
                unique=field.unique,
                indexed=field.indexed,
                default=field.default,
                help_text=field.help_text,
                choices=[_choice(*c) for c in field.choices],
                reference=known[field.reference] if field.reference else None,
                decimal_places=field.decimal_places,
            )
            for position, field in enumerate(draft.fields)
        )
    return made


def _choice(value: str, label: str, colour: str = "") -> dict[str, str]:
    return {"value": value, "label": label, **({"colour": colour} if colour else {})}
