"""Prune the log: delete old changes that no active device needs, and clear old tombstones.

It runs in short transactions during normal operation. The change at `pruned_cursor` itself stays, because it anchors
the chain.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter

from django.db.models import Min
from django.db.models.functions import Coalesce
from django.utils import timezone

from metadata.catalog import published_types
from metadata.schema import ObjectSpec, physical_name
from sync.channels import upkeep
from sync.conf import engine_settings
from sync.models import Change, PrunedOps
from sync.records import sql
from sync.records.rows import RECORD_FIELDS
from tenants.locks import LockedTenant, tenant_transaction
from tenants.models import Device, Tenant


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a prune deleted, or with `dry_run` would delete.

    `floor` is the new pruning cursor; `changes` and `tombstones` count deleted changes and cleared tombstones.
    """

    floor: int
    changes: int
    tombstones: int


def prune(tenant_id: int, keep_days: int, keep_changes: int = 0, *, dry_run: bool = False) -> Pruned:
    """Delete changes that are older than `keep_days` and not among the newest `keep_changes`.

    Changes that a device has not confirmed stay if it was seen within `keep_days` and is not revoked. A device that was
    away for longer catches up by rows and keeps its pending edits. Ops of deleted changes are still recognized as
    duplicates.
    """
    tenant = Tenant.objects.get(pk=tenant_id)
    floor = _floor(tenant, timezone.now() - timedelta(days=keep_days), keep_changes)
    specs = [ObjectSpec.from_record(row.object_name, row.published or {}) for row in published_types(tenant_id)]
    if dry_run:
        tombstones = sum(_count_tombstones(tenant_id, spec, floor) for spec in specs)
        return Pruned(floor, Change.objects.filter(tenant_id=tenant_id, cursor__lt=floor).count(), tombstones)
    upkeep.retire_outdated(tenant_id)
    deleted = sum(_delete_changes(tenant_id, floor))
    upkeep.delete_sides_and_routes(tenant_id, floor)
    cleared = sum(count for spec in specs for count in _clear_tombstones(tenant_id, spec, floor))
    return Pruned(floor, deleted, cleared)


def _floor(tenant: Tenant, cutoff: datetime, keep_changes: int) -> int:
    """Return the cursor up to which changes may be deleted; never below the current `pruned_cursor`."""
    kept = Change.objects.filter(tenant_id=tenant.pk, at__gte=cutoff, cursor__gt=tenant.pruned_cursor)
    first_kept = kept.order_by("cursor").values_list("cursor", flat=True).first()
    # A device at cursor 0 starts from a snapshot and needs no log.
    live = Device.objects.filter(tenant_id=tenant.pk, revoked_at=None, last_cursor__gt=0).annotate(
        seen=Coalesce("last_seen_at", "created_at")
    )
    needed = live.filter(seen__gte=cutoff).aggregate(least=Min("last_cursor"))["least"]
    limits = [tenant.cursor - keep_changes, tenant.cursor if first_kept is None else first_kept - 1]
    if needed is not None:
        limits.append(needed)
    return max(tenant.pruned_cursor, min(limits))


def _delete_changes(tenant_id: int, floor: int) -> Iterator[int]:
    """Delete changes below the floor in chunks, and yield the size of each chunk."""
    while True:
        with tenant_transaction(tenant_id) as locked:
            upto = min(floor, locked.pruned_cursor + engine_settings().prune_chunk)
            if upto <= locked.pruned_cursor:
                return
            _remember_ops(locked, upto)
            sql.run("DELETE FROM v1_changes WHERE tenant_id = %s AND cursor < %s", [tenant_id, upto])
            upkeep.checkpoint_all(locked, upto)
            deleted = sql.run("DELETE FROM changes WHERE tenant_id = %s AND cursor < %s", [tenant_id, upto])
            locked.pruned_cursor = upto
        yield deleted


def _remember_ops(locked: LockedTenant, upto: int) -> None:
    """Keep the op_ids of the changes about to be deleted, as spans per device."""
    ops = sql.fetch(
        "SELECT device_id, op_id FROM changes "
        "WHERE tenant_id = %s AND cursor < %s AND device_id IS NOT NULL ORDER BY device_id, op_id",
        [locked.id, upto],
    )
    known = set(Device.objects.filter(tenant_id=locked.id).values_list("pk", flat=True))
    for device_id, rows in groupby(ops, key=itemgetter(0)):
        if device_id not in known:
            continue
        high = 0
        for low, high in spans(op_id for _, op_id in rows):
            grown = PrunedOps.objects.filter(device_id=device_id, high=low - 1).update(high=high, cursor=upto)
            if not grown:
                PrunedOps.objects.create(device_id=device_id, low=low, high=high, cursor=upto)
        Device.objects.filter(pk=device_id, pruned_op_id__lt=high).update(pruned_op_id=high)


def spans(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield (low, high) of each run of consecutive numbers. The numbers must be increasing."""
    low = high = None
    for number in numbers:
        if low is None or high is None:
            low = high = number
        elif number == high + 1:
            high = number
        else:
            yield low, high
            low = high = number
    if low is not None and high is not None:
        yield low, high


# An empty `_versions` marks a tombstone that is already cleared.
_FULL = """ "_deleted" AND "_cursor" <= %s AND "_versions" <> '{}' """


def _count_tombstones(tenant_id: int, spec: ObjectSpec, floor: int) -> int:
    row = sql.fetch_one(f'SELECT COUNT(*) FROM "{physical_name(tenant_id, spec.table_name)}" WHERE {_FULL}', [floor])
    return int(row[0]) if row else 0


def _clear_tombstones(tenant_id: int, spec: ObjectSpec, floor: int) -> Iterator[int]:
    """Clear the values of tombstones that every active device has seen, and yield the size of each chunk.

    ID, version, and cursor stay, so that devices that return late still learn of the deletion.
    """
    name = physical_name(tenant_id, spec.table_name)
    cleared = ", ".join(
        f'"{column}" = NULL' for column in (*RECORD_FIELDS, "_entity_cbor", *(field.name for field in spec.fields))
    )
    some = f'SELECT "id" FROM "{name}" WHERE {_FULL} LIMIT %s'
    chunk = engine_settings().prune_chunk
    while True:
        with tenant_transaction(tenant_id):
            count = sql.run(
                f"""UPDATE "{name}" SET {cleared}, "_versions" = '{{}}' WHERE "id" IN ({some})""", [floor, chunk]
            )
        yield count
        if count < chunk:
            return
