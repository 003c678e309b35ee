"""What a device must let go of when it starts over: records its old channel showed it and its new one does not.

Told from the log and the records, nothing is kept per record and device. Named is only what the device was allowed to see:
what it held at `sent`, the end of what it was handed under the old channel, and what left that channel after `confirmed`.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from metadata.access import FULL_CHANNEL, Rules
from metadata.schema import TenantSchema
from sync import models
from sync.channels import channel_log
from sync.channels.channel import Channel
from sync.channels.row_filter_sql import visible
from sync.entities.models import LostRecord, PullState
from sync.errors import LogPruned
from sync.log import changes
from sync.records import rows, sql
from sync.wire.lines import decode_line
from sync.wire.system_tables import SYSTEM_TABLES

Key = tuple[str, str]
_CHUNK: Final = 1000


@dataclass(frozen=True, slots=True)
class RevokedRecord:
    """A record to let go of: the cursor of its last change that its device may know of, and its version then as CBOR clients count."""

    cursor: int
    table: str
    record_id: str
    version: int


@dataclass(slots=True)
class _Walk:
    """What the old channel's log says: `marked` was shown up to `sent`; of what changed later, `held` was there and `new` was not."""

    marked: dict[Key, RevokedRecord] = field(default_factory=dict)
    held: dict[Key, RevokedRecord] = field(default_factory=dict)
    new: set[Key] = field(default_factory=set)

    def take(self, change: Mapping[str, Any], sent: int) -> None:
        if change["table"] in SYSTEM_TABLES:
            return
        key = (change["table"], change["id"])
        lost = RevokedRecord(change["cursor"], *key, change["version"])
        if lost.cursor <= sent:
            self.marked[key] = lost
        elif key not in self.held and key not in self.new:
            # The first change after `sent` tells what was there at `sent`.
            if change["op"] == "insert":
                self.new.add(key)
            else:
                self.held[key] = lost


def lost_to(channel: Channel, state: PullState, schema: TenantSchema) -> list[RevokedRecord]:
    """Return what a device that comes from `state` must let go of under a filtered channel.

    Nothing where the old channel's rules are no longer known: its client lets go of what it is not given again.
    """
    old = _channel_held(channel, state.channel)
    midway = state.confirmed < state.floor
    since, sent = (state.floor if midway else state.confirmed), max(state.sent, state.confirmed)
    if old is None or (old.filtered and _pruned(channel.tenant_id) > sent):
        return []  # what came into the old channel's view after `sent` could not be told from what was there
    # First the records, then the log up to a head that is not older: what changes in between is in the log.
    found = {(one.table, one.record_id): one for one in _carried(state) if midway}
    found.update({(one.table, one.record_id): one for one in _still_there(channel, old, schema, sent)})
    walk = _walked(old, max(since, _pruned(channel.tenant_id)), sent)
    found.update(_before(channel.tenant_id, walk.held))
    found.update(walk.marked)
    return _gone(channel, schema, _with_versions(channel.tenant_id, found, sent))


def _channel_held(channel: Channel, key: str) -> Channel | None:
    if key == FULL_CHANNEL:
        return Channel(channel.tenant_id, channel.tenant, access_version=channel.access_version)
    row = models.Channel.objects.filter(tenant_id=channel.tenant_id, key=key).first()
    if row is None:
        return None
    return replace(channel, key=key, rules=Rules.from_data(row.rules), row_id=row.pk, born_cursor=row.born_cursor)


def _carried(state: PullState) -> Iterator[RevokedRecord]:
    """Yield what the device had to let go of before it started over once more."""
    kept = LostRecord.objects.filter(device_id=state.device_id).values_list(
        "cursor", "table_name", "record_id", "entity_version"
    )
    return (RevokedRecord(*row) for row in kept)


