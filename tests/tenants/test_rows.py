"""Reading a tenant's row."""

import dataclasses

import pytest
from django.db import connection
from django.db.transaction import TransactionManagementError
from django.test.utils import CaptureQueriesContext

from metadata.access_store import access_of
from metadata.publish import publish
from sync.records import sql
from tenants.errors import MoatError
from tenants.locks import LockedTenant, lock_tenant, tenant_transaction
from tenants.models import Tenant
from tenants.rows import TenantRow, read_tenant, read_tenants
from tests.builders import make_tenant, make_user

pytestmark = pytest.mark.django_db


def stored(tenant: Tenant) -> TenantRow:
    """Return a tenant as the ORM has it, in the same shape."""
    tenant.refresh_from_db()
    fields = [field.name for field in dataclasses.fields(TenantRow)]
    return TenantRow(**{name: getattr(tenant, name) for name in fields} | {"state_hash": bytes(tenant.state_hash)})


def test_a_tenant_is_read_by_id_and_by_slug_as_the_orm_has_it():
    tenant = make_tenant("acme")
    make_tenant("other")
    with tenant_transaction(tenant.pk) as locked:
        locked.cursor, locked.state_hash, locked.schema_version, locked.pruned_cursor = 7, b"h" * 32, 3, 2
    for found in (read_tenant(tenant.pk), read_tenant("acme"), read_tenant(tenant.pk, using=sql.fetch)):
        assert found == stored(tenant)
        assert (found.cursor, found.state_hash, type(found.state_hash)) == (7, b"h" * 32, bytes)


def test_an_unknown_tenant_is_none_and_a_slug_of_digits_is_no_id():
    tenant = make_tenant("acme")
    assert read_tenant(tenant.pk + 1) is None
    assert read_tenant("nowhere") is None
    assert read_tenant(str(tenant.pk)) is None


def test_several_tenants_are_read_in_one_statement():
    one, two = make_tenant("one"), make_tenant("two")
    with CaptureQueriesContext(connection) as queries:
        assert read_tenants([one.pk, two.pk, two.pk + 1], sql.fetch_in) == {t.pk: stored(t) for t in (one, two)}
    assert len(queries) <= 1 + 2  # the ORM's two reads above; `sql` bypasses Django's query log


def test_the_lock_reads_the_same_row_and_is_asked_for_in_the_statement():
    tenant = make_tenant("acme")
    with CaptureQueriesContext(connection) as queries:
        locked = lock_tenant(tenant.pk)
    assert dataclasses.asdict(locked) == dataclasses.asdict(stored(tenant))
    assert queries[0]["sql"].endswith("FOR UPDATE") == connection.features.has_select_for_update
    with CaptureQueriesContext(connection) as queries:
        read_tenant(tenant.pk)
    assert "FOR UPDATE" not in queries[0]["sql"]


def test_the_locked_tenant_has_every_column_of_the_row():
    assert [f.name for f in dataclasses.fields(LockedTenant)] == [f.name for f in dataclasses.fields(TenantRow)]


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_publish_for_an_unknown_tenant_says_so(dry_run):
    with pytest.raises(MoatError) as error:
        publish(1, dry_run=dry_run)
    assert (error.value.code, error.value.message) == ("unknown_tenant", "Unknown tenant.")


def test_access_to_an_unknown_tenant_is_forbidden():
    tenant = make_tenant()
    user = make_user(tenant, "olga")
    with pytest.raises(MoatError) as error:
        access_of(tenant.pk + 1, user.pk)
    assert error.value.code == "forbidden"


@pytest.mark.django_db(transaction=True)
def test_a_lock_needs_a_transaction():
    with pytest.raises(TransactionManagementError):
        lock_tenant(make_tenant().pk)
