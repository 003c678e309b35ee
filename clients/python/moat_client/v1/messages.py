"""Responses of a SyncProtocol v1 server, checked before any of them is used.

Pure: no I/O, clock, or randomness.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from moat_client.errors import MalformedMessage


@dataclass(frozen=True, slots=True)
class Operation:
    """A change of the log. `cbor` is None for a delete; `source` is the writer's op number, if the server sends it."""

    collection: str
    id: str
    version: int
    cbor: bytes | None
    device: str
    source: int | None


@dataclass(frozen=True, slots=True)
class Page:
    """Changes after a cursor, and the cursor of the next page."""

    ops: tuple[Operation, ...]
    next_cursor: int
    has_more: bool


@dataclass(frozen=True, slots=True)
class Pushed:
    """The result of a push: the highest decided op, and by op the server's state (version, bytes) that won."""

    acknowledged: int
    lost: Mapping[int, tuple[int, bytes | None]]


def last_op_id(answer: Mapping[str, Any]) -> int:
    """Return the highest op of this device the server ever accepted, from a handshake response; 0 if unknown."""
    return _whole(answer, "lastOpId") if "lastOpId" in answer else 0


def page(answer: Mapping[str, Any], cursor: int) -> Page:
    """Read the response to a pull at `cursor`; raise `MalformedMessage`, also for pages that would never end."""
    found = Page(
        tuple(_operation(op) for op in _maps(answer, "ops")), _whole(answer, "nextCursor"), bool(answer.get("hasMore"))
    )
    if found.next_cursor < cursor or (found.has_more and found.next_cursor == cursor):
        raise MalformedMessage(f"Invalid page: the cursor moved from {cursor} to {found.next_cursor}.")
    return found


def pushed(answer: Mapping[str, Any]) -> Pushed:
    """Read the response to a push; raise `MalformedMessage`."""
    lost = {}
    for conflict in _maps(answer, "conflicts"):
        state = _map(conflict, "serverState")
        # The protocol has no null here. Servers that omit `deleted` mark a deletion by empty bytes, which a record
        # may have too.
        cbor = _bytes(state)
        is_deleted = bool(state.get("deleted", not cbor))
        lost[_whole(_map(conflict, "clientOp"), "opId")] = (
            _whole(state, "entityVersion"),
            None if is_deleted else cbor,
        )
    return Pushed(_whole(answer, "acknowledgedUpToOpId"), lost)


def _operation(op: Mapping[str, Any]) -> Operation:
    cbor = None if _text(op, "opType").lower() == "delete" else _bytes(op)
    source = _whole(op, "sourceOpId") if "sourceOpId" in op else None
    return Operation(
        _text(op, "collection"),
        _text(op, "entityId"),
        _whole(op, "entityVersion"),
        cbor,
        str(op.get("deviceId")),
        source,
    )


def _maps(answer: Mapping[str, Any], key: str) -> Sequence[Mapping[str, Any]]:
    found = answer.get(key)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise _bad(key)
    return found


def _map(answer: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = answer.get(key)
    if not isinstance(found, dict):
        raise _bad(key)
    return found


def _text(answer: Mapping[str, Any], key: str) -> str:
    found = answer.get(key)
    if not isinstance(found, str):
        raise _bad(key)
    return found


def _whole(answer: Mapping[str, Any], key: str) -> int:
    found = answer.get(key)
    if isinstance(found, float) and found.is_integer():
        found = int(found)
    if type(found) is not int:
        raise _bad(key)
    return found


def _bytes(answer: Mapping[str, Any]) -> bytes:
    found = answer.get("entityCbor")
    if found is not None and not isinstance(found, bytes):
        raise _bad("entityCbor")
    return found or b""


def _bad(key: str) -> MalformedMessage:
    return MalformedMessage(f"The server's response has no valid {key}.")
