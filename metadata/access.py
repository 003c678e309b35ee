"""Pure: what the members of a security profile can see and do, and the channel that results.

`ObjectAccess` is one rule as an admin writes it. `resolve` fills in one user's parameters and returns `Rules`. These
are immutable, hashable, and free of references to the user, so users with equal values share them and their channel. An
object type without a rule does not exist for the profile. A rule that is no longer valid, because its field was
retired, fails closed: the object type is hidden.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any

import orjson

from metadata.filters import Condition, InvalidFilter, RouteKey, allowed_keys, hint, parse_filter, value_key
from metadata.schema import ObjectSpec, TenantSchema
from tenants.errors import Problem

WRITABLE_SYSTEM_FIELDS = ("object_type", "status")
FULL_CHANNEL = "full"


@dataclass(frozen=True, slots=True)
class ObjectAccess:
    """A profile's rule for one object type. `readable` or `writable` None means every field, including future ones."""

    object_name: str
    read: bool = True
    create: bool = False
    update: bool = False
    delete: bool = False
    readable: tuple[str, ...] | None = None
    writable: tuple[str, ...] | None = None
    row_filter: Mapping[str, Any] | None = None
    subtypes: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Term:
    """One condition: the value that `key` refers to must have one of the allowed value keys."""

    key: RouteKey
    allowed: frozenset[str]


