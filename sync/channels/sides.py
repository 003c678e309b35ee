"""Pure: compute the routing values of a transaction's changes, and the records that it moves through a hop.

With a filter on `job.technician`, a change to a job moves its line items. Each record moved this way gets its own
change with an empty patch, a *reroute*, at the end of the same transaction. A record that the transaction also changes
carries the move in its next change. So a record's routing after one change always equals its routing before the next
one, and a channel's contents follow from the log alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from metadata.filters import DOWN, UP, RouteKey, value_key
from sync.channels.projection import Side
from sync.channels.routing import RoutePlan, Routing, TablePlan, own_routing

Values = Mapping[str, Any]
NOTHING = "-"
"""The value at the end of a hop to a missing or deleted record. It differs from every value key."""

_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Found:
    """A record in the database before the transaction: wire values by name (`id`, `object_type`, `status`, fields)."""

    values: Values
    alive: bool


@dataclass(frozen=True, slots=True)
class RecordTransition:
    """One change of a type table: the values before and after it, which a deleted record keeps.

    `before` is None for a new record.
    """

    table: str
    record_id: str
    before: Values | None
    was_alive: bool
    after: Values
    alive: bool


@dataclass(frozen=True, slots=True)
class Reroute:
    """An empty update of a record that the transaction moved without changing it."""

    table: str
    record_id: str
    side: Side


class Source(Protocol):
    """A reader of records as they were before the transaction."""

    def records(self, table: str, ids: Iterable[str]) -> Mapping[str, Found]:
        """Return records by ID, including deleted ones."""

    def referring(self, table: str, reference: str, ids: Iterable[str]) -> Mapping[str, Found]:
        """Return the live records of a table that reference one of these IDs."""

    def links(self, table: str, reference: str, field: str, ids: Iterable[str]) -> Iterable[tuple[str, str, Any]]:
        """Return (ID, referenced ID, wire value of a field) of those live records."""


class SideBuilder:
    """Replays a transaction's changes and follows the routing of every record that they can move."""

    def __init__(self, plan: RoutePlan, source: Source) -> None:
        self._plan = plan
        self._source = source
        self._state: dict[_Key, Found] = {}  # records whose routing is tracked
        self._seen: dict[_Key, Found] = {}  # records that are only read through a hop
        self._below: dict[tuple[RouteKey, str], dict[str, str]] = {}  # (hop down, parent id) → child id → value key
        self._logged: dict[_Key, Routing | None] = {}

    def build(self, steps: Sequence[RecordTransition]) -> tuple[list[Side | None], list[Reroute]]:
        """Return each step's side (None if no filter concerns its table) and the reroutes of other moved records."""
        self._load(steps)
        self._logged = {key: self._routing(key) for key in self._state if key[0] in self._plan.by_table}
        sides = [self._step(step) for step in steps]
        return sides, [reroute for key in self._state if (reroute := self._moved(key)) is not None]

    def _step(self, step: RecordTransition) -> Side | None:
        key = (step.table, step.record_id)
        self._relink(key, step)
        self._state[key] = Found(step.after, step.alive)
        if step.table not in self._plan.by_table:
            return None
        before = self._logged.get(key)
        after = self._logged[key] = self._routing(key)
        moved = before is not None and after is not None and before != after
        return Side(before, after, _image(step.after) if moved else None)

    def _moved(self, key: _Key) -> Reroute | None:
        if key not in self._logged:
            return None
        before, after = self._logged[key], self._routing(key)
        if before == after or before is None or after is None:
            return None
        return Reroute(*key, Side(before, after, _image(self._state[key].values)))

    # -- routing ---------------------------------------------------------------

    def _routing(self, key: _Key) -> Routing | None:
        found = self._state.get(key)
        if found is None or not found.alive:
            return None
        plan = self._plan.by_table[key[0]]
        routing = own_routing(plan, found.values)
        for hop in plan.by_kind[UP]:
            routing[hop.text] = self._above(hop, found.values.get(hop.reference))
        for hop in plan.by_kind[DOWN]:
            routing[hop.text] = sorted(set(self._below.get((hop, key[1]), {}).values()))
        return routing

    def _above(self, hop: RouteKey, parent_id: str | None) -> str:
        key = (hop.table, parent_id or "")
        found = self._state.get(key) or self._seen.get(key)
        return value_key(found.values.get(hop.field)) if found is not None and found.alive else NOTHING

    def _relink(self, key: _Key, step: RecordTransition) -> None:
        for _, hop in self._plan.children.get(step.table, ()):
            if step.before is not None and step.was_alive:
                self._below.get((hop, step.before.get(hop.reference) or ""), {}).pop(key[1], None)
            parent = step.after.get(hop.reference)
            if step.alive and parent is not None:
                self._below.setdefault((hop, parent), {})[key[1]] = value_key(step.after.get(hop.field))

    # -- loading ---------------------------------------------------------------

    def _load(self, steps: Sequence[RecordTransition]) -> None:
        touched: set[_Key] = set()
        for step in steps:
            key = (step.table, step.record_id)
            if key not in touched and step.before is not None:
                self._state[key] = Found(step.before, step.was_alive)
            touched.add(key)
        self._load_children_of_moved(steps, touched)
        self._load_parents_of_moved(steps, touched)
        for plan in self._plan.tables:
            self._load_above(plan, steps)
            self._load_below(plan, steps)

    def _load_children_of_moved(self, steps: Sequence[RecordTransition], touched: set[_Key]) -> None:
        for table, hops in self._plan.parents.items():
            for child, hop in hops:
                moved = {
                    s.record_id
                    for s in steps
                    if s.table == table and (_differs(s, hop.field) or s.alive != s.was_alive)
                }
                if moved:
                    self._follow(child, self._source.referring(child, hop.reference, moved), touched)

    def _load_parents_of_moved(self, steps: Sequence[RecordTransition], touched: set[_Key]) -> None:
        for table, hops in self._plan.children.items():
            for parent, hop in hops:
                ids = {one for s in steps if s.table == table for one in _ends(s, hop) if (parent, one) not in touched}
                if ids:
                    self._follow(parent, self._source.records(parent, ids), touched)

    def _follow(self, table: str, found: Mapping[str, Found], touched: set[_Key]) -> None:
        self._state.update({(table, i): f for i, f in found.items() if (table, i) not in touched})

    def _load_above(self, plan: TablePlan, steps: Sequence[RecordTransition]) -> None:
        for hop in plan.by_kind[UP]:
            values = [f.values for (table, _), f in self._state.items() if table == plan.table]
            values += [s.after for s in steps if s.table == plan.table]
            wanted = {(hop.table, v[hop.reference]) for v in values if v.get(hop.reference) is not None}
            missing = {key[1] for key in wanted if key not in self._state and key not in self._seen}
            if missing:
                self._seen.update({(hop.table, i): f for i, f in self._source.records(hop.table, missing).items()})

    def _load_below(self, plan: TablePlan, steps: Sequence[RecordTransition]) -> None:
        for hop in plan.by_kind[DOWN]:
            parents = {i for table, i in self._state if table == plan.table} | {
                s.record_id for s in steps if s.table == plan.table
            }
            if not parents:
                continue
            for child_id, parent, value in self._source.links(hop.table, hop.reference, hop.field, parents):
                self._below.setdefault((hop, parent), {})[child_id] = value_key(value)


def _image(values: Values) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != "id" and value is not None}


def _differs(step: RecordTransition, field: str) -> bool:
    return step.before is None or step.before.get(field) != step.after.get(field)


def _ends(step: RecordTransition, hop: RouteKey) -> set[str]:
    """Return the parents whose hop down a step may change: those referenced before and after it."""
    then = (step.before or {}).get(hop.reference) if step.was_alive else None
    now = step.after.get(hop.reference) if step.alive else None
    unchanged = then == now and not _differs(step, hop.field)
    return set() if unchanged else {one for one in (then, now) if one is not None}
