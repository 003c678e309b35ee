"""Pure: which channels a change can concern, found by values instead of by asking every profile.

A *route* is a 64-bit number for (table, key, value). A change has the routes of its record's routing values before and
after; a channel listens on the routes of its rules. They meet in an index: in memory in the hub, in `change_route` in the
database. Equal numbers of different routes only cost a look: `projection` decides.

A `RoutePlan` says which routing values a tenant's changes must carry: the fields any filter of the tenant uses.
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
"""Routing values of a record: key text → value key, or for a hop down a sorted list of value keys."""

_COARSE = ("object_type", "status")


def route(table: str, key: str = "", value: str = "") -> int:
    """Return the number of a route, a signed 64-bit integer."""
    raw = "\x00".join((table, key, value)).encode()
    return int.from_bytes(blake2b(raw, digest_size=8).digest(), "big", signed=True)


def passes(terms: Iterable[Term], routing: Routing) -> bool:
    """Whether a record with these routing values passes every term; a missing value never does."""
    return all(_matches(term.allowed, routing.get(term.key.text)) for term in terms)


def _matches(allowed: frozenset[str], value: Any) -> bool:
    if isinstance(value, list):
        return not allowed.isdisjoint(value)
    return value in allowed


def index_term(rule: TableRule) -> Term | None:
    """Return the term by whose values a rule's changes are found: the first that is not merely a subtype or a status."""
    fine = [t for t in rule.terms if t.key.text not in _COARSE]
    return next(iter(fine or rule.terms), None)


@dataclass(frozen=True)
class TablePlan:
    """The routing values one table's changes carry. `indexed` keys get routes; `unfiltered` when some channel sees the table unfiltered."""

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
    """The routing values of all tables some filtered channel of the tenant can see."""

    tables: tuple[TablePlan, ...] = ()

    @cached_property
    def by_table(self) -> dict[str, TablePlan]:
        """Plans by table name."""
        return {plan.table: plan for plan in self.tables}

    @cached_property
    def parents(self) -> dict[str, tuple[tuple[str, RouteKey], ...]]:
        """Table → (table of the children, key) of each hop up that ends in it: a change here can move its children."""
        return self._by_hop(UP)

    @cached_property
    def children(self) -> dict[str, tuple[tuple[str, RouteKey], ...]]:
        """Table → (table of the parents, key) of each hop down that ends in it: a change here can move its parents."""
        return self._by_hop(DOWN)

    def _by_hop(self, kind: str) -> dict[str, tuple[tuple[str, RouteKey], ...]]:
        found: dict[str, list[tuple[str, RouteKey]]] = {}
        for plan in self.tables:
            for key in plan.by_kind[kind]:
                found.setdefault(key.table, []).append((plan.table, key))
        return {table: tuple(keys) for table, keys in found.items()}


def build_plan(all_rules: Iterable[Rules]) -> RoutePlan | None:
    """Return what the changes of a tenant must carry for these rules, or None when no rules are filtered at all."""
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
    """Return every route a channel listens on."""
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
    """Return the routes of a change of a type table, from its routing values before and after."""
    routes = {route(plan.table)} if plan.unfiltered else set()
    for side in sides:
        for key in plan.indexed:
            routes.update(route(plan.table, key, value) for value in values_of(side, key))
    return routes


def values_of(routing: Routing | None, key: str) -> list[str]:
    """Return the value keys a record has for a routing key: none where it does not exist, several for a hop down."""
    value = None if routing is None else routing.get(key)
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def system_routes(table: str, *images: Mapping[str, Any] | None) -> set[int]:
    """Return the routes of a change of a system table: by the object type it is about."""
    return {route(table, "id", image["object_name"]) for image in images if image}


def own_routing(plan: TablePlan, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the routing values that a record's own wire values give."""
    return {key.text: value_key(values.get(key.field)) for key in plan.by_kind[OWN]}
