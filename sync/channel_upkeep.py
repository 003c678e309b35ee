"""Filtered channels grow old: checkpoints before the log is shortened, and an end for those nobody can belong to any more."""

from typing import Final

from django.db.models import F, Q

from metadata.access import Rules
from sync import models, routed, sql
from sync.channels import Channel
from tenants.locks import LockedTenant

_BESIDE: Final = ("change_side", "change_route")


def checkpoint_all(locked: LockedTenant, cursor: int) -> None:
    """Keep the chain of every channel at a cursor, in the transaction that drops what is before it."""
    for row in models.Channel.objects.filter(tenant_id=locked.id, born_cursor__lt=cursor):
        channel = channel_of_row(row, locked)
        state_hash = routed.hash_at(channel, cursor)
        if state_hash is None:
            routed.retire(channel)
            continue
        routed.remember(channel, cursor, state_hash)
        row.checkpoints.filter(cursor__lt=cursor).delete()


def channel_of_row(row: models.Channel, locked: LockedTenant) -> Channel:
    """Return a stored channel, under the rights in force."""
    return Channel(locked.id, locked.slug, row.key, Rules.from_data(row.rules), row.pk, row.born_cursor, locked.access_version)


def drop_beside(tenant_id: int, upto: int) -> None:
    """Drop what the log kept beside changes up to a cursor."""
    for table in _BESIDE:
        sql.run(f"DELETE FROM {table} WHERE tenant_id = %s AND cursor <= %s", [tenant_id, upto])


def retire_outdated(tenant_id: int) -> int:
    """Forget the channels of profiles that are gone or have moved on; return how many. Their snapshots go with them."""
    outdated = models.Channel.objects.filter(tenant_id=tenant_id).filter(Q(profile=None) | ~Q(profile_revision=F("profile__revision")))
    keys = list(outdated.values_list("key", flat=True))
    models.Snapshot.objects.filter(tenant_id=tenant_id, channel__in=keys).delete()
    outdated.delete()
    return len(keys)
