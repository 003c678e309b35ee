"""What a record was at an earlier version, and what a device knew of it: read back from the log, only for contended ops."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sync.settle.merge import NotMergeable, three_way
from sync.wire.lines import decode_line
from sync.wire.patch import PatchFailed, apply_patch


@dataclass(frozen=True, slots=True)
class RecordChange:
    """One change of a record, as the log tells it."""

    version: int
    op: str
    payload: Any
    by: str
    at: str | None
    device: str | None

    def fields(self) -> list[str]:
        """Return the fields it set; none for a delete."""
        if self.op == "insert":
            return list(self.payload)
        return [change["path"].split("/")[1] for change in self.payload or ()]


def step_of(line: bytes) -> RecordChange:
    """Read a change line."""
    data = decode_line(line)
    return RecordChange(data["version"], data["op"], data["payload"], data["by"], data["at"], data.get("device"))


def device_base(
    device: str | None,
    base_version: int,
    steps: Sequence[RecordChange],
    now: Mapping[str, Any],
    defaults: Mapping[str, Any],
) -> dict[str, Any] | None:
    """Return the record as a device knew it when it made an op: version `base_version`, and its own later ops on top.

    `steps` are the record's changes in order, up to now; `now` its present values. None when the log does not reach back
    far enough, or the device's own changes cannot be told apart from others'.
    """
    start = next(
        (
            i
            for i in reversed(range(len(steps)))
            if steps[i].op == "insert" and steps[i].version <= max(base_version, 1)
        ),
        None,
    )
    if start is None:
        return None
    record = _first(steps[start:], now, defaults)
    view: dict[str, Any] = record
    for step in steps[start + 1 :]:
        before = record
        try:
            record = _after(record, step)
            if step.version <= base_version:
                view = record
            elif device is not None and step.device == device:
                # The device's own change, carried over to what it knew without what others had done in between.
                view = three_way(before, record, view)
        except (PatchFailed, NotMergeable):
            return None
    return view


def _first(steps: Sequence[RecordChange], now: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inserted record. A field added to the table later is not in its line: it had its default all along."""
    inserted: Mapping[str, Any] = steps[0].payload
    touched = {name for step in steps[1:] for name in step.fields()}
    record = {name: inserted.get(name, None if name in touched else value) for name, value in now.items()}
    return record | {name: default for name, default in defaults.items() if name in touched and name not in inserted}


def _after(record: dict[str, Any], step: RecordChange) -> dict[str, Any]:
    if step.op == "update":
        return apply_patch(record, step.payload)
    if step.op == "insert":
        return {name: step.payload.get(name) for name in {**record, **step.payload}}
    return record
