"""Fixtures of the contract suite: a real server on the test database, a tenant with published types, peers."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from metadata.publish import publish
from tenants.models import Tenant
from tenants.tokens import issue_device
from tests.builders import make_field_service, make_tenant, make_user
from tests.contract.peer import Peer
from tests.contract.servers import ServerProcess

Connect = Callable[..., Peer]


@pytest.fixture
def server(transactional_db: None) -> Iterator[ServerProcess]:
    """A fresh server process."""
    process = ServerProcess().start()
    yield process
    process.stop()
    assert "Traceback" not in process.log, process.log[-4000:]


@pytest.fixture
def tenant(transactional_db: None) -> Tenant:
    """A tenant with customers, jobs and line items published."""
    tenant = make_tenant()
    make_field_service(tenant)
    publish(tenant.pk)
    tenant.refresh_from_db()
    return tenant


@pytest.fixture
def peer(server: ServerProcess) -> Iterator[Connect]:
    """A function that opens a peer on a new device of a tenant (and a new user), at the tenant's head."""
    with ExitStack() as stack:

        def open_peer(tenant: Tenant, *, port: int | None = None) -> Peer:
            issued = issue_device(tenant, make_user(tenant), "peer")
            return stack.enter_context(Peer(port or server.port, issued.device.pk, issued.token)).at(tenant)

        yield open_peer


@pytest.fixture
def other_tenant(transactional_db: None) -> Tenant:
    """Another tenant with the same object types."""
    tenant = make_tenant()
    make_field_service(tenant)
    publish(tenant.pk)
    tenant.refresh_from_db()
    return tenant
