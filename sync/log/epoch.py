"""Begin a new life of a tenant's log, after the database was restored from a backup."""

from django.db import connection

from sync.models import Snapshot
from sync.wire.chain import link
from tenants.genesis import genesis
from tenants.locks import tenant_transaction
from tenants.models import Device, Tenant, new_epoch

CHUNK = 5000


def renew(tenant_id: int) -> str:
    """Give a tenant a new `server_epoch` and return it. Clients that know the old one are told so, and merge nothing blindly.

    The chain begins at a genesis that names the epoch, so it is computed anew as far as the log goes back to it; a pruned
    log keeps its chain, because nobody can start at the genesis any more. Stop the servers first: they keep chain values.
    """
    epoch = new_epoch()
    with tenant_transaction(tenant_id) as locked:
        if locked.pruned_cursor == 0:
            locked.state_hash = _rechain(tenant_id, genesis(epoch, locked.slug))
        Tenant.objects.filter(pk=tenant_id).update(server_epoch=epoch)
        Device.objects.filter(tenant_id=tenant_id).update(last_cursor=0)
        Snapshot.objects.filter(tenant_id=tenant_id).delete()
    return epoch


def _rechain(tenant_id: int, state: bytes) -> bytes:
    """Compute all stored chain values from a genesis; return the last."""
    after = 0
    with connection.cursor() as cursor:
        while True:
            cursor.execute(
                "SELECT cursor, line FROM changes WHERE tenant_id = %s AND cursor > %s ORDER BY cursor LIMIT %s",
                [tenant_id, after, CHUNK],
            )
            rows = cursor.fetchall()
            if not rows:
                return state
            values = []
            for number, line in rows:
                state = link(state, bytes(line))
                values.append((state, tenant_id, number))
            cursor.executemany("UPDATE changes SET state_hash = %s WHERE tenant_id = %s AND cursor = %s", values)
            after = rows[-1][0]
