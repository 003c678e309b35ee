"""A short fuzz run in CI. `make fuzz MINUTES=10` runs longer."""

import secrets
from collections.abc import Callable

import pytest

from tenants.models import Tenant
from tests.contract.conftest import other_tenant, own_server, tenant  # noqa: F401 - fixtures
from tests.contract.servers import ServerProcess
from tests.fuzz.campaign import run

SECONDS = 20


@pytest.mark.slow
@pytest.mark.contract
def test_hostile_messages_get_coded_errors_and_never_disturb_another_tenant(
    own_server: ServerProcess,  # noqa: F811
    tenant: Tenant,  # noqa: F811
    other_tenant: Tenant,  # noqa: F811
    record_property: Callable[[str, object], None],
) -> None:
    report = run(own_server, tenant, other_tenant, seconds=SECONDS, seed=secrets.randbelow(2**32))
    record_property("fuzz", report.text().split("\n")[0])
    assert report.findings == [], report.text()
