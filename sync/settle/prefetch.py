"""Read everything that the ops of a batch can need, with a few statements."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db.models import Q

from metadata.access import Rules, TableRule
from metadata.fieldtypes import InvalidValue
from sync.log import changes
from sync.models import Conflict, PrunedOps
from sync.records import sql
from sync.records.rows import Table
from sync.settle.batch import Batch, DeviceOps
from sync.settle.payloads import valid_id
from sync.settle.row_filter_check import prefetch_hops
from sync.wire import op_check
from sync.wire.ops import Actor, Op

Pushes = Sequence[tuple[Actor, Sequence[Op]]]


def prefetch(batch: Batch, pushes: Pushes) -> None:
    """Load records, reference targets, owners of unique values, earlier results, and conflicts.

    Call `load_devices` first.
    """
    ids: defaultdict[Table, set[str]] = defaultdict(set)
    targets: defaultdict[str, set[str]] = defaultdict(set)
    values: defaultdict[tuple[Table, str], list[Any]] = defaultdict(list)
    conflict_ids: set[str] = set()
    checked: defaultdict[TableRule, set[str]] = defaultdict(set)
    for actor, ops in pushes:
        rules, referenced = batch.rules_of(actor), targets
        if rules is not None:
            referenced = defaultdict(set)
        if actor.device_id is not None and ops and ops[0].op_id <= batch.devices[actor.device_id].highest:
            _load_earlier(batch.devices[actor.device_id], actor.device_id, ops)
        for op in ops:
            if (op if op.checked else op_check.checked(op)).problem is not None:
                continue
            if op.settles is not None:
                conflict_ids.add(op.settles)
            if op.op == "settle":
                conflict_ids.update(conflict_named(op.payload))
            elif (table := batch.table(op.table)) is not None and valid_id(op.id):
                ids[table].add(op.id)
                if rules is not None and (rule := rules.by_table.get(op.table)) is not None:
                    checked[rule].add(op.id)
                if table.watched:
                    _collect(table, op.payload, referenced, values)
        if rules is not None:
            _check_targets(batch, rules, referenced, ids, checked)
    for table, wanted in ids.items():
        batch.load(table, wanted)
    for rule, checked_ids in checked.items():
        if (known := batch.table(rule.table)) is not None:
            prefetch_hops(batch, rule, known, checked_ids)
    for name, wanted in targets.items():
        target = batch.table(name)
        batch.load_targets(name, wanted - (ids[target] if target is not None else set()))
    for (table, field), wanted_values in values.items():
        batch.load_owners(table, field, wanted_values)
    if conflict_ids:
        load_conflicts(batch, conflict_ids)


def _check_targets(
    batch: Batch,
    rules: Rules,
    referenced: Mapping[str, set[str]],
    ids: defaultdict[Table, set[str]],
    checked: defaultdict[TableRule, set[str]],
) -> None:
    """Add the records that a filtered actor refers to: row filters are checked on them as on written records."""
    for name, found in referenced.items():
        rule, table = rules.by_table.get(name), batch.table(name)
        if rule is not None and table is not None:
            ids[table] |= found
            checked[rule] |= found


def conflict_named(payload: Any) -> list[str]:
    """Return the conflict ID that a settle op names, if any."""
    found = payload.get("conflict") if isinstance(payload, dict) else None
    return [found] if isinstance(found, str) else []


def load_conflicts(batch: Batch, names: Iterable[str]) -> None:
    """Read conflicts of the tenant by ID. Invalid IDs are ignored."""
    ids = []
    for name in names:
        try:
            ids.append(UUID(name))
        except ValueError:
            continue
    for conflict in Conflict.objects.filter(tenant_id=batch.tenant_id, id__in=ids):
        batch.conflicts[str(conflict.id)] = conflict


def load_devices(batch: Batch, device_ids: Iterable[str]) -> None:
    """Read the state of the tenant's devices that are not revoked. Others stay unknown."""
    found = sql.fetch_in(
        "SELECT d.id, d.pruned_op_id, (SELECT MAX(c.op_id) FROM changes c WHERE c.device_id = d.id), "
        "(SELECT MAX(k.op_id) FROM sync_conflict k WHERE k.device_id = d.id) "
        "FROM tenants_device d WHERE d.tenant_id = %s AND d.revoked_at IS NULL AND d.id IN",
        sorted(device_ids),
        [batch.tenant_id],
    )
    for device_id, pruned, newest, newest_conflict in found:
        known = (pruned, newest or 0, newest_conflict or 0)
        batch.devices[device_id] = DeviceOps(*known, max(known))


def _load_earlier(state: DeviceOps, device_id: str, ops: Sequence[Op]) -> None:
    """Read which of a device's ops were accepted or are in conflict. A device that sends only new ops costs nothing."""
    logged = [op.op_id for op in ops if op.op_id <= state.newest_op_id]
    if logged:
        state.accepted.update(changes.find_accepted(device_id, logged))
    conflicting = [op.op_id for op in ops if op.op_id <= state.newest_conflict]
    if conflicting:
        for conflict in Conflict.objects.filter(device_id=device_id, op_id__in=conflicting):
            state.in_conflict[conflict.op_id or 0] = conflict
    pruned = [op.op_id for op in ops if op.op_id <= state.pruned_op_id and op.op_id not in state.accepted]
    if pruned:
        state.accepted.update(_pruned(device_id, pruned))


def _pruned(device_id: str, op_ids: Sequence[int]) -> Iterator[tuple[int, tuple[None, int]]]:
    within = Q(device_id=device_id, low__lte=max(op_ids), high__gte=min(op_ids))
    spans = list(PrunedOps.objects.filter(within).values_list("low", "high", "cursor"))
    for op_id in op_ids:
        for low, high, cursor in spans:
            if low <= op_id <= high:
                yield op_id, (None, cursor)


def _collect(
    table: Table, payload: Any, targets: defaultdict[str, set[str]], values: defaultdict[tuple[Table, str], list[Any]]
) -> None:
    """Collect the reference targets and unique values that an op sets directly. Nested patches are read later."""
    for name, value in _named(payload, table.watched):
        if (target := table.watched[name]) is not None:
            if valid_id(value):
                targets[target].add(value)
        elif value is not None:
            try:
                values[table, name].append(table.cleaners[name](value))
            except InvalidValue:
                continue


def _named(payload: Any, watched: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the watched fields that a payload sets, with their values."""
    if type(payload) is dict:
        yield from ((name, value) for name, value in payload.items() if name in watched)
    elif type(payload) is list:
        for step in payload:
            if type(step) is dict and type(path := step.get("path")) is str and path[1:] in watched:
                yield path[1:], step.get("value")
