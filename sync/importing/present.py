"""Which records are there already: what lets an import go on where it stopped."""

from collections.abc import Collection

from django.db import connection

from metadata.names import quote
from metadata.schema import physical_name


def present_ids(tenant_id: int, table: str, ids: Collection[str]) -> set[str]:
    """Return those of the ids that the table has, deleted records included."""
    if not ids:
        return set()
    target = quote(physical_name(tenant_id, table))
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f'SELECT "id" FROM {target} WHERE "id" = ANY(%s)', [list(ids)])
        else:
            cursor.execute(f'SELECT "id" FROM {target} WHERE "id" IN ({", ".join(["%s"] * len(ids))})', list(ids))
        return {row[0] for row in cursor.fetchall()}


class Parents:
    """Knows which parents exist, asking the database once per id."""

    def __init__(self, tenant_id: int, references: dict[str, str]) -> None:
        self._tenant_id = tenant_id
        self._tables = references
        self._there: dict[str, set[str]] = {field: set() for field in references}
        self._missing: dict[str, set[str]] = {field: set() for field in references}

    def null_missing(self, payloads: Collection[dict[str, str]]) -> dict[str, int]:
        """Take references to records that do not exist out of the payloads; return how many, by field."""
        taken = {}
        for field, table in self._tables.items():
            there, missing = self._there[field], self._missing[field]
            asked = {p[field] for p in payloads if field in p} - there - missing
            found = present_ids(self._tenant_id, table, asked)
            there |= found
            missing |= asked - found
            count = 0
            for payload in payloads:
                if payload.get(field) in missing:
                    del payload[field]
                    count += 1
            if count:
                taken[field] = count
        return taken
