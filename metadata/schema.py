"""Pure: the published schema of a tenant as immutable values, and its wire form.

`ObjectSpec.record()` is what `object_metadata` contains on every client; `ObjectSpec.from_record` reads it back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any


@dataclass(frozen=True, slots=True)
class Choice:
    """One allowed value of a choice field, a subtype, or a status."""

    value: str
    label: str
    colour: str | None = None

    def record(self) -> dict[str, Any]:
        """Return the wire form."""
        out: dict[str, Any] = {"value": self.value, "label": self.label}
        if self.colour:
            out["colour"] = self.colour
        return out

    @classmethod
    def from_record(cls, data: Mapping[str, Any]) -> "Choice":
        """Read the wire form."""
        return cls(str(data["value"]), str(data.get("label") or data["value"]), data.get("colour"))


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """A published field."""

    name: str
    kind: str
    label: str = ""
    required: bool = False
    unique: bool = False
    indexed: bool = False
    default: Any = field(default=None, hash=False)  # a JSON default may be a dict, which is not hashable
    help_text: str = ""
    choices: tuple[Choice, ...] = ()
    reference: str | None = None
    reference_table: str | None = None
    decimal_places: int | None = None

    @property
    def has_index(self) -> bool:
        """Return whether every replica keeps an index on this field."""
        return self.indexed or self.unique or self.kind == "reference"

    def record(self) -> dict[str, Any]:
        """Return the wire form; every key is always present."""
        return {
            "name": self.name,
            "kind": self.kind,
            "label": self.label or self.name,
            "required": self.required,
            "unique": self.unique,
            "indexed": self.indexed,
            "default": self.default,
            "help_text": self.help_text,
            "choices": [c.record() for c in self.choices],
            "reference": self.reference,
            "reference_table": self.reference_table,
            "decimal_places": self.decimal_places,
        }

    @classmethod
    def from_record(cls, data: Mapping[str, Any]) -> "FieldSpec":
        """Read the wire form; unknown keys are ignored."""
        known = {k: data[k] for k in cls.__dataclass_fields__ if k in data and k != "choices"}
        return cls(**known, choices=tuple(Choice.from_record(c) for c in data.get("choices") or ()))


@dataclass(frozen=True)
class ObjectSpec:
    """A published object type."""

    object_name: str
    table_name: str
    label: str = ""
    label_plural: str = ""
    icon: str = ""
    title_field: str = ""
    conflict_policy: str = "field_merge"
    subtypes: tuple[Choice, ...] = ()
    statuses: tuple[Choice, ...] = ()
    fields: tuple[FieldSpec, ...] = field(default=())

    @cached_property
    def by_name(self) -> dict[str, FieldSpec]:
        """Return the fields by name."""
        return {f.name: f for f in self.fields}

    def record(self, json_schema: dict[str, Any]) -> dict[str, Any]:
        """Return the record of `object_metadata`, without `version` and without the ID, which is the object name."""
        return {
            "table_name": self.table_name,
            "label": self.label or self.object_name,
            "label_plural": self.label_plural or self.label or self.table_name,
            "icon": self.icon,
            "title_field": self.title_field,
            "conflict_policy": self.conflict_policy,
            "subtypes": [c.record() for c in self.subtypes],
            "statuses": [c.record() for c in self.statuses],
            "fields": [f.record() for f in self.fields],
            "json_schema": json_schema,
        }

    @classmethod
    def from_record(cls, object_name: str, data: Mapping[str, Any]) -> "ObjectSpec":
        """Read a record of `object_metadata`."""
        plain = {k: data.get(k) or "" for k in ("table_name", "label", "label_plural", "icon", "title_field")}
        return cls(
            object_name=object_name,
            **plain,
            conflict_policy=data.get("conflict_policy") or "field_merge",
            subtypes=tuple(Choice.from_record(c) for c in data.get("subtypes") or ()),
            statuses=tuple(Choice.from_record(c) for c in data.get("statuses") or ()),
            fields=tuple(FieldSpec.from_record(f) for f in data.get("fields") or ()),
        )


@dataclass(frozen=True)
class TenantSchema:
    """Everything published in a tenant at one `schema_version`."""

    tenant_id: int
    schema_version: int
    objects: tuple[ObjectSpec, ...] = ()

    @cached_property
    def by_table(self) -> dict[str, ObjectSpec]:
        """Return the object types by table name."""
        return {o.table_name: o for o in self.objects}

    @cached_property
    def by_object(self) -> dict[str, ObjectSpec]:
        """Return the object types by object name."""
        return {o.object_name: o for o in self.objects}


def physical_name(tenant_id: int, table_name: str) -> str:
    """Return the name of an object type's table on the server."""
    return f"t{tenant_id}_{table_name}"
