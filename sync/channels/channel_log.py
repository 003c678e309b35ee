"""The log as one filtered channel sees it, and the chain over it. Reads only the changes that are routed to the channel.

A channel is born when the first subscriber needs it: its chain begins at the head of that moment, with its genesis. What
it held then comes from the records themselves, so nothing older is ever projected.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
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
from sync.wire.chain import fold, link
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
    """A projected line."""

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
    """What was in force at `to_cursor`."""


def channel_for(access: Access, tenant: str) -> Channel:
    """Return the channel of somebody's access; a filtered one is born when nobody needed it before. Raises `AccessMoved`."""
    if access.rules is None:
        return Channel(access.tenant_id, tenant, access.channel, access_version=access.access_version)
    row_id, born_cursor, rules = _born(access) or _create_channel(access)
    # Not `access.rules`: a channel's chain rests on the rules it was born with.
    return Channel(
        access.tenant_id, tenant, access.channel, Rules.from_data(rules), row_id, born_cursor, access.access_version
    )


def _born(access: Access) -> tuple[int, int, list[Any]] | None:
    statement = "SELECT id, born_cursor, rules FROM sync_channel WHERE tenant_id = %s AND key = %s"
    row = sql.fetch_one(statement, [access.tenant_id, access.channel])
    # Whether the driver has parsed JSON by then depends on how it is set up.
    return None if row is None else (row[0], row[1], orjson.loads(row[2]) if isinstance(row[2], str) else row[2])


def channel_of(identity: DeviceIdentity) -> Channel:
    """Return the channel a device belongs to now. Raises `MoatError(forbidden)` when its user is no active member any more."""
    while True:
        with contextlib.suppress(AccessChanged):  # rights changed between two reads: read them again
            return channel_for(access_of(identity.tenant_id, identity.user_id), identity.tenant_slug)


def current_channels(tenant_id: int, user_ids: Sequence[int]) -> ChannelAssignments:
    """Return the channel each member belongs to now, as of one access version; who is no active member any more is missing."""
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
    """Return where a flow of the channel begins at a cursor; None when the log no longer says."""
    state_hash = hash_at(channel, cursor) if channel.filtered else tenant_hash_at(channel.tenant_id, cursor)
    return None if state_hash is None else ChainPosition(state_hash, schema_version_at(channel.tenant_id, cursor))


def tenant_hash_at(tenant_id: int, cursor: int) -> bytes | None:
    """Return the tenant's own chain at a cursor, also at a head whose change was pruned; None when the log no longer says."""
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
    """Read a channel's lines after a cursor, from at most `limit` changes. Raises `LogPruned` when the log starts later, `AccessMoved`."""
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
        raise LogPruned(f"The log starts after cursor {pruned}.")
    if access_version != channel.access_version:
        raise AccessChanged
    return Routed(after, to_cursor, lines, schema_version)


def schema_version_at(tenant_id: int, cursor: int) -> int:
    """Return the schema version in force at a cursor: that of the change there, or the tenant's where the log was pruned."""
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
        raise MoatError("forbidden", "There is no such tenant any more.")
    return row[0], row[1], row[2]


def _cursors(tenant_id: int, routes: tuple[int, ...], after: int, head: int, limit: int) -> Iterator[int]:
    """Yield the cursors of the changes on these routes in order, each once."""
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
        "LEFT JOIN change_side s ON s.tenant_id = c.tenant_id AND s.cursor = c.cursor WHERE c.tenant_id = %s AND c.cursor IN",
        cursors,
        [tenant_id],
    )
    for cursor, schema_version, line, side in sorted(rows, key=itemgetter(0)):
        projected = project(bytes(line), None if side is None else Side.decode(side), rules)
        if projected is not None:
            yield Line(cursor, schema_version, projected)


def hash_at(channel: Channel, cursor: int) -> bytes | None:
    """Return a channel's chain value at a cursor; None before its birth, past the head, or where the log no longer reaches.

    Leaves a checkpoint behind every `CHECKPOINT_LINES` lines, so that nobody folds them again.
    """
    start = _checkpoint(channel, cursor)
    if start is None:
        return None
    at, state = start
    since = 0
    while at < cursor:
        try:
            piece = read(channel, at, up_to=cursor)
        except LogPruned:
            return None
        if piece.to_cursor <= at:
            return None
        state, at = fold(state, (one.line for one in piece.lines)), piece.to_cursor
        since += len(piece.lines)
        if since >= CHECKPOINT_LINES:
            remember(channel, at, state)
            since = 0
    return state


def _checkpoint(channel: Channel, cursor: int) -> tuple[int, bytes] | None:
    """Return the newest known (cursor, chain value) that is not past a cursor."""
    if channel.row_id is None or cursor < channel.born_cursor:
        return None
    newest = "SELECT cursor, state_hash FROM sync_channelcheckpoint WHERE channel_id = %s AND cursor <= %s ORDER BY cursor DESC LIMIT 1"
    row = sql.fetch_one(newest, [channel.row_id, cursor])
    return (row[0], bytes(row[1])) if row else (channel.born_cursor, genesis_of(channel))


def retire(channel: Channel) -> None:
    """Forget a channel; whoever needs it gives birth to it again."""
    models.Snapshot.objects.filter(tenant_id=channel.tenant_id, channel=channel.key).delete()
    models.Channel.objects.filter(pk=channel.row_id or 0).delete()


def genesis_of(channel: Channel) -> bytes:
    """Return the chain value a channel is born with."""
    row = sql.fetch_one("SELECT server_epoch, slug FROM tenants_tenant WHERE id = %s", [channel.tenant_id])
    if row is None:
        raise MoatError("forbidden", "There is no such tenant any more.")
    return genesis(row[0], row[1], channel.key)


def remember(channel: Channel, cursor: int, state_hash: bytes) -> None:
    """Keep a checkpoint. Every process computes the same, so it does not matter who is first, or that somebody was."""
    try:
        with transaction.atomic():
            models.ChannelCheckpoint.objects.get_or_create(
                channel_id=channel.row_id or 0, cursor=cursor, defaults={"state_hash": state_hash}
            )
    except IntegrityError:  # the channel was retired meanwhile
        return


def extend(state_hash: bytes, lines: Iterable[Line]) -> bytes:
    """Return the chain value after some lines."""
    for one in lines:
        state_hash = link(state_hash, one.line)
    return state_hash
