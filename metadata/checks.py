"""System checks: what would make object types fail or crawl on this installation."""

from collections.abc import Iterable
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections

MANY_TABLES = 2000


@register(Tags.compatibility)
def atomic_requests_are_off(app_configs: object, **kwargs: Any) -> Iterable[CheckMessage]:
    """Refuse ATOMIC_REQUESTS: the engine and the publish own their transactions, and answer only what is committed."""
    for alias in connections:
        if connections[alias].settings_dict.get("ATOMIC_REQUESTS"):
            yield Error(
                f"ATOMIC_REQUESTS is on for the database {alias!r}.",
                hint="Turn it off: a write must be committed before it is acknowledged, and tables are made in a transaction of their own.",
                id="metadata.E001",
            )


@register(Tags.database)
def not_too_many_tables(
    app_configs: object, *, databases: Iterable[str] | None = None, **kwargs: Any
) -> Iterable[CheckMessage]:
    """Warn when SQLite has so many tables that opening it takes long: every new connection parses all of their definitions."""
    for alias in databases or ():
        connection = connections[alias]
        if connection.vendor != "sqlite":
            continue
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'")
            row = cursor.fetchone()
        if row and row[0] >= MANY_TABLES:
            yield Warning(
                f"The SQLite database has {row[0]} tables; opening it takes noticeably long from {MANY_TABLES} on.",
                hint="Move to PostgreSQL, or drop what was retired with trim_columns.",
                id="metadata.W001",
            )
