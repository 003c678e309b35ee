"""Pure: the row filter language: equality and `in`, over a record's own fields and one hop along a reference.

A filter is a JSON object; a record must match every entry. A key names what is compared:

    status                      a field of the record itself (also `id` and `object_type`)
    job.technician              one hop up: the field `technician` of the live record that the reference `job` refers to
    <job.customer.technician    one hop down: the field `technician` of any live `job` whose `customer` is this record

A value is a constant or a list of constants (any may match). `null` matches an empty field. Text that starts with `$`
is a parameter (`$user.id`, `$user.username`, `$membership.region`). A list parameter matches any of its items. A
parameter that the user does not have matches nothing, never everything. `$$` stands for a plain `$`.

Values are compared by their *value keys*, the JSON text of the wire value, so 1, true, and "1" never match each other.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import orjson

from metadata.fieldtypes import InvalidValue, clean
from metadata.kinds import Kind
from metadata.schema import FieldSpec, ObjectSpec, TenantSchema

OWN, UP, DOWN = "own", "up", "down"
SYSTEM_FIELDS = ("id", "object_type", "status")
UNFIT_KINDS = frozenset({Kind.REAL, Kind.JSON, Kind.DATETIME})
USER_ATTRIBUTES = frozenset({"id", "username", "email", "first_name", "last_name"})
MAX_VALUES = 1000
_SHOWN_NAMES = 12


class InvalidFilter(ValueError):
    """An invalid filter; the message explains the problem to its author."""


@dataclass(frozen=True, slots=True, order=True)
class RouteKey:
    """What a filter compares. `reference` and `table` describe the hop: the reference field and the other table."""

    text: str
    kind: str
    field: str
    reference: str = ""
    table: str = ""

    def data(self) -> list[str]:
        """Return the stored form."""
        return [self.text, self.kind, self.field, self.reference, self.table]


@dataclass(frozen=True, slots=True)
class Condition:
    """One entry of a filter, before parameters are filled in."""

    key: RouteKey
    field: FieldSpec
    operands: tuple[Any, ...]


def value_key(wire: Any) -> str:
    """Return the text that a wire value is compared by."""
    return orjson.dumps(wire).decode()


def parse_filter(row_filter: Any, spec: ObjectSpec, schema: TenantSchema) -> tuple[Condition, ...]:
    """Parse the row filter of an object type. Raises `InvalidFilter`."""
    if not isinstance(row_filter, dict):
        raise InvalidFilter(
            'A filter is a JSON object such as {"technician": "$user.username"}. {} matches every record.'
        )
    return tuple(_condition(key, value, spec, schema) for key, value in sorted(row_filter.items()))


def _condition(text: str, value: Any, spec: ObjectSpec, schema: TenantSchema) -> Condition:
    key, field = parse_key(text, spec, schema)
    operands = tuple(value) if isinstance(value, list) else (value,)
    if not operands:
        raise InvalidFilter(f"{text}: the list of values is empty.")
    if len(operands) > MAX_VALUES:
        raise InvalidFilter(f"{text}: use at most {MAX_VALUES} values.")
    for operand in operands:
        _check_operand(text, field, operand)
    return Condition(key, field, operands)


def _check_operand(text: str, field: FieldSpec, operand: Any) -> None:
    name = parameter_name(operand)
    if name is not None:
        check_parameter(text, name)
    elif operand is not None and fitting_key(field, operand) is None:
        raise InvalidFilter(f"{text}: {_shown(operand)} is not a valid {field.kind} value.")


def check_parameter(text: str, name: str) -> None:
    """Reject a parameter that can never have a value. Raises `InvalidFilter`."""
    owner, _, attribute = name.partition(".")
    if owner == "user" and attribute in USER_ATTRIBUTES:
        return
    if owner == "membership" and attribute.isidentifier():
        return
    raise InvalidFilter(
        f"{text}: unknown parameter ${name}. "
        f"Use $user.{{{', '.join(sorted(USER_ATTRIBUTES))}}} or $membership.<attribute>."
    )


def parse_key(text: str, spec: ObjectSpec, schema: TenantSchema) -> tuple[RouteKey, FieldSpec]:
    """Parse the key of a filter entry. Raises `InvalidFilter`."""
    parts = text.removeprefix("<").split(".")
    if text.startswith("<"):
        if len(parts) != 3:
            raise InvalidFilter(f"{text}: use the form <object.reference.field, such as <job.customer.technician.")
        return _parse_down(text, parts, spec, schema)
    if len(parts) == 1:
        return RouteKey(text, OWN, text), _comparable(text, spec, text)
    if len(parts) == 2:
        return _parse_up(text, parts, spec, schema)
    raise InvalidFilter(f"{text}: a filter can follow only one reference.")


def _parse_up(text: str, parts: list[str], spec: ObjectSpec, schema: TenantSchema) -> tuple[RouteKey, FieldSpec]:
    reference = spec.by_name.get(parts[0])
    if reference is None or reference.kind != Kind.REFERENCE or reference.reference is None:
        known = [f.name for f in spec.fields if f.reference is not None]
        raise InvalidFilter(
            f"{text}: {parts[0]} is not a reference field of {spec.object_name}.{hint(parts[0], known)}"
        )
    parent = schema.by_object.get(reference.reference)
    if parent is None:
        raise InvalidFilter(f"{text}: {reference.reference} is not published.")
    return RouteKey(text, UP, parts[1], parts[0], parent.table_name), _comparable(text, parent, parts[1])


def _parse_down(text: str, parts: list[str], spec: ObjectSpec, schema: TenantSchema) -> tuple[RouteKey, FieldSpec]:
    child = schema.by_object.get(parts[0])
    if child is None:
        raise InvalidFilter(
            f"{text}: {parts[0]} is not a published object type.{hint(parts[0], list(schema.by_object))}"
        )
    reference = child.by_name.get(parts[1])
    if reference is None or reference.reference != spec.object_name:
        known = [f.name for f in child.fields if f.reference == spec.object_name]
        raise InvalidFilter(
            f"{text}: {parts[1]} of {parts[0]} does not refer to {spec.object_name}.{hint(parts[1], known)}"
        )
    return RouteKey(text, DOWN, parts[2], parts[1], child.table_name), _comparable(text, child, parts[2])


def _comparable(text: str, spec: ObjectSpec, name: str) -> FieldSpec:
    if name in SYSTEM_FIELDS:
        return FieldSpec(name, Kind.TEXT)
    field = spec.by_name.get(name)
    if field is None:
        known = [*(f.name for f in spec.fields if f.kind not in UNFIT_KINDS), *SYSTEM_FIELDS]
        raise InvalidFilter(f"{text}: {spec.object_name} has no field {name}.{hint(name, known)}")
    if field.kind in UNFIT_KINDS:
        raise InvalidFilter(f"{text}: {field.kind} fields can’t be used in a filter.")
    return field


def hint(name: str, known: Sequence[str]) -> str:
    """Return a sentence that suggests valid names for an invalid one, or ""."""
    if close := get_close_matches(name, known, 1):
        return f" Did you mean {close[0]}?"
    return (
        f" Available: {', '.join(known[:_SHOWN_NAMES])}{', ...' if len(known) > _SHOWN_NAMES else ''}." if known else ""
    )


def _shown(operand: Any) -> str:
    """Return a value as its author wrote it."""
    return orjson.dumps(operand, default=str).decode()


def offered_keys(spec: ObjectSpec, schema: TenantSchema) -> Iterator[RouteKey]:
    """Yield every key that a filter of an object type can compare: its own fields, and one hop up or down."""
    for name in _fit(spec):
        yield RouteKey(name, OWN, name)
    for field in spec.fields:
        parent = schema.by_object.get(field.reference) if field.reference is not None else None
        for name in _fit(parent) if parent is not None else ():
            yield parse_key(f"{field.name}.{name}", spec, schema)[0]
    for child in schema.objects:
        for field in child.fields:
            if field.reference == spec.object_name:
                for name in _fit(child):
                    yield parse_key(f"<{child.object_name}.{field.name}.{name}", spec, schema)[0]


def _fit(spec: ObjectSpec) -> list[str]:
    own = [f.name for f in spec.fields if f.kind not in UNFIT_KINDS]
    return [*own, *(["status"] if spec.statuses else []), *(["object_type"] if spec.subtypes else []), "id"]


def parameter_name(operand: Any) -> str | None:
    """Return the name in `$name`, or None for a constant."""
    if isinstance(operand, str) and operand.startswith("$") and not operand.startswith("$$"):
        return operand[1:]
    return None


def fitting_key(field: FieldSpec, value: Any) -> str | None:
    """Return the value key of a constant as this field would store it, or None if the field can never have it."""
    if isinstance(value, str) and value.startswith("$$"):
        value = value[1:]
    if (
        isinstance(value, int)
        and not isinstance(value, bool)
        and field.kind in (Kind.TEXT, Kind.CHOICE, Kind.REFERENCE)
    ):
        value = str(value)
    try:
        return value_key(clean(field, value))
    except InvalidValue:
        return None


def allowed_keys(condition: Condition, subject: Mapping[str, Any]) -> tuple[frozenset[str], dict[str, Any]]:
    """Return the allowed value keys, and the parameters used with their values."""
    allowed: set[str] = set()
    used: dict[str, Any] = {}
    for operand in condition.operands:
        name = parameter_name(operand)
        if name is None:
            keys = ["null" if operand is None else fitting_key(condition.field, operand)]
        else:
            used[name] = value = subject.get(name)
            items = value if isinstance(value, list) else [value]
            keys = [fitting_key(condition.field, item) for item in items if item is not None]
        allowed.update(key for key in keys if key is not None)
    return frozenset(allowed), used
