"""Read change lines and write op lines (docs/spec/protocol.md §2 and §5).

Pure: no I/O, clock, or randomness.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from moat_client.errors import MalformedMessage
from moat_client.wire.codec import dumps, loads, loads_lines


@dataclass(frozen=True, slots=True)
class ChangeLine:
    """One change of the log."""

    cursor: int
    schema_version: int
    table: str
    id: str
    op: str
    version: int
    payload: Any
    at: str
    by: str | None = None
    device: str | None = None
    op_id: int | None = None
    made_at: str | None = None


@dataclass(frozen=True, slots=True)
class PendingOp:
    """An overlay as it is pushed. `payload` is JSON text, exactly as it is stored."""

    op_id: int
    tx: str | None
    table: str
    record_id: str
    op: str
    base_version: int
    payload: str | None
    at: str
    settles: str | None = None


def decode_change(line: bytes) -> ChangeLine:
    """Read one change line and ignore unknown keys; raise MalformedMessage."""
    try:
        data = loads(line)
        return ChangeLine(**{k: data[k] for k in ChangeLine.__dataclass_fields__ if k in data})
    except (ValueError, TypeError, AttributeError) as problem:
        raise MalformedMessage(f"invalid change line: {problem}") from problem


def decode_changes(lines: Sequence[bytes]) -> list[dict[str, Any]]:
    """Read all lines of a frame at once, without checking their keys; raise MalformedMessage."""
    try:
        return loads_lines(lines)
    except ValueError as problem:
        raise MalformedMessage(f"invalid change line: {problem}") from problem


def encode_op(op: PendingOp) -> bytes:
    """Return an op line without keys that are None."""
    line: dict[str, Any] = {
        "op_id": op.op_id,
        "tx": op.tx,
        "table": op.table,
        "id": op.record_id,
        "op": op.op,
        "base_version": op.base_version,
    }
    line["payload"] = None if op.payload is None else loads(op.payload)
    line |= {"at": op.at, "settles": op.settles}
    return dumps({k: v for k, v in line.items() if v is not None})
