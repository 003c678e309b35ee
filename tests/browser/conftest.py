"""Fixtures of the app's tests: a tenant with a layout, and people at browsers."""

from collections.abc import Callable

import pytest

from layouts import publish as layouts
from layouts.models import LayoutDefinition
from tenants.models import Tenant
from tests.browser.fixtures import (
    Windows,
    engine,
    make_acme,
    office,
    pytest_runtest_makereport,
    pytest_runtest_setup,
    screen,
    server,
    windows,
)
from tests.browser.person import Person
from tests.contract.servers import ServerProcess

__all__ = ["engine", "office", "pytest_runtest_makereport", "pytest_runtest_setup", "screen", "server", "windows"]

JOB = {
    "type": "VerticalLayout",
    "elements": [
        {
            "type": "HorizontalLayout",
            "elements": [{"type": "Control", "scope": f"#/properties/{name}"} for name in ("title", "status")],
        },
        {
            "type": "Group",
            "label": "Work",
            "elements": [
                {"type": "Control", "scope": f"#/properties/{name}"}
                for name in ("customer", "notes", "crew", "price", "urgent")
            ],
        },
    ],
}

At = Callable[..., Person]


@pytest.fixture
def tenant(transactional_db: None) -> Tenant:
    """The tenant acme with published types, a layout, a customer, a job, and the users tom and tess."""
    tenant = make_acme()
    layouts.save(LayoutDefinition(tenant=tenant, object_name="job", label="Job", layout_json=JOB), "olga")
    office(tenant, "customers", "c1", "insert", {"name": "Harbour Hotel"})
    office(
        tenant,
        "jobs",
        "j1",
        "insert",
        {"title": "Boiler service", "customer": "c1", "price": "95.00", "notes": "Ring twice."},
    )
    return tenant


@pytest.fixture
def at(server: ServerProcess, tenant: Tenant, windows: Windows) -> At:
    """A function that gives a person a new browser.

    It takes an earlier `profile`, a `size`, another `engine`, or another `url`.
    """
    return lambda *, url=None, **more: windows.start(Person, url or server.url, **more)
