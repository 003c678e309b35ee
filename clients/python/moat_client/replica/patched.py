"""A record as the user sees it: its base row with the local ops applied in order.

Pure: no I/O, clock, or randomness.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from moat_client.wire.patch import Record, apply_patch


@dataclass(frozen=True, slots=True)
class OverlayOp:
    """The part of an op that changes what the user sees."""

    op: str
    payload: Any


def patched(record_id: str, base: Record | None, ops: Iterable[OverlayOp], columns: Sequence[str]) -> Record | None:
    """Return the record with all ops applied, or None when it is deleted.

    `base` holds wire values. An update of a deleted record shows nothing; `settle` ops change nothing. Keys without a
    column are omitted. The version is the base row's, or 0 for a record the server does not have.
    """
    version = base["version"] if base else 0
    record = base
    for op in ops:
        if op.op == "insert":
            record = dict(op.payload)
        elif op.op == "delete":
            record = None
        elif op.op == "update" and record is not None:
            record = apply_patch(record, op.payload, lenient=True)
    if record is None:
        return None
    return {name: record.get(name) for name in columns} | {"id": record_id, "version": version}
