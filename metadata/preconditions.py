"""Check whether live records allow a change of their type: one query per rule, in the changing transaction."""

from collections.abc import Callable, Iterable
from typing import Any

from django.db import connection

from metadata.names import quote
from metadata.operations import DataCheck
from metadata.schema import physical_name
from tenants.errors import Problem

# A rule is an SQL condition that matches blocking records, its parameters, and a message.
Rule = tuple[str, list[Any], str]


def unmet(tenant_id: int, checks: Iterable[DataCheck]) -> list[Problem]:
    """Return a problem for every check that live records fail, with the number of blocking records."""
    problems = []
    for check in checks:
        table = quote(physical_name(tenant_id, check.table))
        condition, parameters, message = _RULES[check.rule](table, quote(check.column), check)
        count = _count(table, condition, parameters)
        if count:
            records = "1 record" if count == 1 else f"{count} records"
            text = message.replace("{n}", records).replace("{have}", "has" if count == 1 else "have")
            problems.append(Problem(check.where, check.rule, text))
    return problems


def _count(table: str, condition: str, parameters: list[Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT count(*) FROM {table} WHERE NOT "_deleted" AND {condition}', parameters)
        row = cursor.fetchone()
    return int(row[0]) if row else 0


def _no_records(table: str, column: str, check: DataCheck) -> Rule:
    return (
        "1 = 1",
        [],
        "{n} would have no value. Set a default, or publish the field as optional, fill it in, then require it.",
    )


def _no_nulls(table: str, column: str, check: DataCheck) -> Rule:
    return f"{table}.{column} IS NULL", [], "Can’t make this required: {n} {have} no value."


def _no_duplicates(table: str, column: str, check: DataCheck) -> Rule:
    live = f'{table} WHERE NOT "_deleted" AND {column} IS NOT NULL'
    shared = f"SELECT {column} FROM {live} GROUP BY {column} HAVING count(*) > 1"
    return f"{table}.{column} IN ({shared})", [], "Can’t make this unique: {n} share a value."


def _not_longer(table: str, column: str, check: DataCheck) -> Rule:
    message = f"Can’t index this: {{n}} {{have}} more than {check.limit} characters."
    return f"length({table}.{column}) > %s", [check.limit], message


def _smaller(table: str, column: str, check: DataCheck) -> Rule:
    digits = len(str(check.limit)) - 1
    message = f"Can’t convert to decimal: {{n}} {{have}} more than {digits} digits before the decimal point."
    return f"abs({table}.{column}) >= %s", [check.limit], message


def _not_used(table: str, column: str, check: DataCheck) -> Rule:
    places = ", ".join(["%s"] * len(check.values))
    message = f"Can’t remove {', '.join(map(repr, check.values))}: in use by {{n}}."
    return f"{table}.{column} IN ({places})", list(check.values), message


_RULES: dict[str, Callable[[str, str, DataCheck], Rule]] = {
    "no_records": _no_records,
    "no_nulls": _no_nulls,
    "no_duplicates": _no_duplicates,
    "not_longer": _not_longer,
    "smaller": _smaller,
    "not_used": _not_used,
}
