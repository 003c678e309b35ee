"""Choose the screen layout of a record.

Pure: no I/O, clock, or randomness.
"""

from collections.abc import Iterable
from typing import Any

from moat_client.wire.patch import Record

_ANY = "*"


def resolve_layout(
    layouts: Iterable[Record], object_name: str, object_type: str | None, status: str | None
) -> Record | None:
    """Return the most specific matching layout; a subtype outweighs a status, and the lowest ID breaks ties."""
    wanted = (object_name, object_type, status)
    fitting = [
        layout
        for layout in layouts
        if all(_fits(layout, name, value) for name, value in zip(_KEYS, wanted, strict=True))
    ]
    return min(fitting, key=_rank, default=None)


_KEYS = ("object_name", "object_type", "status")


def _fits(layout: Record, key: str, value: Any) -> bool:
    return layout.get(key) in (_ANY, None, "") or layout.get(key) == value


def _rank(layout: Record) -> tuple[int, str]:
    weights = {"object_name": 4, "object_type": 2, "status": 1}
    return -sum(w for key, w in weights.items() if layout.get(key) not in (_ANY, None, "")), str(layout["id"])
