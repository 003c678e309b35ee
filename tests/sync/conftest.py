"""A tenant with published types, and its devices."""

from collections.abc import Awaitable, Callable

import pytest

from metadata.publish import publish
from sync.log import commit as commits
from sync.settle.writer import Writer
from tenants.models import Tenant
from tenants.tokens import IssuedDevice, issue_device
from tests.builders import make_field_service, make_tenant, make_user
from tests.sync.live import in_thread


@pytest.fixture
def acme(transactional_db: None) -> Tenant:
    """A tenant with published customers, jobs, and line items."""
    tenant = make_tenant()
    make_field_service(tenant)
    publish(tenant.pk)
    tenant.refresh_from_db()
    return tenant


@pytest.fixture
def device(acme: Tenant) -> Callable[[], Awaitable[IssuedDevice]]:
    """Create a device of a new member of the tenant, from inside an event loop."""
    return lambda: in_thread(lambda: issue_device(acme, make_user(acme), "test"))


@pytest.fixture
def loom():
    """A separate writer, stopped afterwards."""
    made = Writer()
    yield made
    made.stop()


@pytest.fixture
def announced():
    on_commit = []
    end = commits.subscribe(on_commit.append)
    yield on_commit
    end()
