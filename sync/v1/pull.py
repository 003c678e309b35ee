"""The use-case behind `POST /v1/pull` and the event stream: the log after a cursor, as a CBOR client is told it.

Pages that follow each other are the whole log in order, whatever their limits and whoever writes meanwhile. Where the log was
pruned a device begins again at 0 and is given records, each at the cursor of its last change, up to the floor that was the
log's start then; from there on the log (`DeviceState`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import merge
from itertools import islice
from operator import attrgetter
from typing import Any, Final

from metadata.catalog import schema_of
from metadata.schema import TenantSchema
from sync import rows, sql
from sync.catch_up import read_log
from sync.channels import Channel
from sync.commits import Commit
from sync.errors import AccessMoved, LogPruned
from sync.lines import decode_line
from sync.rows import Row
from sync.settle.bodies import body_of, version_of
from sync.v1.bodies import Bodies
from sync.v1.conf import v1_knobs
from sync.v1.models import DeviceState
from sync.v1.ops import Operation, Page

_CHUNK: Final = 200
_MOST_READ: Final = 20_000


class CursorInvalid(Exception):
    """The log does not reach back to the cursor, or ends before it. The client begins again at 0."""


@dataclass(frozen=True, slots=True)
class Head:
    """A tenant's counters, as a pull needs them."""

    cursor: int
    pruned: int
    schema_version: int


def head_of(tenant_id: int) -> Head:
    """Read where a tenant's log begins and ends."""
    found = sql.fetch_one("SELECT cursor, pruned_cursor, schema_version FROM tenants_tenant WHERE id = %s", [tenant_id])
    return Head(*found) if found else Head(0, 0, 0)


def pull(channel: Channel, device: str, since: int, limit: int, collections: Sequence[str] | None = None) -> Page:
    """Return at most `limit` changes after a cursor, of some collections or all. Reads in a few statements.

    Raises `CursorInvalid`, and `AccessMoved` when rights changed since the channel was chosen: what was read is not to be shown.
    """
    page = _page_after(channel, device, since, limit, collections)
    if _access_version(channel.tenant_id) != channel.access_version:
        raise AccessMoved
    return page


def _access_version(tenant_id: int) -> int:
    found = sql.fetch_one("SELECT access_version FROM tenants_tenant WHERE id = %s", [tenant_id])
    return found[0] if found else -1


def _page_after(channel: Channel, device: str, since: int, limit: int, collections: Sequence[str] | None) -> Page:
    head = head_of(channel.tenant_id)
    schema = schema_of(channel.tenant_id, head.schema_version)
    wanted = frozenset(schema.by_table if collections is None else collections) & frozenset(schema.by_table)
    if since > head.cursor:
        raise CursorInvalid(f"The log ends at {head.cursor}.")
    floor = _floor(channel, device, since, head)
    if since < floor:
        return _records(channel, schema, wanted, since, floor, limit)
    try:
        return _log(channel, schema, wanted, since, limit)
    except LogPruned:
        raise CursorInvalid("The log was pruned past this cursor.") from None


def _floor(channel: Channel, device: str, since: int, head: Head) -> int:
    """Return up to which cursor the device is given records instead of the log; 0 when the log will do."""
    if since >= head.pruned:
        return 0
    if since == 0:
        DeviceState.objects.update_or_create(device_id=device, defaults={"floor": head.pruned, "channel": channel.key})
        return head.pruned
    known = DeviceState.objects.filter(device_id=device, channel=channel.key).values_list("floor", flat=True).first() or 0
    if since >= known:
        raise CursorInvalid("The log was pruned past this cursor.")
    return known


def _log(channel: Channel, schema: TenantSchema, wanted: frozenset[str], since: int, limit: int) -> Page:
    ops: list[Operation] = []
    at, room = since, v1_knobs().v1_page_bytes
    while len(ops) < limit and at - since < _MOST_READ:
        commits = read_log(channel.tenant_id, at, max(_CHUNK, limit - len(ops)))
        if not commits:
            break
        found = [change for change in _changes(commits) if change["table"] in wanted][: limit - len(ops)]
        bodies = Bodies(channel, schema, found, room)
        ops += [_operation(change, bodies) for change in bodies.affordable(found, first=not ops)]
        room = bodies.room
        if len(ops) >= limit or bodies.is_full:
            return _page(channel, ops, ops[-1].cursor)
        at = commits[-1].to_cursor
    return _page(channel, ops, at)


def _changes(commits: Iterable[Commit]) -> Iterator[dict[str, Any]]:
    for commit in commits:
        for _, line in commit.lines:
            yield decode_line(line)


def _page(channel: Channel, ops: list[Operation], at: int) -> Page:
    return Page(ops, at, at < head_of(channel.tenant_id).cursor)


def _operation(change: Mapping[str, Any], bodies: Bodies) -> Operation:
    body = bodies.of(change)
    deletes = change["op"] in ("delete", "evict") or body.cbor is None
    moment = body.timestamp_ms
    if moment is None:
        moment = round(datetime.fromisoformat(change["at"]).timestamp() * 1000)
    return Operation(
        change["cursor"],
        change["table"],
        change["id"],
        "delete" if deletes else "upsert",
        body.version,
        None if deletes else body.cbor,
        moment,
        change.get("device", ""),
        change.get("op_id"),
    )


def _records(channel: Channel, schema: TenantSchema, wanted: frozenset[str], since: int, floor: int, limit: int) -> Page:
    """Return records that changed last in (since, floor], tombstones too: a device that starts over may hold what is gone."""
    streams = [_changed(channel, schema, name, since, floor, limit + 1) for name in sorted(wanted)]
    ops: list[Operation] = []
    room = v1_knobs().v1_page_bytes
    for row in islice(merge(*streams, key=attrgetter("cursor")), limit + 1):
        body = None if row.deleted else body_of(row)
        room -= len(body or b"")
        if len(ops) == limit or (ops and room < 0):
            return Page(ops, ops[-1].cursor, has_more=True)
        verb = "delete" if body is None else "upsert"
        ops.append(Operation(row.cursor, row.table.spec.table_name, row.id, verb, version_of(row), body, 0))  # type: ignore[arg-type]
    return _page(channel, ops, floor)


def _changed(channel: Channel, schema: TenantSchema, name: str, since: int, floor: int, limit: int) -> Iterator[Row]:
    table = rows.table_of(channel.tenant_id, schema.by_table[name])
    statement = f'{table.select} WHERE "_cursor" > %s AND "_cursor" <= %s ORDER BY "_cursor" LIMIT %s'
    for raw in sql.fetch(statement, [since, floor, limit]):
        yield Row(table, raw)
