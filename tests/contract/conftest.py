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


@pytest.fixture(scope="session")
def shared_server(django_db_setup: None) -> Iterator[ServerProcess]:
    """One server for all tests that do not kill it."""
    process = ServerProcess().start()
    yield process
    process.stop()


@pytest.fixture
def server(shared_server: ServerProcess, transactional_db: None) -> Iterator[ServerProcess]:
    """The shared server. The test fails if the server logs a traceback meanwhile."""
    before = len(shared_server.log)
    yield shared_server
    assert not shared_server.failures(before), shared_server.log[before:][-4000:]


@pytest.fixture
def own_server(transactional_db: None) -> Iterator[ServerProcess]:
    """A separate server, to kill or to measure."""
    process = ServerProcess().start()
    yield process
    process.stop()


@pytest.fixture
def tenant(transactional_db: None) -> Tenant:
    """A tenant with published customers, jobs, and line items."""
    tenant = make_tenant()
    make_field_service(tenant)
    publish(tenant.pk)
    tenant.refresh_from_db()
    return tenant


@pytest.fixture
def open_peer(transactional_db: None) -> Iterator[Connect]:
    """A function that opens a peer on a new device (and a new user) of a tenant, at the tenant's head."""
    with ExitStack() as stack:

        def connect(tenant: Tenant, port: int) -> Peer:
            issued = issue_device(tenant, make_user(tenant), "peer")
            return stack.enter_context(Peer(port, issued.device.pk, issued.token)).at(tenant)

        yield connect


@pytest.fixture
def peer(server: ServerProcess, open_peer: Connect) -> Connect:
    """Like `open_peer`, on the shared server."""
    return lambda tenant: open_peer(tenant, server.port)


@pytest.fixture
def other_tenant(transactional_db: None) -> Tenant:
    """Another tenant with the same object types."""
    tenant = make_tenant()
    make_field_service(tenant)
    publish(tenant.pk)
    tenant.refresh_from_db()
    return tenant
