"""Object types and their fields, as `object_metadata` and schema commands describe them.

Pure: no I/O, clock, or randomness.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

SYSTEM_COLUMNS: dict[str, tuple[str, ...]] = {
    "object_metadata": (
        "id",
        "version",
        "table_name",
        "label",
        "label_plural",
        "icon",
        "title_field",
        "conflict_policy",
        "subtypes",
        "statuses",
        "fields",
        "json_schema",
    ),
    "layout_definition": ("id", "version", "object_name", "object_type", "status", "label", "layout_json"),
}
SYSTEM_JSON: dict[str, frozenset[str]] = {
    "object_metadata": frozenset({"subtypes", "statuses", "fields", "json_schema"}),
    "layout_definition": frozenset({"layout_json"}),
}
BASE_COLUMNS = ("id", "version", "object_type", "status")


@dataclass(frozen=True)
class Field:
    """A published field."""

    name: str
    kind: str
    label: str = ""
    required: bool = False
    unique: bool = False
    indexed: bool = False
    default: Any = None
    help_text: str = ""
    choices: tuple[str, ...] = ()
    reference: str | None = None
    reference_table: str | None = None
    decimal_places: int | None = None

    @property
    def has_index(self) -> bool:
        """Whether a replica indexes this field."""
        return self.indexed or self.unique or self.kind == "reference"

    @classmethod
    def from_record(cls, data: Mapping[str, Any]) -> "Field":
        """Read the wire form; ignore unknown keys."""
        known = {k: data[k] for k in cls.__dataclass_fields__ if k in data and k != "choices"}
        return cls(**known, choices=values_of(data.get("choices")))


def values_of(choices: Any) -> tuple[str, ...]:
    """Return the values of a list of `{"value", "label"}`."""
    return tuple(str(choice["value"]) for choice in choices or ())


@dataclass(frozen=True)
class ObjectType:
    """A published object type; `subtypes` and `statuses` hold the values a record may take."""

    object_name: str
    table_name: str
    label: str = ""
    label_plural: str = ""
    icon: str = ""
    title_field: str = ""
    conflict_policy: str = ""
    subtypes: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    fields: tuple[Field, ...] = ()

    @cached_property
    def by_name(self) -> dict[str, Field]:
        """Fields by name."""
        return {field.name: field for field in self.fields}

    def default_of(self, name: str) -> Any:
        """Return a field's default, or None."""
        return self.by_name[name].default if name in self.by_name else None

    @classmethod
    def from_record(cls, data: Mapping[str, Any]) -> "ObjectType":
        """Read a record of `object_metadata` whose json columns are parsed."""
        plain = {
            k: data.get(k) or ""
            for k in ("table_name", "label", "label_plural", "icon", "title_field", "conflict_policy")
        }
        return cls(
            object_name=str(data["id"]),
            **plain,
            subtypes=values_of(data.get("subtypes")),
            statuses=values_of(data.get("statuses")),
            fields=tuple(Field.from_record(f) for f in data.get("fields") or ()),
        )
