"""Pure: the layout of an object type that has none. Clients build the same one (docs/spec/layouts.md)."""

from typing import Any

from metadata.schema import ObjectSpec


def default_layout(spec: ObjectSpec) -> dict[str, Any]:
    """Return a vertical list of controls: subtype and status side by side, the title field, then the others."""
    elements: list[dict[str, Any]] = []
    head = [name for name, values in (("object_type", spec.subtypes), ("status", spec.statuses)) if values]
    if head:
        elements.append({"type": "HorizontalLayout", "elements": [_control(name) for name in head]})
    names = [field.name for field in spec.fields]
    if spec.title_field in names:
        names.remove(spec.title_field)
        names.insert(0, spec.title_field)
    elements += [_control(name) for name in names]
    return {"type": "VerticalLayout", "elements": elements}


def _control(name: str) -> dict[str, Any]:
    return {"type": "Control", "scope": f"#/properties/{name}"}
