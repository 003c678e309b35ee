"""Where the devices of this door are: under which channel they pull, how far they came, what they must let go of.

A device that begins at 0 is given what its channel shows, and from there on the channel's log. What it holds from before,
under this channel or another, is taken from it meanwhile (`sync.v1.revoked_records`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.db import transaction

from metadata.catalog import schema_of
from sync.channels.channel import Channel
from sync.entities.models import LostRecord, PullState
from sync.errors import AccessChanged
from sync.records import sql
from sync.v1.revoked_records import RevokedRecord, lost_to
from tenants.locks import lock_tenant
from tenants.models import Device

_LOST: Final = (
    sql.Column("device_id", "text"),
    sql.Column("cursor", "bigint"),
    sql.Column("table_name", "text"),
    sql.Column("record_id", "text"),
    sql.Column("entity_version", "bigint"),
)
_ROWS_AT_ONCE: Final = 10_000
"""It may be every record of a tenant."""


class CursorInvalid(Exception):
    """A device cannot go on from its cursor: the log was pruned past it, ends before it, or is another one now. It begins again at 0."""


@dataclass(frozen=True, slots=True)
class LogBounds:
    """A tenant's counters, as a pull needs them."""

    cursor: int
    pruned: int
    schema_version: int


def head_of(tenant_id: int) -> LogBounds:
    """Read where a tenant's log begins and ends."""
    found = sql.fetch_one("SELECT cursor, pruned_cursor, schema_version FROM tenants_tenant WHERE id = %s", [tenant_id])
    return LogBounds(*found) if found else LogBounds(0, 0, 0)


def resume_at(channel: Channel, device: str) -> int:
    """Return the cursor a device goes on from; 0 when it has to begin anew."""
    state = _state_of(device)
    if state is None and channel.filtered:
        return 0
    if state is not None and state.channel != channel.key:
        return 0
    return Device.objects.values_list("last_cursor", flat=True).get(pk=device)


def position_for(channel: Channel, device: str, since: int, head: LogBounds, *, stream: bool) -> PullState:
    """Return the state of a device that asks for what comes after `since`. Raises `CursorInvalid`, `AccessMoved`.

    A stream follows a device that pulls: on a filtered channel it does not begin at 0.
    """
    if since > head.cursor:
        raise CursorInvalid(f"The log ends at {head.cursor}.")
    if since == 0 and not (stream and channel.filtered):
        return _begin(channel, device, head)
    state = _state_of(device)
    if state is None and not channel.filtered:
        return PullState(device_id=device, channel=channel.key, confirmed=since, sent=since)
    if state is None or state.channel != channel.key:
        raise CursorInvalid("What this device may see has changed.")
    _require_reach(channel, state, since, head, stream=stream)
    return state


def _require_reach(channel: Channel, state: PullState, since: int, head: LogBounds, *, stream: bool) -> None:
    if channel.filtered and since < state.floor:
        # Only the very next step through the records, or the same one again: anything else would leave a gap.
        if stream or state.confirmed >= state.floor or since not in (state.confirmed, state.paged):
            raise CursorInvalid("This cursor is from before the device began anew.")
    elif channel.filtered and since < channel.born_cursor:
        raise CursorInvalid("The log of what this device may see begins later.")
    elif since < head.pruned and since >= state.floor:
        raise CursorInvalid("The log was pruned past this cursor.")


def record_progress(channel: Channel, state: PullState, since: int, page_end: int, *, news: bool, stream: bool) -> None:
    """Note what a device has confirmed and is about to be handed; only when that is news, since every write waits for the writers.

    Raises `CursorInvalid` when it began anew meanwhile.
    """
    known = PullState.objects.filter(device_id=state.device_id, channel=channel.key)
    if state._state.adding:  # one that came with a cursor, and of which nothing was noted yet
        news = True
        PullState.objects.get_or_create(device_id=state.device_id, defaults={"channel": channel.key})
    sent = max(state.sent, page_end)
    if stream:
        changed = {"sent": sent} if news and sent > state.sent else {}
    else:
        changed = {"confirmed": since, "paged": page_end, "sent": sent} if news or since != state.confirmed else {}
    if changed and not known.update(**changed):
        raise CursorInvalid("What this device may see has changed.")
    if not stream and state.confirmed < state.floor <= since:
        LostRecord.objects.filter(device_id=state.device_id).delete()


def attach(channel: Channel, device: str) -> int:
    """Return where a stream begins that carries on from now. Raises `CursorInvalid` for a device that holds another channel."""
    head = head_of(channel.tenant_id)
    state = _state_of(device)
    if state is None:
        _store(channel, PullState(device_id=device, channel=channel.key, confirmed=head.cursor, sent=head.cursor), ())
    elif state.channel != channel.key:
        raise CursorInvalid("What this device may see has changed.")
    return head.cursor


def _begin(channel: Channel, device: str, head: LogBounds) -> PullState:
    """Start a device over: it is given records up to the floor, then the log."""
    before = _state_of(device)
    lost: Sequence[RevokedRecord] = ()
    if before is not None and channel.filtered:
        lost = lost_to(channel, before, schema_of(channel.tenant_id, head.schema_version))
    floor = head.cursor if channel.filtered else head.pruned
    state = PullState(device_id=device, channel=channel.key, floor=floor, sent=head.cursor)
    _store(channel, state, lost)
    return state


def _store(channel: Channel, state: PullState, lost: Sequence[RevokedRecord]) -> None:
    """Write where a device is. Under the tenant's lock, so that whoever changes rights next knows which channel is held."""
    with transaction.atomic():  # ahead of the lock: it may be much, and is of no use before the state says so
        LostRecord.objects.filter(device_id=state.device_id).delete()
        for begin in range(0, len(lost), _ROWS_AT_ONCE):
            some = lost[begin : begin + _ROWS_AT_ONCE]
            sql.insert_many(
                "v1_lost", _LOST, [(state.device_id, one.cursor, one.table, one.record_id, one.version) for one in some]
            )
    with transaction.atomic():
        if lock_tenant(channel.tenant_id).access_version != channel.access_version:
            raise AccessChanged
        state.save()


def _state_of(device: str) -> PullState | None:
    return PullState.objects.filter(device_id=device).first()
