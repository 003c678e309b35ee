"""Help shown next to a profile's row filters: available fields, parameters, and examples."""

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from metadata.filters import DOWN, OWN, UNFIT_KINDS, UP, USER_ATTRIBUTES, offered_keys
from metadata.schema import ObjectSpec, TenantSchema
from tenants.models import Membership

_SHOWN_VALUES = 3


@dataclass(frozen=True, slots=True)
class Parameter:
    """A member property that a filter can name, with sample values."""

    name: str
    values: str


@dataclass(frozen=True, slots=True)
class TypeHelp:
    """What a filter of one object type can compare: (key, meaning) pairs by kind, and JSON examples."""

    object_name: str
    label: str
    fields: str
    own: list[str]
    up: list[str]
    down: list[str]
    unfit: list[str]
    examples: list[str]


def parameters_of(tenant_id: int) -> list[Parameter]:
    """Return the parameters for a tenant's filters, membership attributes first."""
    members = list(Membership.objects.filter(tenant_id=tenant_id).select_related("user").order_by("user__username"))
    found: defaultdict[str, list[str]] = defaultdict(list)
    for member in members:
        for attribute, value in sorted((member.attributes or {}).items()):
            found[f"$membership.{attribute}"].append(
                f"{member.user.get_username()}: {json.dumps(value, ensure_ascii=False)}"
            )
    shown = [Parameter(name, _some(values)) for name, values in sorted(found.items())]
    shown.append(Parameter("$membership.role", "admin or member"))
    for attribute in sorted(USER_ATTRIBUTES):
        values = [str(getattr(member.user, attribute)) for member in members]
        shown.append(Parameter(f"$user.{attribute}", _some([value for value in values if value])))
    return shown


def _some(values: list[str]) -> str:
    more = len(values) - _SHOWN_VALUES
    return ", ".join(values[:_SHOWN_VALUES]) + (f" and {more} more" if more > 0 else "")


def help_of(schema: TenantSchema, parameters: list[Parameter]) -> list[TypeHelp]:
    """Return the help for every published object type."""
    names = [
        parameter.name
        for parameter in parameters
        if parameter.name.startswith("$membership.") and parameter.name != "$membership.role"
    ]
    return [_type_help(spec, schema, names) for spec in schema.objects]


def _type_help(spec: ObjectSpec, schema: TenantSchema, attributes: list[str]) -> TypeHelp:
    keys: dict[str, list[str]] = {OWN: [], UP: [], DOWN: []}
    for key in offered_keys(spec, schema):
        keys[key.kind].append(key.text)
    return TypeHelp(
        spec.object_name,
        spec.label_plural or spec.table_name,
        ", ".join(field.name for field in spec.fields),
        keys[OWN],
        keys[UP],
        keys[DOWN],
        [f"{field.name} ({field.kind})" for field in spec.fields if field.kind in UNFIT_KINDS],
        [json.dumps(example, ensure_ascii=False) for example in _examples(spec, keys, attributes)],
    )


def _examples(spec: ObjectSpec, keys: dict[str, list[str]], attributes: list[str]) -> list[dict[str, Any]]:
    """Return fitting filters: an attribute with its field, direct or over a hop; statuses; constants."""
    found: list[dict[str, Any]] = []
    for attribute in attributes:
        name = attribute.rpartition(".")[2]
        fitting = [key for key in (*keys[OWN], *keys[UP], *keys[DOWN]) if key.rpartition(".")[2] == name]
        found += [{key: attribute} for key in fitting[:1]]
    statuses = [choice.value for choice in spec.statuses]
    if statuses:
        found.append({"status": statuses[:2] if len(statuses) > 1 else statuses[0]})
    if len(found) > 1:
        found.append(found[0] | found[-1])
    return found or [{"id": ["one-id", "another-id"]}]


def unknown_attributes(filters: list[Any], parameters: list[Parameter]) -> list[str]:
    """Return the `$membership` parameters that no member has. Filters with them match nothing."""
    known = {parameter.name for parameter in parameters}
    used: set[str] = set()
    for row_filter in filters:
        for value in row_filter.values() if isinstance(row_filter, dict) else ():
            used.update(one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str))
    return sorted(name for name in used if name.startswith("$membership.") and name not in known)
