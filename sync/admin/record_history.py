"""The history of one record from the log: who changed what, when, and on which device."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from metadata.schema import ObjectSpec, TenantSchema
from sync.admin.record_cells import Titles, shown
from sync.admin.record_list import label_of, titles_of
from sync.log.history import changes_of
from sync.wire.patch import apply_patch
from tenants.models import Device

SHOWN = 200


@dataclass(frozen=True, slots=True)
class Edit:
    """One field of a change, for display. `known` is False if the log no longer has the old value."""

    label: str
    old: str
    new: str
    known: bool = True


@dataclass(frozen=True, slots=True)
class Event:
    """One change of a record."""

    version: int
    cursor: int
    op: str
    at: datetime
    made_at: datetime | None
    by: str
    device: str
    edits: list[Edit]


def history(tenant_id: int, schema: TenantSchema, spec: ObjectSpec, record_id: str) -> list[Event]:
    """Return a record's newest 200 changes at most, newest first, as far as the log reaches."""
    lines = changes_of(tenant_id, spec, record_id, limit=SHOWN)
    titles = titles_of(tenant_id, schema, _pointed_at(spec, lines))
    names = dict(
        Device.objects.filter(tenant_id=tenant_id, pk__in={d["device"] for d in lines if "device" in d}).values_list(
            "pk", "name"
        )
    )
    return list(_events(spec, lines[::-1], names, titles))[::-1]


def _events(spec: ObjectSpec, lines: list[dict[str, Any]], devices: dict[str, str], titles: Titles) -> Iterator[Event]:
    """Replay the lines, oldest first. The first may be an update of values pruned from the log."""
    before: dict[str, Any] = {}
    whole = False
    for line in lines:
        whole = whole or line["op"] == "insert" or line["version"] == 1
        after = _after(before, line)
        yield Event(
            version=line["version"],
            cursor=line["cursor"],
            op=line["op"],
            at=datetime.fromisoformat(line["at"]),
            made_at=datetime.fromisoformat(line["made_at"]) if "made_at" in line else None,
            by=line["by"],
            device=devices.get(line.get("device", ""), line.get("device", "")),
            edits=[
                Edit(
                    label_of(spec, name),
                    shown(spec, name, before.get(name), titles),
                    shown(spec, name, after.get(name), titles),
                    known=whole or name in before,
                )
                for name in _touched(line, before, after)
            ],
        )
        before = after


def _pointed_at(spec: ObjectSpec, lines: list[dict[str, Any]]) -> dict[str, set[str]]:
    """Return the IDs that these lines put into references, by table."""
    targets = {f.name: f.reference_table for f in spec.fields if f.reference_table}
    wanted: dict[str, set[str]] = {table: set() for table in targets.values()}
    for line in lines:
        payload = line["payload"] or ()
        values = payload if isinstance(payload, dict) else {step["path"][1:]: step.get("value") for step in payload}
        for name, table in targets.items():
            if isinstance(values.get(name), str):
                wanted[table].add(values[name])
    return wanted


def _after(before: dict[str, Any], line: dict[str, Any]) -> dict[str, Any]:
    if line["op"] == "insert":
        return dict(line["payload"])
    if line["op"] != "update":
        return before
    # A patch inside a json value cannot be applied if the value was pruned. Show the patch itself.
    known = [step for step in line["payload"] if step["path"].count("/") == 1 or step["path"].split("/")[1] in before]
    return apply_patch(before, known)


def _touched(line: dict[str, Any], before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    if line["op"] == "insert":
        return [n for n in (*after, *(n for n in before if n not in after)) if before.get(n) != after.get(n)]
    if line["op"] == "update":
        return list(dict.fromkeys(step["path"].split("/")[1] for step in line["payload"]))
    return []
