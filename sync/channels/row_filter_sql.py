"""SQL conditions for the records of a type table that a channel sees, based on the records' current values.

The log expresses the same through routing values (`sync.channels.routing`); a test compares the two.
"""

from typing import Any

import orjson

from metadata.access import Rules, TableRule, Term
from metadata.fieldtypes import to_db
from metadata.filters import DOWN, OWN, SYSTEM_FIELDS
from metadata.kinds import Kind
from metadata.names import quote
from metadata.schema import FieldSpec, TenantSchema, physical_name

Condition = tuple[str, list[Any]]
EVERYTHING: Condition = ("1 = 1", [])
NOTHING: Condition = ("1 = 0", [])


def visible(schema: TenantSchema, table: str, rules: Rules | None, vendor: str, *, few: bool = False) -> Condition:
    """Return the condition, with `%s` placeholders, that selects the records of a table that pass the rules.

    The condition ignores deletion: a tombstone passes if the record did. `few` is for queries about one record or a
    short range: each record then follows its own hops, so that timing does not reveal whether a record exists.
    """
    if rules is None:
        return EVERYTHING
    rule = rules.by_table.get(table)
    if rule is None or table not in schema.by_table:
        return NOTHING
    return _visible_by(schema, rule, vendor, few)


def _visible_by(schema: TenantSchema, rule: TableRule, vendor: str, few: bool) -> Condition:
    parts = [_term(schema, rule.table, term, vendor, few) for term in rule.terms]
    if not parts:
        return EVERYTHING
    return " AND ".join(f"({sql})" for sql, _ in parts), [value for _, values in parts for value in values]


def _term(schema: TenantSchema, table: str, term: Term, vendor: str, few: bool) -> Condition:
    own = quote(physical_name(schema.tenant_id, table))
    key = term.key
    if key.kind == OWN:
        return _among(f"{own}.{_column(key.field)}", _field(schema, table, key.field), term, vendor)
    other = quote(physical_name(schema.tenant_id, key.table))
    passing, values = _beyond(schema, other, term, vendor)
    mine, theirs = (
        (f'{own}."id"', quote(key.reference)) if key.kind == DOWN else (f"{own}.{quote(key.reference)}", '"id"')
    )
    if few:
        return f"EXISTS (SELECT 1 FROM {other} WHERE {other}.{theirs} = {mine} AND {passing})", values
    known = f" AND {other}.{theirs} IS NOT NULL" if key.kind == DOWN else ""
    return f"{mine} IN (SELECT {other}.{theirs} FROM {other} WHERE {passing}{known})", values


def over_hop(schema: TenantSchema, term: Term, vendor: str) -> Condition:
    """Return a SELECT over one hop that ends in `IN` without its list.

    It reads (hop start, ID of the record at the end) of the live records that pass. The list holds hop starts.
    """
    key = term.key
    other = quote(physical_name(schema.tenant_id, key.table))
    passing, values = _beyond(schema, other, term, vendor)
    near = quote(key.reference) if key.kind == DOWN else '"id"'
    return f'SELECT {other}.{near}, {other}."id" FROM {other} WHERE {passing} AND {other}.{near} IN', values


def _beyond(schema: TenantSchema, other: str, term: Term, vendor: str) -> Condition:
    condition, values = _among(
        f"{other}.{_column(term.key.field)}", _field(schema, term.key.table, term.key.field), term, vendor
    )
    return f'NOT {other}."_deleted" AND ({condition})', values


def _column(name: str) -> str:
    return f'"{name}"' if name in SYSTEM_FIELDS else quote(name)


def _field(schema: TenantSchema, table: str, name: str) -> FieldSpec | None:
    if name in SYSTEM_FIELDS:
        return FieldSpec(name, Kind.TEXT)
    spec = schema.by_table.get(table)
    return spec.by_name.get(name) if spec else None


def _among(column: str, field: FieldSpec | None, term: Term, vendor: str) -> Condition:
    if field is None or not term.allowed:  # on a retired field no record passes
        return NOTHING
    wire = [orjson.loads(key) for key in sorted(term.allowed)]
    values = [to_db(field, value, vendor) for value in wire if value is not None]
    parts = [f"{column} IS NULL"] if None in wire else []
    if values:
        parts.append(f"{column} IN ({', '.join(['%s'] * len(values))})")
    return " OR ".join(parts), values
