"""Fixtures of the iPhone app's tests: its bundle, a server on another origin, and telephones."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tenants.models import Tenant
from tests.browser import engines
from tests.browser.conftest import office, tenant
from tests.browser.fixtures import Windows, not_built, pytest_runtest_makereport, screen, serve, skip_if, windows
from tests.contract.servers import ServerProcess
from tests.ios.phone import IOS, ORIGIN, Phone

__all__ = ["office", "pytest_runtest_makereport", "screen", "tenant", "windows"]

Take = Callable[..., Phone]


@pytest.fixture
def engine() -> str:
    """The engine that iOS has."""
    skip_if(engines.missing("webkit"))
    return "webkit"


@pytest.fixture(scope="session")
def bundle() -> Path:
    """The app's files, assembled now. Any Node will do; only Capacitor's command line wants a new one."""
    skip_if(not_built())
    subprocess.run([str(shutil.which("node")), "scripts/bundle.js"], cwd=IOS, check=True, capture_output=True)
    return IOS / "www"


@pytest.fixture
def server(transactional_db: None) -> Iterator[ServerProcess]:
    """A server of the test's own, to kill and to start again."""
    yield from serve("tests.ios.settings", METRICS_TOKEN="m" * 20)


@pytest.fixture
def take(server: ServerProcess, tenant: Tenant, bundle: Path, windows: Windows) -> Take:
    """A function that takes a telephone in hand: a new one, or the one with an earlier profile."""
    return lambda profile=None: windows.start(Phone, ORIGIN, profile=profile)
