"""System checks for settings under which object types would fail or be slow."""

from collections.abc import Iterable
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections

MANY_TABLES = 2000


@register(Tags.compatibility)
def atomic_requests_are_off(app_configs: object, **kwargs: Any) -> Iterable[CheckMessage]:
    """Reject ATOMIC_REQUESTS: the engine and publishing manage their own transactions and acknowledge only commits."""
    for alias in connections:
        if connections[alias].settings_dict.get("ATOMIC_REQUESTS"):
            yield Error(
                f"ATOMIC_REQUESTS is enabled for the database {alias!r}.",
                hint="Disable it. Moat must commit a write before acknowledging it, and creates tables in separate "
                "transactions.",
                id="metadata.E001",
            )


@register(Tags.database)
def not_too_many_tables(
    app_configs: object, *, databases: Iterable[str] | None = None, **kwargs: Any
) -> Iterable[CheckMessage]:
    """Warn about too many tables on SQLite: every new connection parses all their definitions."""
    for alias in databases or ():
        connection = connections[alias]
        if connection.vendor != "sqlite":
            continue
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'")
            row = cursor.fetchone()
        if row and row[0] >= MANY_TABLES:
            yield Warning(
                f"The SQLite database has {row[0]} tables. Opening it slows down noticeably beyond {MANY_TABLES}.",
                hint="Move to PostgreSQL, or drop retired tables with manage.py trim_columns.",
                id="metadata.W001",
            )
