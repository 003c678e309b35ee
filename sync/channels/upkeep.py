"""Maintenance of filtered channels: checkpoints before the log is pruned, and deletion of outdated channels."""

from typing import Any, Final

from django.db.models import F, Q, QuerySet

from metadata.access import Rules
from sync import models
from sync.channels import channel_log
from sync.channels.channel import Channel
from sync.entities.models import PullState
from sync.records import sql
from tenants.locks import LockedTenant

_SIDES_AND_ROUTES: Final = ("change_side", "change_route")


def checkpoint_all(locked: LockedTenant, cursor: int) -> None:
    """Store every channel's chain value at a cursor, in the transaction that deletes the changes before it."""
    for row in models.Channel.objects.filter(tenant_id=locked.id, born_cursor__lt=cursor):
        channel = channel_of_row(row, locked)
        state_hash = channel_log.hash_at(channel, cursor)
        if state_hash is None:
            channel_log.retire(channel)
            continue
        channel_log.remember(channel, cursor, state_hash)
        row.checkpoints.filter(cursor__lt=cursor).delete()


def channel_of_row(row: models.Channel, locked: LockedTenant) -> Channel:
    """Return a stored channel as of the tenant's current access version."""
    return Channel(
        locked.id, locked.slug, row.key, Rules.from_data(row.rules), row.pk, row.born_cursor, locked.access_version
    )


def delete_sides_and_routes(tenant_id: int, upto: int) -> None:
    """Delete the sides and routes of changes up to a cursor."""
    for table in _SIDES_AND_ROUTES:
        sql.run(f"DELETE FROM {table} WHERE tenant_id = %s AND cursor <= %s", [tenant_id, upto])


def retire_outdated(tenant_id: int) -> int:
    """Delete the channels of deleted or changed profiles with their snapshots; return the number of channels.

    A channel that a device of SyncProtocol v1 still holds stays as long as the log shows what that device must delete.
    """
    outdated = _outdated(tenant_id).exclude(key__in=_held(tenant_id))
    keys = list(outdated.values_list("key", flat=True))
    models.Snapshot.objects.filter(tenant_id=tenant_id, channel__in=keys).delete()
    models.Channel.objects.filter(tenant_id=tenant_id, key__in=keys).delete()
    return len(keys)


def held_rules(tenant_id: int) -> list[Rules]:
    """Return the rules of outdated channels that devices of SyncProtocol v1 still hold.

    The log keeps routing changes to these channels, so that it shows what leaves them.
    """
    rows = _outdated(tenant_id).filter(key__in=_held(tenant_id)).values_list("rules", flat=True)
    return [Rules.from_data(rules) for rules in rows]


def _outdated(tenant_id: int) -> QuerySet[models.Channel]:
    rows = models.Channel.objects.filter(tenant_id=tenant_id)
    return rows.filter(Q(profile=None) | Q(profile__full_access=True) | ~Q(profile_revision=F("profile__revision")))


def _held(tenant_id: int) -> Any:
    # Includes revoked devices: after signing in again, a device continues from what it holds.
    return PullState.objects.filter(device__tenant_id=tenant_id, sent__gte=F("device__tenant__pruned_cursor")).values(
        "channel"
    )