@dataclass(frozen=True, slots=True)
class TableRule:
    """A rule with its parameters filled in, identified by table."""

    object_name: str
    table: str
    create: bool
    update: bool
    delete: bool
    readable: frozenset[str] | None
    writable: frozenset[str] | None
    terms: tuple[Term, ...] = ()

    def can_read(self, field: str) -> bool:
        """Return whether the channel contains the field's values. It always contains the system columns."""
        return self.readable is None or field in self.readable or field in ("id", "version", *WRITABLE_SYSTEM_FIELDS)

    def can_write(self, field: str) -> bool:
        """Return whether an op may change the field."""
        return self.can_read(field) and (self.writable is None or field in self.writable)

    def data(self) -> dict[str, Any]:
        """Return the stored form."""
        return {
            "object_name": self.object_name,
            "table": self.table,
            "verbs": [v for v in ("create", "update", "delete") if getattr(self, v)],
            "readable": None if self.readable is None else sorted(self.readable),
            "writable": None if self.writable is None else sorted(self.writable),
            "terms": [[t.key.data(), sorted(t.allowed)] for t in self.terms],
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "TableRule":
        """Read the stored form."""
        verbs = data["verbs"]
        return cls(
            data["object_name"],
            data["table"],
            create="create" in verbs,
            update="update" in verbs,
            delete="delete" in verbs,
            readable=None if data["readable"] is None else frozenset(data["readable"]),
            writable=None if data["writable"] is None else frozenset(data["writable"]),
            terms=tuple(Term(RouteKey(*key), frozenset(allowed)) for key, allowed in data["terms"]),
        )


@dataclass(frozen=True)
class Rules:
    """Everything a channel can see and do. An object type without a rule does not exist for it."""

    tables: tuple[TableRule, ...] = ()

    @cached_property
    def by_table(self) -> dict[str, TableRule]:
        """Return the rules by table name."""
        return {rule.table: rule for rule in self.tables}

    @cached_property
    def by_object(self) -> dict[str, TableRule]:
        """Return the rules by object name."""
        return {rule.object_name: rule for rule in self.tables}

    def data(self) -> list[dict[str, Any]]:
        """Return the stored form."""
        return [rule.data() for rule in self.tables]

    @classmethod
    def from_data(cls, data: Iterable[Mapping[str, Any]]) -> "Rules":
        """Read the stored form."""
        return cls(tuple(TableRule.from_data(rule) for rule in data))


@dataclass(frozen=True, slots=True)
class Resolved:
    """A profile's rules for one user, and the parameters they used."""

    rules: Rules
    parameters: dict[str, Any]


def resolve(accesses: Iterable[ObjectAccess], schema: TenantSchema, subject: Mapping[str, Any]) -> Resolved:
    """Fill in a user's parameters (`user.id`, `membership.region`). Rules that do not fit the schema hide the type."""
    tables: list[TableRule] = []
    parameters: dict[str, Any] = {}
    for access in sorted(accesses, key=lambda a: a.object_name):
        spec = schema.by_object.get(access.object_name)
        if spec is None or not access.read:
            continue
        try:
            terms, used = _terms(access, spec, schema, subject)
        except InvalidFilter:
            continue
        parameters.update(used)
        tables.append(_table_rule(access, spec, terms))
    return Resolved(Rules(tuple(tables)), parameters)


def _table_rule(access: ObjectAccess, spec: ObjectSpec, terms: tuple[Term, ...]) -> TableRule:
    return TableRule(
        access.object_name,
        spec.table_name,
        access.create,
        access.update,
        access.delete,
        readable=None if access.readable is None else frozenset(access.readable),
        writable=None if access.writable is None else frozenset(access.writable),
        terms=terms,
    )


def _terms(
    access: ObjectAccess, spec: ObjectSpec, schema: TenantSchema, subject: Mapping[str, Any]
) -> tuple[tuple[Term, ...], dict[str, Any]]:
    terms: list[Term] = []
    used: dict[str, Any] = {}
    for condition in conditions_of(access, spec, schema):
        allowed, parameters = allowed_keys(condition, subject)
        used.update(parameters)
        terms.append(Term(condition.key, allowed))
    for name, values in (("object_type", access.subtypes), ("status", access.statuses)):
        if values:
            terms.append(Term(RouteKey(name, "own", name), frozenset(value_key(v) for v in values)))
    return tuple(terms), used


def conditions_of(access: ObjectAccess, spec: ObjectSpec, schema: TenantSchema) -> tuple[Condition, ...]:
    """Return the row filter's conditions. Raises `InvalidFilter`."""
    return parse_filter(access.row_filter or {}, spec, schema)


def problems_of(access: ObjectAccess, schema: TenantSchema) -> list[Problem]:
    """Return all problems of a rule, for its author."""
    name = access.object_name
    spec = schema.by_object.get(name)
    if spec is None:
        return [Problem(name, "unknown_object", "No published object type has this name.")]
    problems = [
        Problem(
            f"{name}.{attribute}",
            "unknown_field",
            f"{spec.object_name} has no field {field}.{hint(field, [*spec.by_name, *extra])}",
        )
        for attribute, fields, extra in (
            ("readable_fields", access.readable, ()),
            ("writable_fields", access.writable, WRITABLE_SYSTEM_FIELDS),
        )
        for field in fields or ()
        if field not in spec.by_name and field not in extra
    ]
    problems += _unknown_choices(name, "subtypes", access.subtypes, {c.value for c in spec.subtypes})
    problems += _unknown_choices(name, "statuses", access.statuses, {c.value for c in spec.statuses})
    try:
        conditions_of(access, spec, schema)
    except InvalidFilter as error:
        problems.append(Problem(f"{name}.row_filter", "bad_filter", str(error)))
    return problems


def _unknown_choices(name: str, attribute: str, values: Iterable[str], known: set[str]) -> list[Problem]:
    return [
        Problem(f"{name}.{attribute}", "unknown_value", f"{value} is not a declared value.{hint(value, sorted(known))}")
        for value in values
        if value not in known
    ]


def dependencies(access: ObjectAccess, schema: TenantSchema) -> frozenset[tuple[str, str, str]] | None:
    """Return (table, field, kind) of each field the filter depends on; None if the rule no longer fits the schema."""
    spec = schema.by_object.get(access.object_name)
    if spec is None:
        return None
    try:
        found = conditions_of(access, spec, schema)
    except InvalidFilter:
        return None
    return frozenset((c.key.table or spec.table_name, c.field.name, str(c.field.kind)) for c in found)


def channel_key(tenant_id: int, profile_id: int, revision: int, parameters: Mapping[str, Any]) -> str:
    """Return a channel's key (32 hex characters), shared by all users of a profile revision with equal parameters."""
    named = {"tenant": tenant_id, "profile": profile_id, "revision": revision, "parameters": dict(parameters)}
    return sha256(b"moat.channel\x00" + json.dumps(named, sort_keys=True).encode()).hexdigest()[:32]


def client_rights(rules: Rules | None) -> list[dict[str, Any]] | None:
    """Return the rights a client needs to draw its screens, or None if everything is allowed.

    Row rules are listed as far as the client can evaluate them, which means over fields it can read. Clients use them
    to disable actions; only the server enforces them.
    """
    if rules is None:
        return None
    return [_client_right(rule, rules) for rule in rules.tables]


def _client_right(rule: TableRule, rules: Rules) -> dict[str, Any]:
    data = rule.data()
    del data["terms"]
    shown = [t for t in rule.terms if _is_visible_key(t.key, rule, rules)]
    data["rows"] = [[t.key.text, [orjson.loads(key) for key in sorted(t.allowed)]] for t in shown]
    data["rows_complete"] = len(shown) == len(rule.terms)
    return data


def _is_visible_key(key: RouteKey, rule: TableRule, rules: Rules) -> bool:
    if key.kind == "own":
        return rule.can_read(key.field)
    other = rules.by_table.get(key.table)
    if other is None or not other.can_read(key.field):
        return False
    return (rule if key.kind == "up" else other).can_read(key.reference)
