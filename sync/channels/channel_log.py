"""The log as one filtered channel sees it, with its chain. Only the changes routed to the channel are read.

A channel is created when its first subscriber needs it. Its chain starts with its genesis value at the head that the
log has then. Everything older comes from the records themselves, so older changes are never projected.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from heapq import merge
from itertools import islice
from operator import itemgetter
from typing import Any, Final

import orjson
from django.db import IntegrityError, transaction

from metadata.access import Rules
from metadata.access_store import Access, access_of
from sync import models
from sync.channels.channel import ChainPosition, Channel, ChannelAssignments
from sync.channels.projection import Side, project
from sync.channels.routing import channel_routes
from sync.errors import AccessChanged, LogPruned
from sync.records import sql
from sync.wire.chain import fold
from tenants.errors import MoatError
from tenants.genesis import genesis
from tenants.locks import tenant_transaction
from tenants.models import SecurityProfile
from tenants.tokens import DeviceIdentity

CHECKPOINT_LINES: Final = 1000
_CHUNK: Final = 1000
_ROUTES_AT_ONCE: Final = 400


@dataclass(frozen=True, slots=True)
class Line:
    """A projected change line."""

    cursor: int
    schema_version: int
    line: bytes


@dataclass(frozen=True, slots=True)
class Routed:
    """A channel's lines with cursors in (`from_cursor`, `to_cursor`]."""

    from_cursor: int
    to_cursor: int
    lines: list[Line]
    schema_version: int = 0
    """The schema version in force at `to_cursor`."""


def channel_for(access: Access, tenant: str) -> Channel:
    """Return the channel of a member's access; create a missing filtered one. Raises `AccessChanged`."""
    if access.rules is None:
        return Channel(access.tenant_id, tenant, access.channel, access_version=access.access_version)
    row_id, born_cursor, rules = _existing_channel(access) or _create_channel(access)
    # Not `access.rules`: a channel's chain depends on the rules with which it was created.
    return Channel(
        access.tenant_id, tenant, access.channel, Rules.from_data(rules), row_id, born_cursor, access.access_version
    )


def _existing_channel(access: Access) -> tuple[int, int, list[Any]] | None:
    statement = "SELECT id, born_cursor, rules FROM sync_channel WHERE tenant_id = %s AND key = %s"
    row = sql.fetch_one(statement, [access.tenant_id, access.channel])
    # Depending on its settings, the driver returns JSON parsed or as text.
    return None if row is None else (row[0], row[1], orjson.loads(row[2]) if isinstance(row[2], str) else row[2])


def channel_of(identity: DeviceIdentity) -> Channel:
    """Return a device's current channel. Raises `MoatError(forbidden)` if its user is no longer an active member."""
    while True:
        with contextlib.suppress(AccessChanged):  # access changed between two reads: read again
            return channel_for(access_of(identity.tenant_id, identity.user_id), identity.tenant_slug)


def current_channels(tenant_id: int, user_ids: Sequence[int]) -> ChannelAssignments:
    """Return the current channels of members as of one access version. Users who are not active members are missing."""
    while True:
        version = _access_version(tenant_id)
        channels: dict[int, str] = {}
        for user_id in set(user_ids):
            with contextlib.suppress(MoatError):
                channels[user_id] = access_of(tenant_id, user_id).channel
        if _access_version(tenant_id) == version:
            return ChannelAssignments(version, channels)


def _access_version(tenant_id: int) -> int:
    row = sql.fetch_one("SELECT access_version FROM tenants_tenant WHERE id = %s", [tenant_id])
    return row[0] if row else -1


def chain_at(channel: Channel, cursor: int) -> ChainPosition | None:
    """Return the start position of a feed of the channel at a cursor; None if the log no longer covers it."""
    state_hash = hash_at(channel, cursor) if channel.filtered else tenant_hash_at(channel.tenant_id, cursor)
    return None if state_hash is None else ChainPosition(state_hash, schema_version_at(channel.tenant_id, cursor))


def tenant_hash_at(tenant_id: int, cursor: int) -> bytes | None:
    """Return the tenant's chain value at a cursor; None if the log no longer covers it.

    The tenant's head has a chain value even if its change was pruned.
    """
    found = sql.fetch_one("SELECT state_hash FROM changes WHERE tenant_id = %s AND cursor = %s", [tenant_id, cursor])
    found = found or sql.fetch_one(
        "SELECT state_hash FROM tenants_tenant WHERE id = %s AND cursor = %s", [tenant_id, cursor]
    )
    return None if found is None else bytes(found[0])


def _create_channel(access: Access) -> tuple[int, int, list[Any]]:
    with tenant_transaction(access.tenant_id) as locked:
        profile = SecurityProfile.objects.filter(pk=access.profile_id or 0, revision=access.revision).first()
        if profile is None or locked.access_version != access.access_version or access.rules is None:
            raise AccessChanged
        row, _ = models.Channel.objects.get_or_create(
            tenant_id=access.tenant_id,
            key=access.channel,
            defaults={
                "profile": profile,
                "profile_revision": access.revision,
                "parameters": access.parameters or {},
                "rules": access.rules.data(),
                "born_cursor": locked.cursor,
            },
        )
    return row.pk, row.born_cursor, row.rules


@lru_cache(maxsize=1024)
def _routes(rules: Rules) -> tuple[int, ...]:
    return tuple(sorted(channel_routes(rules)))


