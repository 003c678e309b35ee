"""Record what filtered channels need: sides and routes of each change, and reroutes of records moved through a hop.

This runs inside the appending transaction, under the tenant's lock, *before* the changed records are written, because
it reads the records as they were. It is skipped for a tenant whose profiles all have full access.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from metadata.catalog import schema_of
from metadata.filters import SYSTEM_FIELDS
from metadata.schema import TenantSchema
from sync.channels.projection import Side
from sync.channels.routing import RoutePlan, change_routes, system_routes
from sync.channels.sides import Found, RecordTransition, Reroute, SideBuilder
from sync.records import rows, sql
from sync.wire.system_tables import SYSTEM_TABLES
from tenants.locks import LockedTenant

_SIDES: Final = (sql.Column("tenant_id", "bigint"), sql.Column("cursor", "bigint"), sql.Column("side", "text"))
_ROUTES: Final = (sql.Column("tenant_id", "bigint"), sql.Column("route", "bigint"), sql.Column("cursor", "bigint"))


class DatabaseSource:
    """A source that reads from the database, and remembers the version and cursor of each record it read."""

    def __init__(self, schema: TenantSchema) -> None:
        self._schema = schema
        self.versions: dict[tuple[str, str], int] = {}
        self.cursors: dict[tuple[str, str], int] = {}

    def records(self, table: str, ids: Iterable[str]) -> Mapping[str, Found]:
        """Return records by ID, including deleted ones."""
        spec = self._schema.by_table.get(table)
        found = rows.records(self._schema.tenant_id, spec, sorted(ids)) if spec else {}
        return self._found(table, found.values())

    def referring(self, table: str, reference: str, ids: Iterable[str]) -> Mapping[str, Found]:
        """Return the live records of a table that reference one of these IDs."""
        known = self._table(table, reference)
        if known is None:
            return {}
        statement = f'{known.select} WHERE NOT "{known.name}"."_deleted" AND "{known.name}"."{reference}" IN'
        return self._found(table, [rows.Row(known, raw) for raw in sql.fetch_in(statement, sorted(ids))])

    def links(self, table: str, reference: str, field: str, ids: Iterable[str]) -> Iterable[tuple[str, str, Any]]:
        """Return (ID, referenced ID, wire value of a field) of those live records."""
        known = self._table(table, reference)
        return links(known, reference, field, ids) if known is not None else ()

    def _table(self, table: str, reference: str) -> rows.Table | None:
        spec = self._schema.by_table.get(table)
        if spec is None or reference not in spec.by_name:
            return None
        return rows.table_of(self._schema.tenant_id, spec)

    def _found(self, table: str, read: Iterable[rows.Row]) -> dict[str, Found]:
        found: dict[str, Found] = {}
        for row in read:
            self.versions[table, row.id], self.cursors[table, row.id] = row.version, row.cursor
            found[row.id] = Found({"id": row.id, **row.values()}, not row.deleted)
        return found


def links(table: rows.Table, reference: str, field: str, ids: Iterable[str]) -> Iterator[tuple[str, str, Any]]:
    """Yield (ID, referenced ID, wire value of a field) of the live records that reference one of these IDs."""
    if field not in table.index and field not in SYSTEM_FIELDS:
        return
    names = ", ".join(f'"{table.name}"."{name}"' for name in ("id", reference, field))
    statement = (
        f'SELECT {names} FROM "{table.name}" WHERE NOT "{table.name}"."_deleted" AND "{table.name}"."{reference}" IN'
    )
    read = table.readers.get(field)
    for child, parent, value in sql.fetch_in(statement, sorted(set(ids))):
        yield child, parent, value if read is None or value is None else read(value)


@dataclass(slots=True)
class Recorded:
    """The sides of one append's changes in their order, those of the reroutes last, and the reroutes.

    `versions` are the new versions of rerouted records; `cursors` are those of the last changes of the records read.
    """

    sides: list[Side | None]
    reroutes: list[Reroute] = field(default_factory=list)
    versions: dict[tuple[str, str], int] = field(default_factory=dict)
    cursors: dict[tuple[str, str], int] = field(default_factory=dict)


Transition = tuple[str, RecordTransition | Side | None]


def record(
    plan: RoutePlan, locked: LockedTenant, transitions: Sequence[Transition], versions: Mapping[tuple[str, str], int]
) -> Recorded:
    """Compute the sides of changes.

    Each change is given as its table and the `RecordTransition` of a type table or the `Side` of a system table.
    `versions` are those of the changed records after the changes; a reroute increments its record's version by one.
    """
    source = DatabaseSource(schema_of(locked.id, locked.schema_version))
    steps = [each for _, each in transitions if isinstance(each, RecordTransition)]
    if any(each is None and (table in plan.by_table or table in SYSTEM_TABLES) for table, each in transitions):
        raise ValueError("A change in a tenant with filtered channels was appended without its side.")
    built, reroutes = SideBuilder(plan, source).build(steps) if steps else ([], [])
    built_sides = iter(built)
    sides = [next(built_sides) if isinstance(each, RecordTransition) else each for _, each in transitions]
    known = {**source.versions, **versions}
    raised = {(r.table, r.record_id): known[r.table, r.record_id] + 1 for r in reroutes}
    return Recorded([*sides, *(r.side for r in reroutes)], reroutes, raised, source.cursors)


def store(plan: RoutePlan, tenant_id: int, changes: Iterable[tuple[int, str, Side | None]]) -> None:
    """Store the sides and routes of changes, given as (cursor, table, side)."""
    sides: list[tuple[int, int, str]] = []
    routes: list[tuple[int, int, int]] = []
    for cursor, table, side in changes:
        if side is not None:
            sides.append((tenant_id, cursor, side.encode()))
        routes.extend((tenant_id, one, cursor) for one in _routes(plan, table, side))
    if sides:
        sql.insert_many("change_side", _SIDES, sides)
    if routes:
        sql.insert_many("change_route", _ROUTES, routes)


def _routes(plan: RoutePlan, table: str, side: Side | None) -> set[int]:
    if table in SYSTEM_TABLES:
        return system_routes(table, side.before, side.after) if side else set()
    known = plan.by_table.get(table)
    return set() if known is None or side is None else change_routes(known, side.before, side.after)


def move_rows(locked: LockedTenant, moved: Iterable[tuple[str, str, int, int]]) -> None:
    """Write the versions and cursors of rerouted records, given as (table, ID, version, cursor)."""
    schema = schema_of(locked.id, locked.schema_version)
    by_table: dict[str, list[tuple[int, int, str]]] = {}
    for table, record_id, version, cursor in moved:
        by_table.setdefault(table, []).append((version, cursor, record_id))
    columns = (sql.Column("version", "bigint"), sql.Column("_cursor", "bigint"), sql.Column("id", "text"))
    for table, changed in by_table.items():
        sql.update_many(rows.table_of(schema.tenant_id, schema.by_table[table]).name, columns, changed)
