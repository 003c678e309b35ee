"""SQL that says which records of a type table a channel sees, from the records as they are now.

The log says the same through routing values (`sync.routing`); a test holds the two against each other.
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


def visible(schema: TenantSchema, table: str, rules: Rules | None, vendor: str) -> Condition:
    """Return the condition, with `%s` for its parameters, that holds for the records of a table that the rules let through.

    Whether a record is deleted is not asked: a tombstone passes as it did before.
    """
    if rules is None:
        return EVERYTHING
    rule = rules.by_table.get(table)
    if rule is None or table not in schema.by_table:
        return NOTHING
    return visible_by(schema, rule, vendor)


def visible_by(schema: TenantSchema, rule: TableRule, vendor: str) -> Condition:
    """Return the condition of one rule."""
    parts = [_term(schema, rule.table, term, vendor) for term in rule.terms]
    if not parts:
        return EVERYTHING
    return " AND ".join(f"({sql})" for sql, _ in parts), [value for _, values in parts for value in values]


def _term(schema: TenantSchema, table: str, term: Term, vendor: str) -> Condition:
    own = quote(physical_name(schema.tenant_id, table))
    key = term.key
    if key.kind == OWN:
        return _among(f"{own}.{_column(key.field)}", _field(schema, table, key.field), term, vendor)
    other = quote(physical_name(schema.tenant_id, key.table))
    condition, values = _among(f"{other}.{_column(key.field)}", _field(schema, key.table, key.field), term, vendor)
    if key.kind == DOWN:
        reference = f"{other}.{quote(key.reference)}"
        inner = f'SELECT {reference} FROM {other} WHERE NOT {other}."_deleted" AND {reference} IS NOT NULL AND ({condition})'
        return f'{own}."id" IN ({inner})', values
    return f'{own}.{quote(key.reference)} IN (SELECT {other}."id" FROM {other} WHERE NOT {other}."_deleted" AND ({condition}))', values


def _column(name: str) -> str:
    return f'"{name}"' if name in SYSTEM_FIELDS else quote(name)


def _field(schema: TenantSchema, table: str, name: str) -> FieldSpec | None:
    if name in SYSTEM_FIELDS:
        return FieldSpec(name, Kind.TEXT)
    spec = schema.by_table.get(table)
    return spec.by_name.get(name) if spec else None


def _among(column: str, field: FieldSpec | None, term: Term, vendor: str) -> Condition:
    if field is None or not term.allowed:  # a field that was retired lets nothing through
        return NOTHING
    wire = [orjson.loads(key) for key in sorted(term.allowed)]
    values = [to_db(field, value, vendor) for value in wire if value is not None]
    parts = [f"{column} IS NULL"] if None in wire else []
    if values:
        parts.append(f"{column} IN ({', '.join(['%s'] * len(values))})")
    return " OR ".join(parts), values