def _still_there(channel: Channel, old: Channel, schema: TenantSchema, sent: int) -> Iterator[RevokedRecord]:
    """Yield the records that the old channel shows and the new one does not, as far as they did not change after `sent`."""
    vendor = _vendor()
    for spec in schema.objects:
        table = rows.table_of(channel.tenant_id, spec)
        shown, values = visible(schema, spec.table_name, old.rules, vendor)
        still, more = visible(schema, spec.table_name, channel.rules, vendor)
        statement = (
            f'SELECT "_cursor", "id", COALESCE("_entity_version", "version") FROM "{table.name}" '
            f'WHERE NOT "_deleted" AND "_cursor" <= %s AND ({shown}) AND CASE WHEN {still} THEN 0 ELSE 1 END = 1'
        )
        for cursor, record_id, version in sql.fetch(statement, [sent, *values, *more]):
            yield RevokedRecord(cursor, spec.table_name, record_id, version)


def _walked(old: Channel, since: int, sent: int) -> _Walk:
    walk = _Walk()
    if since <= sent:
        for change in _changes(old, since):
            walk.take(change, sent)
    return walk


def _changes(old: Channel, since: int) -> Iterator[dict[str, Any]]:
    """Yield the old channel's changes after a cursor, up to the head of now."""
    found = sql.fetch_one("SELECT cursor FROM tenants_tenant WHERE id = %s", [old.tenant_id])
    at, head = since, (found[0] if found else 0)
    while at < head:
        try:
            if old.filtered:
                piece = channel_log.read(old, at, _CHUNK, up_to=head)
                lines, end = [one.line for one in piece.lines], piece.to_cursor
            else:
                part = changes.read(old.tenant_id, at, _CHUNK)
                lines, end = [line for segment in part.segments for line in segment.lines], part.to_cursor
        except LogPruned:
            return
        yield from map(decode_line, lines)
        if end <= at:
            return
        at = end


def _before(tenant_id: int, held: Mapping[Key, RevokedRecord]) -> dict[Key, RevokedRecord]:
    """Return records as they were ahead of a change that the device is not to hear of."""
    found = sql.fetch_in(
        "SELECT cursor, previous FROM changes WHERE tenant_id = %s AND cursor IN",
        [one.cursor for one in held.values()],
        [tenant_id],
    )
    previous = dict(found)
    return {
        key: replace(one, cursor=previous[one.cursor], version=one.version - 1)
        for key, one in held.items()
        if previous.get(one.cursor) is not None
    }


def _with_versions(tenant_id: int, found: Mapping[Key, RevokedRecord], sent: int) -> dict[Key, RevokedRecord]:
    """Return them with the versions that CBOR clients know, where one of them wrote the record."""
    out = dict(found)
    newest: dict[Key, int] = {}
    for table, ids in _by_table(found).items():
        statement = "SELECT record_id, cursor, entity_version FROM v1_changes WHERE tenant_id = %s AND table_name = %s AND cursor <= %s AND record_id IN"
        for record_id, cursor, version in sql.fetch_in(statement, ids, [tenant_id, table, sent]):
            key = (table, record_id)
            if newest.get(key, 0) < cursor <= found[key].cursor:
                newest[key], out[key] = cursor, replace(found[key], version=version)
    return out


def _gone(channel: Channel, schema: TenantSchema, found: Mapping[Key, RevokedRecord]) -> list[RevokedRecord]:
    """Return those that the channel does not show now. What it shows or hides later is told by its log."""
    shown: set[Key] = set()
    for name, ids in _by_table(found).items():
        spec = schema.by_table.get(name)
        if spec is None:
            continue
        table = rows.table_of(channel.tenant_id, spec).name
        condition, values = visible(schema, name, channel.rules, _vendor())
        statement = f'SELECT "id" FROM "{table}" WHERE NOT "_deleted" AND ({condition}) AND "{table}"."id" IN'
        shown.update((name, record_id) for (record_id,) in sql.fetch_in(statement, ids, values))
    return [one for key, one in found.items() if key not in shown]


def _pruned(tenant_id: int) -> int:
    found = sql.fetch_one("SELECT pruned_cursor FROM tenants_tenant WHERE id = %s", [tenant_id])
    return found[0] if found else 0


def _by_table(keys: Iterable[Key]) -> dict[str, list[str]]:
    out: defaultdict[str, list[str]] = defaultdict(list)
    for table, record_id in keys:
        out[table].append(record_id)
    return out


def _vendor() -> str:
    return "postgresql" if sql.postgresql() else "sqlite"
