"""Pure: choose the layout of a record. Most specific first: subtype and status, subtype, status, any."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

ANY = "*"


class Bound(Protocol):
    """Anything bound to an object type, a subtype, and a status, where `*` matches any."""

    @property
    def object_name(self) -> str:
        """The object type, never a wildcard."""

    @property
    def object_type(self) -> str:
        """A subtype or `*`."""

    @property
    def status(self) -> str:
        """A status or `*`."""


L = TypeVar("L", bound=Bound)


def rank(layout: Bound, object_type: str | None, status: str | None) -> int | None:
    """Return how specifically a layout matches: 3 both, 2 subtype, 1 status, 0 any; None if it does not match."""
    if layout.object_type not in (ANY, object_type) or layout.status not in (ANY, status):
        return None
    return 2 * (layout.object_type != ANY) + (layout.status != ANY)


def resolve(
    layouts: Iterable[L], object_name: str, *, object_type: str | None = None, status: str | None = None
) -> L | None:
    """Return the most specific layout for a record, or None. A record without a subtype matches only `*`."""
    best: L | None = None
    best_rank = -1
    for layout in layouts:
        if layout.object_name != object_name:
            continue
        found = rank(layout, object_type, status)
        if found is not None and found > best_rank:
            best, best_rank = layout, found
    return best
