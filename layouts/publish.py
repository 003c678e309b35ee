"""Save and delete layouts: the only writer of `layout_definition`. Each change is logged in the same transaction."""

from typing import Any

from django.db import IntegrityError, transaction

from layouts.models import ANY, LayoutDefinition
from layouts.schema import problems as layout_problems
from layouts.signals import layout_changed
from metadata.catalog import schema_of
from metadata.schema import ObjectSpec, TenantSchema
from tenants.errors import Problem, ValidationFailed
from tenants.locks import tenant_transaction


def record(layout: LayoutDefinition) -> dict[str, Any]:
    """Return the form of a layout that clients store (without ID and version)."""
    names = ("object_name", "object_type", "status", "label", "layout_json")
    return {name: getattr(layout, name) for name in names}


def save(layout: LayoutDefinition, by: str) -> LayoutDefinition:
    """Save a layout and send it to clients; an unchanged layout sends nothing.

    Raises `ValidationFailed` if the layout is not valid.
    """
    with tenant_transaction(layout.tenant_id) as locked:
        found = problems(layout, schema_of(layout.tenant_id, locked.schema_version))
        if found:
            raise ValidationFailed(found)
        old = _stored(layout)
        _store(layout)
        if old != record(layout):
            layout_changed.send(
                LayoutDefinition, locked=locked, layout_id=str(layout.pk), old=old, new=record(layout), by=by
            )
    return layout


def delete(layout: LayoutDefinition, by: str) -> None:
    """Delete a layout and notify clients. Do nothing if it no longer exists."""
    with tenant_transaction(layout.tenant_id) as locked:
        old = _stored(layout)
        if old is None:
            return
        layout_id = str(layout.pk)
        layout.delete()
        layout_changed.send(LayoutDefinition, locked=locked, layout_id=layout_id, old=old, new=None, by=by)


def problems(layout: LayoutDefinition, schema: TenantSchema) -> list[Problem]:
    """Return what prevents a layout from being saved.

    `where` is the model's field, followed by a JSON pointer inside `layout_json`.
    """
    spec = schema.by_object.get(layout.object_name)
    if spec is None:
        return [Problem("object_name", "unknown_object", f"No published object type is named {layout.object_name!r}.")]
    inside = [Problem(f"layout_json{p.where}", p.code, p.message) for p in layout_problems(layout.layout_json, spec)]
    return [*_binding_problems(layout, spec), *inside]


def _binding_problems(layout: LayoutDefinition, spec: ObjectSpec) -> list[Problem]:
    found = []
    for where, value, choices in (
        ("object_type", layout.object_type, spec.subtypes),
        ("status", layout.status, spec.statuses),
    ):
        if value != ANY and value not in {choice.value for choice in choices}:
            known = ", ".join([ANY, *(choice.value for choice in choices)])
            found.append(
                Problem(where, "bad_value", f"{spec.object_name} has no {where} {value!r}. Choose one of {known}.")
            )
    return found


def _stored(layout: LayoutDefinition) -> dict[str, Any] | None:
    found = LayoutDefinition.objects.filter(pk=layout.pk, tenant_id=layout.tenant_id).first()
    return None if found is None else record(found)


def _store(layout: LayoutDefinition) -> None:
    try:
        with transaction.atomic():
            layout.save()
    except IntegrityError as error:
        message = "A layout for this object type, subtype, and status already exists."
        raise ValidationFailed([Problem("object_name", "duplicate", message)]) from error
