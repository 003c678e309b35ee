"""Pull state of each v1 device: channel, cursors, and revoked records to delete.

A device that starts at 0 receives what its channel shows, then the channel's log. Meanwhile it also receives deletes
of the records it holds from before but may no longer see (`sync.v1.revoked_records`).
"""

from collections.abc import Sequence
from typing import Final

from django.db import transaction

from metadata.catalog import schema_of
from sync.channels.channel import Channel
from sync.entities.models import LostRecord, PullState
from sync.errors import AccessChanged, SyncError
from sync.records import sql
from sync.v1.revoked_records import RevokedRecord, revoked_records
from sync.wire.codes import Code
from tenants.locks import lock_tenant
from tenants.models import Device
from tenants.rows import TenantRow, read_tenant

PRUNED: Final = "The log has been pruned past this cursor."
_ACCESS_CHANGED: Final = "This device's access has changed."
_COLUMNS: Final = (
    sql.Column("device_id", "text"),
    sql.Column("cursor", "bigint"),
    sql.Column("table_name", "text"),
    sql.Column("record_id", "text"),
    sql.Column("entity_version", "bigint"),
)
_BATCH_ROWS: Final = 10_000
"""Rows per statement. A device can have as many revoked records as its tenant has records."""


class CursorInvalid(Exception):
    """A device cannot continue from its cursor and restarts at 0.

    The log was pruned past the cursor, ends before it, or is now the log of another channel.
    """


def head_of(tenant_id: int) -> TenantRow:
    """Read the tenant's counters. Raises SyncError `forbidden` if the tenant no longer exists."""
    found = read_tenant(tenant_id, using=sql.fetch)
    if found is None:
        raise SyncError(Code.FORBIDDEN, "This tenant no longer exists.")
    return found


def resume_at(channel: Channel, device: str) -> int:
    """Return the cursor from which a device continues; 0 if it has to restart."""
    state = _state_of(device)
    if state is None and channel.filtered:
        return 0
    if state is not None and state.channel != channel.key:
        return 0
    return Device.objects.values_list("last_cursor", flat=True).get(pk=device)


def position_for(channel: Channel, device: str, since: int, head: TenantRow, *, stream: bool) -> PullState:
    """Return the state of a device that requests the changes after `since`.

    A stream follows a device that pulls, so on a filtered channel it cannot start at 0. Raises `CursorInvalid` and
    `AccessChanged`.
    """
    if since > head.cursor:
        raise CursorInvalid(f"The cursor is past the end of the log ({head.cursor}).")
    if since == 0 and not (stream and channel.filtered):
        return _restart(channel, device, head)
    state = _state_of(device)
    if state is None and not channel.filtered:
        return PullState(device_id=device, channel=channel.key, confirmed=since, sent=since)
    if state is None or state.channel != channel.key:
        raise CursorInvalid(_ACCESS_CHANGED)
    _require_reach(channel, state, since, head, stream=stream)
    return state


def _require_reach(channel: Channel, state: PullState, since: int, head: TenantRow, *, stream: bool) -> None:
    if channel.filtered and since < state.floor:
        # During the backfill only the next page or the same one again is valid: any other cursor would leave a gap.
        if stream or state.confirmed >= state.floor or since not in (state.confirmed, state.paged):
            raise CursorInvalid("This cursor predates the device's restart from 0.")
    elif channel.filtered and since < channel.born_cursor:
        raise CursorInvalid("This cursor predates the device's channel.")
    elif since < head.pruned_cursor and since >= state.floor:
        raise CursorInvalid(PRUNED)


def record_progress(
    channel: Channel, state: PullState, since: int, page_end: int, *, has_ops: bool, stream: bool
) -> None:
    """Store what a device has confirmed and is about to receive, if that changed. Each write waits for the writers.

    Raises `CursorInvalid` if the device restarted meanwhile.
    """
    known = PullState.objects.filter(device_id=state.device_id, channel=channel.key)
    if state._state.adding:  # the device sent a cursor, but has no stored state yet
        has_ops = True
        PullState.objects.get_or_create(device_id=state.device_id, defaults={"channel": channel.key})
    sent = max(state.sent, page_end)
    if stream:
        changed = {"sent": sent} if has_ops and sent > state.sent else {}
    else:
        changed = {"confirmed": since, "paged": page_end, "sent": sent} if has_ops or since != state.confirmed else {}
    if changed and not known.update(**changed):
        raise CursorInvalid(_ACCESS_CHANGED)
    if not stream and state.confirmed < state.floor <= since:
        LostRecord.objects.filter(device_id=state.device_id).delete()


def attach(channel: Channel, device: str) -> int:
    """Return the cursor of a stream that starts now. Raises `CursorInvalid` for a device that holds another channel."""
    head = head_of(channel.tenant_id)
    state = _state_of(device)
    if state is None:
        _store(channel, PullState(device_id=device, channel=channel.key, confirmed=head.cursor, sent=head.cursor), ())
    elif state.channel != channel.key:
        raise CursorInvalid(_ACCESS_CHANGED)
    return head.cursor


def _restart(channel: Channel, device: str, head: TenantRow) -> PullState:
    """Restart a device: it receives records up to the floor, then the log."""
    before = _state_of(device)
    revoked: Sequence[RevokedRecord] = ()
    if before is not None and channel.filtered:
        revoked = revoked_records(channel, before, schema_of(channel.tenant_id, head.schema_version))
    floor = head.cursor if channel.filtered else head.pruned_cursor
    state = PullState(device_id=device, channel=channel.key, floor=floor, sent=head.cursor)
    _store(channel, state, revoked)
    return state


def _store(channel: Channel, state: PullState, revoked: Sequence[RevokedRecord]) -> None:
    """Store a device's state, under the tenant's lock so that the next change of access knows the device's channel."""
    with transaction.atomic():  # before taking the lock: there may be many rows, which have no effect until `save`
        LostRecord.objects.filter(device_id=state.device_id).delete()
        for start in range(0, len(revoked), _BATCH_ROWS):
            batch = revoked[start : start + _BATCH_ROWS]
            sql.insert_many(
                "v1_lost",
                _COLUMNS,
                [(state.device_id, one.cursor, one.table, one.record_id, one.version) for one in batch],
            )
    with transaction.atomic():
        if lock_tenant(channel.tenant_id).access_version != channel.access_version:
            raise AccessChanged
        state.save()


def _state_of(device: str) -> PullState | None:
    return PullState.objects.filter(device_id=device).first()
