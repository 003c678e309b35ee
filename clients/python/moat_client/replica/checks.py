"""Check what a user writes against its object type.

Pure: no I/O, clock, or randomness.
"""

from collections.abc import Mapping
from typing import Any

from moat_client.errors import InvalidEdit
from moat_client.wire.schema import Field, ObjectType
from moat_client.wire.values import clean

_FIXED = ("id", "version")


def field_of(object_type: ObjectType, name: str) -> Field:
    """Return a writable field; raise InvalidEdit. `object_type` and `status` are choices of declared values."""
    if name in object_type.by_name:
        return object_type.by_name[name]
    if name in _FIXED:
        raise InvalidEdit(f"{name} is read-only.", code="read_only", field=name)
    if name in ("object_type", "status"):
        return Field(name, "choice", choices=object_type.subtypes if name == "object_type" else object_type.statuses)
    raise InvalidEdit(f"{object_type.table_name} has no field {name!r}.", code="unknown_field", field=name)


def clean_values(object_type: ObjectType, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values in wire form; raise InvalidEdit for the first invalid one."""
    return {name: clean(field_of(object_type, name), value) for name, value in values.items()}


def with_defaults(object_type: ObjectType, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a new record, with defaults for those not given."""
    filled = {f.name: f.default for f in object_type.fields if f.default is not None}
    if object_type.subtypes:
        filled["object_type"] = object_type.subtypes[0]
    if object_type.statuses:
        filled["status"] = object_type.statuses[0]
    return filled | {k: v for k, v in values.items() if v is not None or k not in ("object_type", "status")}


def check_required(object_type: ObjectType, record: Mapping[str, Any], *, only: Any = None) -> None:
    """Raise InvalidEdit when a required field is empty; check only the fields in `only`, if given."""
    for field in object_type.fields:
        if field.required and (only is None or field.name in only) and record.get(field.name) is None:
            raise InvalidEdit(f"{field.label or field.name} is required.", code="required", field=field.name)