def read(channel: Channel, after: int, limit: int = _CHUNK, *, up_to: int | None = None) -> Routed:
    """Read a channel's lines after a cursor, from at most `limit` changes.

    Raises `LogPruned` when the log starts later, and `AccessChanged`.
    """
    rules = channel.rules or Rules()
    head = _tenant(channel)[0]
    if up_to is not None:
        head = min(head, up_to)
    cursors = list(islice(_cursors(channel.tenant_id, _routes(rules), after, head, limit), limit))
    to_cursor = cursors[-1] if len(cursors) == limit else max(head, after)
    lines = list(_projected(channel.tenant_id, cursors, rules))
    schema_version = schema_version_at(channel.tenant_id, to_cursor)
    _, pruned, access_version = _tenant(channel)
    if pruned > after:
        raise LogPruned(f"The log has been pruned: it starts after cursor {pruned}.")
    if access_version != channel.access_version:
        raise AccessChanged
    return Routed(after, to_cursor, lines, schema_version)


def schema_version_at(tenant_id: int, cursor: int) -> int:
    """Return the schema version in force at a cursor: that of its change, or the tenant's if the change was pruned."""
    found = sql.fetch_one(
        "SELECT schema_version FROM changes WHERE tenant_id = %s AND cursor = %s", [tenant_id, cursor]
    )
    found = found or sql.fetch_one("SELECT schema_version FROM tenants_tenant WHERE id = %s", [tenant_id])
    return int(found[0]) if found else 0


def _tenant(channel: Channel) -> tuple[int, int, int]:
    row = sql.fetch_one(
        "SELECT cursor, pruned_cursor, access_version FROM tenants_tenant WHERE id = %s", [channel.tenant_id]
    )
    if row is None:
        raise _tenant_gone()
    return row[0], row[1], row[2]


def _tenant_gone() -> MoatError:
    return MoatError("forbidden", "This tenant no longer exists.")


def _cursors(tenant_id: int, routes: tuple[int, ...], after: int, head: int, limit: int) -> Iterator[int]:
    """Yield the cursors of the changes on these routes in order, without duplicates."""
    found = [
        sql.fetch(
            "SELECT DISTINCT cursor FROM change_route WHERE tenant_id = %s AND cursor > %s AND cursor <= %s "
            f"AND route IN ({', '.join(['%s'] * len(chunk))}) ORDER BY cursor LIMIT %s",
            [tenant_id, after, head, *chunk, limit],
        )
        for chunk in (routes[i : i + _ROUTES_AT_ONCE] for i in range(0, len(routes), _ROUTES_AT_ONCE))
    ]
    previous = -1
    for (cursor,) in merge(*found):
        if cursor != previous:
            yield cursor
        previous = cursor


def _projected(tenant_id: int, cursors: list[int], rules: Rules) -> Iterator[Line]:
    rows = sql.fetch_in(
        "SELECT c.cursor, c.schema_version, c.line, s.side FROM changes c "
        "LEFT JOIN change_side s ON s.tenant_id = c.tenant_id AND s.cursor = c.cursor "
        "WHERE c.tenant_id = %s AND c.cursor IN",
        cursors,
        [tenant_id],
    )
    for cursor, schema_version, line, side in sorted(rows, key=itemgetter(0)):
        projected = project(bytes(line), None if side is None else Side.decode(side), rules)
        if projected is not None:
            yield Line(cursor, schema_version, projected)


def hash_at(channel: Channel, cursor: int) -> bytes | None:
    """Return a channel's chain value at a cursor.

    Returns None before the channel's creation, past the head, or if the log no longer reaches back far enough. Stores a
    checkpoint every `CHECKPOINT_LINES` lines, so that they are not folded again.
    """
    start = _checkpoint(channel, cursor)
    if start is None:
        return None
    at, state = start
    since = 0
    while at < cursor:
        try:
            chunk = read(channel, at, up_to=cursor)
        except LogPruned:
            return None
        if chunk.to_cursor <= at:
            return None
        state, at = fold(state, (one.line for one in chunk.lines)), chunk.to_cursor
        since += len(chunk.lines)
        if since >= CHECKPOINT_LINES:
            remember(channel, at, state)
            since = 0
    return state


def _checkpoint(channel: Channel, cursor: int) -> tuple[int, bytes] | None:
    """Return the newest known (cursor, chain value) that is not past a cursor."""
    if channel.row_id is None or cursor < channel.born_cursor:
        return None
    newest = (
        "SELECT cursor, state_hash FROM sync_channelcheckpoint "
        "WHERE channel_id = %s AND cursor <= %s ORDER BY cursor DESC LIMIT 1"
    )
    row = sql.fetch_one(newest, [channel.row_id, cursor])
    return (row[0], bytes(row[1])) if row else (channel.born_cursor, genesis_of(channel))


def retire(channel: Channel) -> None:
    """Delete a channel and its snapshots. It is created again when a subscriber needs it."""
    models.Snapshot.objects.filter(tenant_id=channel.tenant_id, channel=channel.key).delete()
    models.Channel.objects.filter(pk=channel.row_id or 0).delete()


def genesis_of(channel: Channel) -> bytes:
    """Return the chain value with which a channel starts."""
    row = sql.fetch_one("SELECT server_epoch, slug FROM tenants_tenant WHERE id = %s", [channel.tenant_id])
    if row is None:
        raise _tenant_gone()
    return genesis(row[0], row[1], channel.key)


def remember(channel: Channel, cursor: int, state_hash: bytes) -> None:
    """Store a checkpoint unless it exists. All processes compute the same value, so any of them may store it."""
    try:
        with transaction.atomic():
            models.ChannelCheckpoint.objects.get_or_create(
                channel_id=channel.row_id or 0, cursor=cursor, defaults={"state_hash": state_hash}
            )
    except IntegrityError:  # the channel has been retired in the meantime
        return
