"""Resolve conflicts between local and remote edits.

A resolver is a function, sync or async, that receives both sides and returns a decision.

Pure: no I/O, clock, or randomness.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from moat_client.deprecated import old_names
from moat_client.v1.cbor import CborError, decode, encode


@dataclass(frozen=True, slots=True)
class EditConflict:
    """An entity changed here and elsewhere. Bytes are None where it was deleted; `base` is what both started from, None if unknown."""

    collection: str
    id: str
    mine: bytes | None
    theirs: bytes | None
    base: bytes | None
    their_version: int


@dataclass(frozen=True, slots=True)
class Keep:
    """Write these bytes over the server's state (None deletes)."""

    cbor: bytes | None


@dataclass(frozen=True, slots=True)
class Yield:
    """The server's state stands; what was written here is kept in the list of conflicts."""


Decision = Keep | Yield
Resolver = Callable[[EditConflict], Decision | Awaitable[Decision]]


def server_wins(conflict: EditConflict) -> Decision:
    """Take the server's state."""
    return Yield()


def last_write_wins(conflict: EditConflict) -> Decision:
    """Write the local state over the server's: whoever syncs last wins. No clock is asked."""
    return Keep(conflict.mine)


def field_merge(conflict: EditConflict) -> Decision:
    """Merge key by key; where both changed the same key, or one deleted the entity, the server's state stands."""
    sides = [
        _map(each) for each in (conflict.base if conflict.base is not None else b"\xa0", conflict.mine, conflict.theirs)
    ]
    base, mine, theirs = sides
    if base is None or mine is None or theirs is None:
        return Yield()
    merged: dict[str, object] = {}
    for key in {**theirs, **mine}:
        was, ours, others = (encode(side[key]) if key in side else None for side in (base, mine, theirs))
        if ours in (others, was):
            side = theirs
        elif others == was:
            side = mine
        else:
            return Yield()
        if key in side:
            merged[key] = side[key]
    return Keep(encode(merged))


def _map(cbor: bytes | None) -> dict[str, object] | None:
    if cbor is None:
        return None
    try:
        found = decode(cbor)
    except CborError:
        return None
    return found if isinstance(found, dict) else None


BY_NAME: dict[str, Resolver] = {
    "server-wins": server_wins,
    "last-write-wins": last_write_wins,
    "field-merge": field_merge,
}

if TYPE_CHECKING:
    Clash, Outcome = EditConflict, Decision
else:
    _RENAMED = {
        "Clash": ("moat_client.v1.EditConflict", EditConflict),
        "Outcome": ("moat_client.v1.resolvers.Decision", Decision),
    }
    __getattr__ = old_names(__name__, _RENAMED)
