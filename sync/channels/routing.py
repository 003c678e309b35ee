"""Pure: find the channels that a change may concern by values instead of checking every profile.

A *route* is a 64-bit hash of (table, key, value). A change has the routes of its record's routing values before and
after it; a channel has the routes of its rules. An index joins the two: in memory in the hub, and `change_route` in the
database. A hash collision only costs one extra projection, because `projection` decides.

A `RoutePlan` lists the routing values that a tenant's changes must carry: the fields used by any filter of the tenant.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any

from metadata.access import Rules, TableRule, Term
from metadata.filters import DOWN, OWN, UP, RouteKey, value_key
from sync.wire.system_tables import SYSTEM_TABLES

Routing = Mapping[str, Any]
"""Routing values of a record: key text → value key, or a sorted list of value keys for a hop down."""

_COARSE = ("object_type", "status")


def route(table: str, key: str = "", value: str = "") -> int:
    """Return a route: a signed 64-bit integer."""
    raw = "\x00".join((table, key, value)).encode()
    return int.from_bytes(blake2b(raw, digest_size=8).digest(), "big", signed=True)


def passes(terms: Iterable[Term], routing: Routing) -> bool:
    """Return whether a record with these routing values passes every term. A missing value never passes."""
    return all(_matches(term.allowed, routing.get(term.key.text)) for term in terms)


def _matches(allowed: frozenset[str], value: Any) -> bool:
    if isinstance(value, list):
        return not allowed.isdisjoint(value)
    return value in allowed


def index_term(rule: TableRule) -> Term | None:
    """Return the term whose values index a rule's changes: the first one that is not on the subtype or the status."""
    fine = [t for t in rule.terms if t.key.text not in _COARSE]
    return next(iter(fine or rule.terms), None)


@dataclass(frozen=True)
class TablePlan:
    """The routing values that one table's changes carry.

    `indexed` keys get routes. `unfiltered` is true if some filtered channel sees all records of the table.
    """

    table: str
    keys: tuple[RouteKey, ...] = ()
    indexed: frozenset[str] = frozenset()
    unfiltered: bool = False

    @cached_property
    def by_kind(self) -> dict[str, tuple[RouteKey, ...]]:
        """Keys by kind: own, up, down."""
        return {kind: tuple(k for k in self.keys if k.kind == kind) for kind in (OWN, UP, DOWN)}


@dataclass(frozen=True)
class RoutePlan:
    """The routing values of all tables that some filtered channel of the tenant can see."""

    tables: tuple[TablePlan, ...] = ()

    @cached_property
    def by_table(self) -> dict[str, TablePlan]:
        """Plans by table name."""
        return {plan.table: plan for plan in self.tables}

    @cached_property
    def parents(self) -> dict[str, tuple[tuple[str, RouteKey], ...]]:
        """Table → (child table, key) of each hop up that ends in it: a change to the table can move its children."""
        return self._by_hop(UP)

    @cached_property
    def children(self) -> dict[str, tuple[tuple[str, RouteKey], ...]]:
        """Table → (parent table, key) of each hop down that ends in it: a change to the table can move its parents."""
        return self._by_hop(DOWN)

    def _by_hop(self, kind: str) -> dict[str, tuple[tuple[str, RouteKey], ...]]:
        found: dict[str, list[tuple[str, RouteKey]]] = {}
        for plan in self.tables:
            for key in plan.by_kind[kind]:
                found.setdefault(key.table, []).append((plan.table, key))
        return {table: tuple(keys) for table, keys in found.items()}


def build_plan(all_rules: Iterable[Rules]) -> RoutePlan | None:
    """Return the plan that covers these rules, or None if there are none."""
    keys: dict[str, set[RouteKey]] = {}
    indexed: dict[str, set[str]] = {}
    unfiltered: set[str] = set()
    any_rules = False
    for rules in all_rules:
        any_rules = True
        for rule in rules.tables:
            keys.setdefault(rule.table, set()).update(t.key for t in rule.terms)
            term = index_term(rule)
            if term is None:
                unfiltered.add(rule.table)
            else:
                indexed.setdefault(rule.table, set()).add(term.key.text)
    if not any_rules:
        return None
    tables = (
        TablePlan(t, tuple(sorted(k)), frozenset(indexed.get(t, ())), t in unfiltered) for t, k in sorted(keys.items())
    )
    return RoutePlan(tuple(tables))


def channel_routes(rules: Rules) -> frozenset[int]:
    """Return all routes of a channel."""
    routes: set[int] = set()
    for rule in rules.tables:
        routes.update(route(table, "id", rule.object_name) for table in SYSTEM_TABLES)
        term = index_term(rule)
        if term is None:
            routes.add(route(rule.table))
        else:
            routes.update(route(rule.table, term.key.text, value) for value in term.allowed)
    return frozenset(routes)


def change_routes(plan: TablePlan, *sides: Routing | None) -> set[int]:
    """Return the routes of a type table's change, from its routing values before and after."""
    routes = {route(plan.table)} if plan.unfiltered else set()
    for side in sides:
        for key in plan.indexed:
            routes.update(route(plan.table, key, value) for value in values_of(side, key))
    return routes


def values_of(routing: Routing | None, key: str) -> list[str]:
    """Return a record's value keys for a routing key: none if it does not exist, several for a hop down."""
    value = None if routing is None else routing.get(key)
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def system_routes(table: str, *images: Mapping[str, Any] | None) -> set[int]:
    """Return the routes of a system table's change: those of its object type."""
    return {route(table, "id", image["object_name"]) for image in images if image}


def own_routing(plan: TablePlan, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the routing values that come from a record's own wire values."""
    return {key.text: value_key(values.get(key.field)) for key in plan.by_kind[OWN]}
