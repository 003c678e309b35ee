"""What the log keeps for filtered channels: sides and routes of each change, and a re-key for each record moved through a hop.

Runs inside the transaction that appends, under the tenant's lock, *before* the changed records are written: it reads the
records as they were. A tenant whose profiles all have full access never comes here.
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
    """Reads the records that routing values rest on."""

    def __init__(self, schema: TenantSchema) -> None:
        self._schema = schema
        self.versions: dict[tuple[str, str], int] = {}
        self.cursors: dict[tuple[str, str], int] = {}

    def records(self, table: str, ids: Iterable[str]) -> Mapping[str, Found]:
        """Return records by id, deleted ones too."""
        spec = self._schema.by_table.get(table)
        found = rows.records(self._schema.tenant_id, spec, sorted(ids)) if spec else {}
        return self._taken(table, found.values())

    def referring(self, table: str, reference: str, ids: Iterable[str]) -> Mapping[str, Found]:
        """Return the living records of a table whose reference names one of these ids."""
        known = self._table(table, reference)
        if known is None:
            return {}
        statement = f'{known.select} WHERE NOT "{known.name}"."_deleted" AND "{known.name}"."{reference}" IN'
        return self._taken(table, [rows.Row(known, raw) for raw in sql.fetch_in(statement, sorted(ids))])

    def links(self, table: str, reference: str, field: str, ids: Iterable[str]) -> Iterable[tuple[str, str, Any]]:
        """Return (id, what its reference names, the wire value of a field) of those living records."""
        known = self._table(table, reference)
        return links(known, reference, field, ids) if known is not None else ()

    def _table(self, table: str, reference: str) -> rows.Table | None:
        spec = self._schema.by_table.get(table)
        if spec is None or reference not in spec.by_name:
            return None
        return rows.table_of(self._schema.tenant_id, spec)

    def _taken(self, table: str, found: Iterable[rows.Row]) -> dict[str, Found]:
        taken: dict[str, Found] = {}
        for row in found:
            self.versions[table, row.id], self.cursors[table, row.id] = row.version, row.cursor
            taken[row.id] = Found({"id": row.id, **row.values()}, not row.deleted)
        return taken


def links(table: rows.Table, reference: str, field: str, ids: Iterable[str]) -> Iterator[tuple[str, str, Any]]:
    """Yield (id, what its reference names, the wire value of a field) of the living records whose reference names one of these ids."""
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
    """What is kept beside the changes of one append. `sides` is in their order, those of the re-keys last.

    `versions` are those the re-keys lead to; `cursors` those of the last changes of records that were read.
    """

    sides: list[Side | None]
    reroutes: list[Reroute] = field(default_factory=list)
    versions: dict[tuple[str, str], int] = field(default_factory=dict)
    cursors: dict[tuple[str, str], int] = field(default_factory=dict)


Mark = tuple[str, RecordTransition | Side | None]


def record(
    plan: RoutePlan, locked: LockedTenant, marks: Sequence[Mark], versions: Mapping[tuple[str, str], int]
) -> Recorded:
    """Work out the sides of changes, given for each as its table and the `Step` of a type table or the `Side` of a system table.

    `versions` are those of the records the changes leave behind; a re-key raises its record's by one.
    """
    source = DatabaseSource(schema_of(locked.id, locked.schema_version))
    steps = [mark for _, mark in marks if isinstance(mark, RecordTransition)]
    if any(mark is None and (table in plan.by_table or table in SYSTEM_TABLES) for table, mark in marks):
        raise ValueError("A change that filtered channels may see was appended without its mark.")
    built, reroutes = SideBuilder(plan, source).build(steps) if steps else ([], [])
    stepped = iter(built)
    sides = [next(stepped) if isinstance(mark, RecordTransition) else mark for _, mark in marks]
    known = {**source.versions, **versions}
    raised = {(r.table, r.record_id): known[r.table, r.record_id] + 1 for r in reroutes}
    return Recorded([*sides, *(r.side for r in reroutes)], reroutes, raised, source.cursors)


def store(plan: RoutePlan, tenant_id: int, changes: Iterable[tuple[int, str, Side | None]]) -> None:
    """Store sides and routes of changes, given as (cursor, table, side)."""
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
    """Write the versions and cursors of re-keyed records, given as (table, id, version, cursor)."""
    schema = schema_of(locked.id, locked.schema_version)
    by_table: dict[str, list[tuple[int, int, str]]] = {}
    for table, record_id, version, cursor in moved:
        by_table.setdefault(table, []).append((version, cursor, record_id))
    columns = (sql.Column("version", "bigint"), sql.Column("_cursor", "bigint"), sql.Column("id", "text"))
    for table, changed in by_table.items():
        sql.update_many(rows.table_of(schema.tenant_id, schema.by_table[table]).name, columns, changed)
