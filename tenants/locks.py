"""Lock a tenant. The holder of the lock is the only writer of the tenant's counters, rows, and log.

PostgreSQL locks the tenant's row (`FOR UPDATE`). On SQLite every write transaction is `BEGIN IMMEDIATE` and locks the
whole database, so reading the row is enough. Do not nest `tenant_transaction` for one tenant: the inner one would read
counters the outer one has not stored yet. Pass the `LockedTenant` down instead.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import connection, transaction
from django.db.transaction import TransactionManagementError

from tenants.errors import MoatError
from tenants.rows import read_tenant

_UPDATE = (
    "UPDATE tenants_tenant SET schema_version = %s, cursor = %s, state_hash = %s, pruned_cursor = %s WHERE id = %s"
)


@dataclass(slots=True)
class LockedTenant:
    """A locked tenant's row. Mutable: writers advance the counters; `store` writes all but `access_version` back."""

    id: int
    slug: str
    server_epoch: str
    schema_version: int
    cursor: int
    state_hash: bytes
    pruned_cursor: int
    access_version: int = 0


def lock_tenant(tenant_id: int) -> LockedTenant:
    """Lock a tenant until the transaction ends.

    Raises `MoatError("unknown_tenant")`, and `TransactionManagementError` outside of `atomic`.
    """
    if not connection.in_atomic_block:
        raise TransactionManagementError("lock_tenant cannot be used outside of an 'atomic' block.")
    row = read_tenant(tenant_id, lock=True)
    if row is None:
        raise MoatError("unknown_tenant", "Unknown tenant.")
    return LockedTenant(
        row.id,
        row.slug,
        row.server_epoch,
        row.schema_version,
        row.cursor,
        row.state_hash,
        row.pruned_cursor,
        row.access_version,
    )


def store(locked: LockedTenant) -> None:
    """Write a locked tenant's counters back, in the transaction that locked it."""
    values: list[int | bytes] = [
        locked.schema_version,
        locked.cursor,
        locked.state_hash,
        locked.pruned_cursor,
        locked.id,
    ]
    with connection.cursor() as cursor:
        cursor.execute(_UPDATE, values)


@contextmanager
def tenant_transaction(tenant_id: int) -> Iterator[LockedTenant]:
    """Open a transaction that holds the tenant's lock and stores its counters when the block succeeds."""
    with transaction.atomic():
        locked = lock_tenant(tenant_id)
        yield locked
        store(locked)
