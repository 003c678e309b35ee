"""A tenant with field-service types, and two callers."""

import pytest
from django.core.cache import cache

from metadata.catalog import forget
from metadata.publish import publish
from tests.builders import make_field_service, make_tenant, make_user
from tests.rest.api import Api


@pytest.fixture(autouse=True)
def _no_throttle_history():
    cache.clear()


@pytest.fixture
def tenant(db):
    tenant = make_tenant("acme")
    forget(tenant.pk)
    make_field_service(tenant)
    publish(tenant.pk)
    tenant.refresh_from_db()
    return tenant


@pytest.fixture
def other(db):
    """Another tenant, with a table of the same name and one more."""
    tenant = make_tenant("other")
    forget(tenant.pk)
    make_field_service(tenant)
    publish(tenant.pk)
    tenant.refresh_from_db()
    return tenant


@pytest.fixture
def api(tenant):
    return Api(tenant, make_user(tenant, "olga"))


@pytest.fixture
def stranger(other):
    return Api(other, make_user(other, "sid"))
