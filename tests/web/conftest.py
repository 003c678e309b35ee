"""Fixtures of the SDK's tests: a tenant with published types, and browsers that hold a replica in a blank page."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tenants.models import Tenant
from tests.browser.fixtures import (
    Windows,
    engine,
    make_acme,
    pytest_runtest_makereport,
    pytest_runtest_setup,
    screen,
    server,
    windows,
)
from tests.contract.servers import ServerProcess
from tests.web.browser import Browser

__all__ = ["engine", "pytest_runtest_makereport", "pytest_runtest_setup", "screen", "server", "windows"]

Open = Callable[..., Browser]


@pytest.fixture
def tenant(transactional_db: None) -> Tenant:
    """A tenant with customers, jobs and line items published, and the users tom and tess."""
    return make_acme()


@pytest.fixture
def browser(server: ServerProcess, tenant: Tenant, windows: Windows) -> Open:
    """A function that starts a browser, on a profile of an earlier one if given."""

    def start(profile: Path | None = None) -> Browser:
        return windows.start(Browser, server.url, profile=profile)

    return start
