"""What the user may see and do, as the server last reported; for drawing screens. Only the server decides.

Pure: no I/O, clock, or randomness.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moat_client.wire.canonical import canonical_json

ACCESS = "access"
"""The key in `device_state` that holds it."""
SYSTEM_FIELDS = ("object_type", "status")


@dataclass(frozen=True, slots=True)
class Rights:
    """The rights on one table. None as `readable` or `writable` means every field."""

    create: bool = True
    update: bool = True
    delete: bool = True
    readable: frozenset[str] | None = None
    writable: frozenset[str] | None = None
    rows: tuple[tuple[str, tuple[Any, ...]], ...] = ()

    def can_read(self, field: str) -> bool:
        """Return whether the field is shown to this user."""
        return self.readable is None or field in self.readable or field in SYSTEM_FIELDS

    def can_write(self, field: str) -> bool:
        """Return whether the server would accept a change of the field."""
        return self.update and self._may_hold(field)

    def can_fill(self, field: str) -> bool:
        """Return whether a new record may set the field; its default is always allowed."""
        return self.create and self._may_hold(field)

    def would_keep(self, record: Mapping[str, Any]) -> bool:
        """Return whether a record with these values would stay visible, judged by its own fields."""
        return all(
            canonical_json(record[key]) in map(canonical_json, allowed) for key, allowed in self.rows if key in record
        )

    def _may_hold(self, field: str) -> bool:
        return self.can_read(field) and (self.writable is None or field in self.writable)


NOTHING = Rights(create=False, update=False, delete=False, readable=frozenset(), writable=frozenset())


def rights_of(access: Mapping[str, Any] | None, table: str) -> Rights:
    """Return the rights on a table as the server reported them.

    No rules at all mean full access; a table without a rule has none.
    """
    rules = (access or {}).get("rules")
    if not isinstance(rules, list):
        return Rights()
    rule = next((r for r in rules if r.get("table") == table), None)
    if rule is None:
        return NOTHING
    verbs = rule.get("verbs") or ()
    return Rights(
        create="create" in verbs,
        update="update" in verbs,
        delete="delete" in verbs,
        readable=_names(rule.get("readable")),
        writable=_names(rule.get("writable")),
        rows=tuple((str(key), tuple(values)) for key, values in rule.get("rows") or ()),
    )


def _names(value: Any) -> frozenset[str] | None:
    return None if value is None else frozenset(map(str, value))
