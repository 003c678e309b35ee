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
    """An entity that was changed here and elsewhere.

    Bytes are None for a deletion. `base` is what both sides started from; None if unknown.
    """

    collection: str
    id: str
    mine: bytes | None
    theirs: bytes | None
    base: bytes | None
    their_version: int


@dataclass(frozen=True, slots=True)
class Keep:
    """Overwrite the server's version with these bytes (None deletes)."""

    cbor: bytes | None


@dataclass(frozen=True, slots=True)
class Yield:
    """Accept the server's version; the local edit stays in the list of conflicts."""


Decision = Keep | Yield
Resolver = Callable[[EditConflict], Decision | Awaitable[Decision]]


def server_wins(conflict: EditConflict) -> Decision:
    """Accept the server's version."""
    return Yield()


def last_write_wins(conflict: EditConflict) -> Decision:
    """Overwrite the server's version: the last device to sync wins, regardless of clocks."""
    return Keep(conflict.mine)


def field_merge(conflict: EditConflict) -> Decision:
    """Merge key by key; accept the server's version if both changed the same key or one side deleted the entity."""
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
