"""Turn the conditions and order of `Replica.find` into SQL over a live view.

Pure: no I/O, clock, or randomness.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from moat_client.errors import InvalidEdit
from moat_client.replica.ddl import quoted
from moat_client.replica.tables import Table
from moat_client.wire.canonical import canonical_json

_OPERATORS = {"ne": "IS NOT", "lt": "<", "lte": "<=", "gt": ">", "gte": ">=", "like": "LIKE"}


def _column(table: Table, name: str) -> str:
    if name not in table.columns:
        raise InvalidEdit(f"{table.name} has no field {name!r}.", code="unknown_field", field=name)
    return f"{quoted(table.name)}.{quoted(name)}"


def _bound(table: Table, name: str, value: Any) -> tuple[str, Any]:
    """Return the placeholder and the value. A live view has no affinity, so numbers are bound as numbers."""
    kind = table.kinds.get(name, "text")
    if value is None:
        return "?", None
    if kind == "decimal":
        return "CAST(? AS NUMERIC)", str(value)
    if kind == "json":
        return "?", canonical_json(value)
    return "?", int(value) if isinstance(value, bool) else value


def where_sql(table: Table, where: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """Return the WHERE clause, or an empty text, and its parameters; raise InvalidEdit for unknown fields."""
    parts: list[str] = []
    params: list[Any] = []
    for key, value in where.items():
        name, _, operator = key.partition("__")
        column = _column(table, name)
        if operator == "in":
            bound = [_bound(table, name, item) for item in value]
            parts.append(f"{column} IN ({', '.join(mark for mark, _ in bound)})")
            params += [item for _, item in bound]
            continue
        if operator and operator not in _OPERATORS:
            raise InvalidEdit(f"{key}: unknown condition {operator!r}.", code="unknown_condition", field=name)
        mark, item = _bound(table, name, value)
        parts.append(f"{column} {_OPERATORS.get(operator, 'IS')} {mark}")
        params.append(item)
    return (" WHERE " + " AND ".join(parts) if parts else ""), params


def order_sql(table: Table, order: str | Sequence[str]) -> str:
    """Return the ORDER BY clause, or an empty text; raise InvalidEdit for unknown fields."""
    names = [order] if isinstance(order, str) else list(order)
    terms = [f"{_column(table, n.removeprefix('-'))}{' DESC' if n.startswith('-') else ''}" for n in names if n]
    return " ORDER BY " + ", ".join(terms) if terms else ""
