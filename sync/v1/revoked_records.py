"""Find records a restarting device must delete: visible before, hidden now.

They are computed from the log and the records; nothing is stored per record and device. The result names only records
that the device was allowed to see: those it held at `sent`, the end of what it was sent under the old channel, and
those that left that channel after `confirmed`.
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
from tenants.rows import read_tenant

Key = tuple[str, str]
_CHUNK: Final = 1000


@dataclass(frozen=True, slots=True)
class RevokedRecord:
    """A record to delete: the cursor of the last change its device may know of, and its CBOR version there."""

    cursor: int
    table: str
    record_id: str
    version: int


@dataclass(slots=True)
class _Walk:
    """Records in the old channel's log.

    `shown` changed up to `sent`. Of those changed later, `held` existed at `sent` and `new` did not.
    """

    shown: dict[Key, RevokedRecord] = field(default_factory=dict)
    held: dict[Key, RevokedRecord] = field(default_factory=dict)
    new: set[Key] = field(default_factory=set)

    def add(self, change: Mapping[str, Any], sent: int) -> None:
        if change["table"] in SYSTEM_TABLES:
            return
        key = (change["table"], change["id"])
        record = RevokedRecord(change["cursor"], *key, change["version"])
        if record.cursor <= sent:
            self.shown[key] = record
        elif key not in self.held and key not in self.new:
            # The first change after `sent` shows whether the record existed at `sent`.
            if change["op"] == "insert":
                self.new.add(key)
            else:
                self.held[key] = record


def revoked_records(channel: Channel, state: PullState, schema: TenantSchema) -> list[RevokedRecord]:
    """Return the records that a device in `state` must delete when it restarts on a filtered channel.

    The result is empty if the old channel's rules are no longer known. Then the client deletes what it does not receive
    again.
    """
    old = _channel_held(channel, state.channel)
    midway = state.confirmed < state.floor
    since, sent = (state.floor if midway else state.confirmed), max(state.sent, state.confirmed)
    if old is None or (old.filtered and _pruned(channel.tenant_id) > sent):
        return []  # records that entered the old channel after `sent` cannot be separated from earlier ones
    # Read the records first, then the log up to the current head, so that changes made in between are in the log.
    found = {(one.table, one.record_id): one for one in _from_last_restart(state) if midway}
    found.update({(one.table, one.record_id): one for one in _unchanged(channel, old, schema, sent)})
    walk = _walk_log(old, max(since, _pruned(channel.tenant_id)), sent)
    found.update(_before(channel.tenant_id, walk.held))
    found.update(walk.shown)
    return _hidden(channel, schema, _with_versions(channel.tenant_id, found, sent))


def _channel_held(channel: Channel, key: str) -> Channel | None:
    if key == FULL_CHANNEL:
        return Channel(channel.tenant_id, channel.tenant, access_version=channel.access_version)
    row = models.Channel.objects.filter(tenant_id=channel.tenant_id, key=key).first()
    if row is None:
        return None
    return replace(channel, key=key, rules=Rules.from_data(row.rules), row_id=row.pk, born_cursor=row.born_cursor)


def _from_last_restart(state: PullState) -> Iterator[RevokedRecord]:
    """Yield the records that the device still had to delete after its previous restart."""
    stored = LostRecord.objects.filter(device_id=state.device_id).values_list(
        "cursor", "table_name", "record_id", "entity_version"
    )
    return (RevokedRecord(*row) for row in stored)


def _unchanged(channel: Channel, old: Channel, schema: TenantSchema, sent: int) -> Iterator[RevokedRecord]:
    """Yield the records, unchanged since `sent`, that the old channel shows and the new one hides."""
    vendor = _vendor()
    for spec in schema.objects:
        table = rows.table_of(channel.tenant_id, spec)
        before, before_values = visible(schema, spec.table_name, old.rules, vendor)
        now, now_values = visible(schema, spec.table_name, channel.rules, vendor)
        statement = (
            f'SELECT "_cursor", "id", COALESCE("_entity_version", "version") FROM "{table.name}" '
            f'WHERE NOT "_deleted" AND "_cursor" <= %s AND ({before}) AND CASE WHEN {now} THEN 0 ELSE 1 END = 1'
        )
        for cursor, record_id, version in sql.fetch(statement, [sent, *before_values, *now_values]):
            yield RevokedRecord(cursor, spec.table_name, record_id, version)


def _walk_log(old: Channel, since: int, sent: int) -> _Walk:
    walk = _Walk()
    if since <= sent:
        for change in _changes(old, since):
            walk.add(change, sent)
    return walk


def _changes(old: Channel, since: int) -> Iterator[dict[str, Any]]:
    """Yield the old channel's changes after a cursor, up to the current head."""
    tenant = read_tenant(old.tenant_id, using=sql.fetch)
    at, head = since, (tenant.cursor if tenant else 0)
    while at < head:
        try:
            if old.filtered:
                filtered = channel_log.read(old, at, _CHUNK, up_to=head)
                lines, end = [one.line for one in filtered.lines], filtered.to_cursor
            else:
                chunk = changes.read(old.tenant_id, at, _CHUNK)
                lines, end = [line for segment in chunk.segments for line in segment.lines], chunk.to_cursor
        except LogPruned:
            return
        yield from map(decode_line, lines)
        if end <= at:
            return
        at = end


def _before(tenant_id: int, held: Mapping[Key, RevokedRecord]) -> dict[Key, RevokedRecord]:
    """Return records as they were before a change that the device must not receive."""
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
    """Return the records with their CBOR versions, if a CBOR client wrote them."""
    out = dict(found)
    newest: dict[Key, int] = {}
    for table, ids in _by_table(found).items():
        statement = (
            "SELECT record_id, cursor, entity_version FROM v1_changes "
            "WHERE tenant_id = %s AND table_name = %s AND cursor <= %s AND record_id IN"
        )
        for record_id, cursor, version in sql.fetch_in(statement, ids, [tenant_id, table, sent]):
            key = (table, record_id)
            if newest.get(key, 0) < cursor <= found[key].cursor:
                newest[key], out[key] = cursor, replace(found[key], version=version)
    return out


def _hidden(channel: Channel, schema: TenantSchema, found: Mapping[Key, RevokedRecord]) -> list[RevokedRecord]:
    """Return the records that the channel does not show now. Later changes are in its log."""
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
    tenant = read_tenant(tenant_id, using=sql.fetch)
    return tenant.pruned_cursor if tenant else 0


def _by_table(keys: Iterable[Key]) -> dict[str, list[str]]:
    out: defaultdict[str, list[str]] = defaultdict(list)
    for table, record_id in keys:
        out[table].append(record_id)
    return out


def _vendor() -> str:
    return "postgresql" if sql.postgresql() else "sqlite"
