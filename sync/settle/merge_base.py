"""Rebuild a record at an earlier version, as a device knew it, from the log. Only concurrent edits need this."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sync.settle.merge import NotMergeable, three_way
from sync.wire.lines import decode_line
from sync.wire.patch import PatchFailed, apply_patch


@dataclass(frozen=True, slots=True)
class RecordChange:
    """One change of a record, as the log has it."""

    version: int
    op: str
    payload: Any
    by: str
    at: str | None
    device: str | None

    def fields(self) -> list[str]:
        """Return the fields that the change set; none for a delete."""
        if self.op == "insert":
            return list(self.payload)
        return [step["path"].split("/")[1] for step in self.payload or ()]


def read_change(line: bytes) -> RecordChange:
    """Read a change line."""
    data = decode_line(line)
    return RecordChange(data["version"], data["op"], data["payload"], data["by"], data["at"], data.get("device"))


def device_base(
    device: str | None,
    base_version: int,
    changes: Sequence[RecordChange],
    now: Mapping[str, Any],
    defaults: Mapping[str, Any],
) -> dict[str, Any] | None:
    """Return the record as a device knew it when it made an op: version `base_version` with its own later ops on top.

    `changes` are the record's changes, oldest first, up to now. `now` holds its current values. Returns None if the
    log does not reach back far enough, or if the device's own changes cannot be separated from others'.
    """
    start = next(
        (
            i
            for i in reversed(range(len(changes)))
            if changes[i].op == "insert" and changes[i].version <= max(base_version, 1)
        ),
        None,
    )
    if start is None:
        return None
    record = _first(changes[start:], now, defaults)
    view: dict[str, Any] = record
    for change in changes[start + 1 :]:
        before = record
        try:
            record = _after(record, change)
            if change.version <= base_version:
                view = record
            elif device is not None and change.device == device:
                # Apply the device's own change to its view, without what others changed in between.
                view = three_way(before, record, view)
        except (PatchFailed, NotMergeable):
            return None
    return view


def _first(changes: Sequence[RecordChange], now: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inserted record. A field added to the table later is not in its line and has its default."""
    inserted: Mapping[str, Any] = changes[0].payload
    touched = {name for change in changes[1:] for name in change.fields()}
    record = {name: inserted.get(name, None if name in touched else value) for name, value in now.items()}
    return record | {name: default for name, default in defaults.items() if name in touched and name not in inserted}


def _after(record: dict[str, Any], change: RecordChange) -> dict[str, Any]:
    if change.op == "update":
        return apply_patch(record, change.payload)
    if change.op == "insert":
        return {name: change.payload.get(name) for name in {**record, **change.payload}}
    return record
