"""Start a new epoch of a tenant's log after a restore from backup."""

from django.db import connection

from sync.models import Snapshot
from sync.wire.chain import link
from tenants.genesis import genesis
from tenants.locks import tenant_transaction
from tenants.models import Device, Tenant, new_epoch

CHUNK = 5000


def renew(tenant_id: int) -> str:
    """Give a tenant a new `server_epoch` and return it, so that clients of the old epoch do not merge blindly.

    The chain starts at a genesis value that contains the epoch, so an unpruned log's chain is recomputed. A pruned log
    keeps its chain, because no client can start at the genesis. Stop the servers first: they cache chain values.
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
    """Recompute all stored chain values from a genesis value and return the last one."""
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
