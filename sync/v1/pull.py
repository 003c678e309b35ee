"""The use-case of `POST /v1/pull` and the event stream: the log after a cursor, as CBOR clients receive it.

Consecutive pages are the channel's log in order, whatever their limits and whatever is written meanwhile. The log may
not reach back to the start: it was pruned, or the channel is filtered and was created later. Then a device restarts
at 0 and receives records, each at the cursor of its last change, up to a floor. From there on it receives the log
(`sync.v1.pull_state`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from heapq import merge
from itertools import islice
from operator import attrgetter
from typing import Any, Final

from metadata.catalog import schema_of
from metadata.schema import TenantSchema
from sync.catchup.plan import read_log
from sync.channels import channel_log
from sync.channels.channel import Channel
from sync.channels.view import condition
from sync.entities.models import LostRecord
from sync.entities.ops import Operation, Page
from sync.errors import AccessChanged, LogPruned
from sync.log.commit import Commit
from sync.records import rows, sql
from sync.records.rows import Row
from sync.settle.stored_documents import body_of, version_of
from sync.v1.conf import v1_settings
from sync.v1.page_documents import PageDocuments, document_view
from sync.v1.pull_state import PRUNED, CursorInvalid, head_of, position_for, record_progress
from sync.wire.lines import decode_line

_CHUNK: Final = 200
_MAX_READ: Final = 20_000


def pull(
    channel: Channel,
    device: str,
    since: int,
    limit: int,
    collections: Sequence[str] | None = None,
    *,
    stream: bool = False,
) -> Page:
    """Return at most `limit` changes after a cursor, of some collections or all, with a few statements.

    With `stream`, the request does not confirm the cursor. Raises `CursorInvalid`, and `AccessChanged` if access
    changed since the channel was chosen. Then nothing that was read may be sent.
    """
    head = head_of(channel.tenant_id)
    state = position_for(channel, device, since, head, stream=stream)
    schema = schema_of(channel.tenant_id, head.schema_version)
    wanted = frozenset(schema.by_table if collections is None else collections) & frozenset(schema.by_table)
    if since < state.floor:
        page = _records(channel, schema, device, wanted, since, state.floor, limit)
    else:
        try:
            page = _log(channel, schema, wanted, since, head.cursor, limit)
        except LogPruned:
            raise CursorInvalid(PRUNED) from None
    if head_of(channel.tenant_id).access_version != channel.access_version:
        raise AccessChanged
    record_progress(channel, state, since, page.next_cursor, has_ops=bool(page.ops), stream=stream)
    return page


def _log(channel: Channel, schema: TenantSchema, wanted: frozenset[str], since: int, up_to: int, limit: int) -> Page:
    """Read the log after a cursor, up to the head that the schema belongs to.

    Changes of tables from a later schema would be skipped for good.
    """
    ops: list[Operation] = []
    at, read, room = since, 0, v1_settings().v1_page_bytes
    while len(ops) < limit and read < _MAX_READ and at < up_to:
        changes, to_cursor = _chunk(channel, at, up_to, max(_CHUNK, limit - len(ops)))
        if to_cursor == at:
            break
        found = [change for change in changes if change["table"] in wanted][: limit - len(ops)]
        documents = PageDocuments(channel, schema, found, room)
        for change in documents.affordable(found, first=not ops):
            ops.append(_operation(change, documents))
            if documents.room < 0:  # the size of a document made from columns is known only now
                break
        room = documents.room
        if len(ops) >= limit or documents.is_full or room < 0:
            return _page(channel, ops, ops[-1].cursor)
        at, read = to_cursor, read + _CHUNK
    return _page(channel, ops, at)


def _chunk(channel: Channel, at: int, up_to: int, limit: int) -> tuple[list[dict[str, Any]], int]:
    """Return changes of the channel after `at`, none after `up_to`, and the cursor up to which they are complete."""
    if channel.filtered:
        chunk = channel_log.read(channel, at, limit, up_to=up_to)
        return [decode_line(one.line) for one in chunk.lines], chunk.to_cursor
    commits = read_log(channel.tenant_id, at, min(limit, up_to - at))
    return list(_changes(commits)), commits[-1].to_cursor if commits else at


def _changes(commits: Iterable[Commit]) -> Iterator[dict[str, Any]]:
    for commit in commits:
        for _, line in commit.lines:
            yield decode_line(line)


def _page(channel: Channel, ops: list[Operation], at: int) -> Page:
    return Page(ops, at, at < head_of(channel.tenant_id).cursor)


def _operation(change: Mapping[str, Any], documents: PageDocuments) -> Operation:
    stored = documents.of(change)
    deletes = change["op"] in ("delete", "evict") or stored.cbor is None
    timestamp = stored.timestamp_ms
    if timestamp is None:
        timestamp = round(datetime.fromisoformat(change["at"]).timestamp() * 1000)
    return Operation(
        change["cursor"],
        change["table"],
        change["id"],
        "delete" if deletes else "upsert",
        stored.version,
        None if deletes else stored.cbor,
        timestamp,
        change.get("device", ""),
        change.get("op_id"),
    )


def _records(
    channel: Channel, schema: TenantSchema, device: str, wanted: frozenset[str], since: int, floor: int, limit: int
) -> Page:
    """Return records whose last change is in (since, floor], and deletes of revoked records."""
    streams: list[Iterable[Row | LostRecord]] = [
        _changed(channel, schema, name, since, floor, limit + 1) for name in sorted(wanted)
    ]
    revoked = LostRecord.objects.filter(device_id=device, cursor__gt=since, cursor__lte=floor, table_name__in=wanted)
    streams.append(revoked.order_by("cursor")[: limit + 1])
    ops: list[Operation] = []
    room = v1_settings().v1_page_bytes
    for one in islice(merge(*streams, key=attrgetter("cursor")), limit + 1):
        op = _delete(one) if isinstance(one, LostRecord) else _record(channel, one)
        room -= len(op.body or b"")
        if len(ops) == limit or (ops and room < 0):
            return Page(ops, ops[-1].cursor, has_more=True)
        ops.append(op)
    return _page(channel, ops, floor)


def _record(channel: Channel, row: Row) -> Operation:
    body = None if row.deleted else document_view(channel, row.table).shown(body_of(row), row.values)
    return Operation(
        row.cursor, row.table.spec.table_name, row.id, "delete" if body is None else "upsert", version_of(row), body, 0
    )


def _delete(revoked: LostRecord) -> Operation:
    return Operation(revoked.cursor, revoked.table_name, revoked.record_id, "delete", revoked.entity_version, None, 0)


def _changed(channel: Channel, schema: TenantSchema, name: str, since: int, floor: int, limit: int) -> Iterator[Row]:
    """Yield records in the order of their last change. Deleted ones are included only if the channel hides nothing."""
    table = rows.table_of(channel.tenant_id, schema.by_table[name])
    visible, values = condition(channel, schema, name, table.vendor)
    live = f'NOT "{table.name}"."_deleted" AND ' if channel.filtered else ""
    statement = (
        f'{table.select} WHERE "_cursor" > %s AND "_cursor" <= %s AND {live}({visible}) ORDER BY "_cursor" LIMIT %s'
    )
    for raw in sql.fetch(statement, [since, floor, *values, limit]):
        yield Row(table, raw)
