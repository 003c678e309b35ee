"""References to missing records, which an import can leave empty."""

from collections.abc import Collection, Mapping
from typing import Any

from metadata.schema import ObjectSpec
from sync.records.rows import existing_ids


class Parents:
    """Knows which parents exist, querying each ID once. `targets` are the object types by field."""

    def __init__(self, tenant_id: int, targets: Mapping[str, ObjectSpec]) -> None:
        self._tenant_id = tenant_id
        self._targets = targets
        self._there: dict[str, set[str]] = {field: set() for field in targets}
        self._missing: dict[str, set[str]] = {field: set() for field in targets}

    def null_missing(self, payloads: Collection[dict[str, Any]]) -> dict[str, int]:
        """Remove references to missing records from the payloads. Return the number by field."""
        return {
            field: count for field, spec in self._targets.items() if (count := self._null_field(field, spec, payloads))
        }

    def _null_field(self, field: str, spec: ObjectSpec, payloads: Collection[dict[str, Any]]) -> int:
        there, missing = self._there[field], self._missing[field]
        asked = {p[field] for p in payloads if field in p} - there - missing
        found = existing_ids(self._tenant_id, spec.table_name, sorted(asked))
        there |= found
        missing |= asked - found
        orphans = [p for p in payloads if p.get(field) in missing]
        for payload in orphans:
            del payload[field]
        return len(orphans)
