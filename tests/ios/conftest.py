"""Fixtures of the iPhone app's tests: its bundle, a server on another origin, and telephones. What is missing here skips them, unless CI is true."""

import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connection

from tenants.models import Tenant
from tests.browser import engines
from tests.browser.conftest import office, tenant
from tests.contract.servers import ROOT, ServerProcess
from tests.ios.phone import Phone

__all__ = ["office", "tenant"]

IOS = ROOT / "clients" / "ios"
DEBIAN = "webkit2gtk-driver xvfb python3-gi gir1.2-webkit2-4.1 gir1.2-gtk-3.0 gir1.2-soup-3.0"

Take = Callable[..., Phone]


def skip_unless_required(reason: str) -> None:
    """Skip a test that cannot run here; CI has everything, there it fails."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@functools.cache
def _webkit_is_here() -> bool:
    probe = "import gi; [gi.require_version(*each) for each in (('Gtk', '3.0'), ('WebKit2', '4.1'), ('Soup', '3.0'))]"
    if not (shutil.which("WebKitWebDriver") and shutil.which("Xvfb")):
        return False
    return subprocess.run(["/usr/bin/python3", "-c", probe], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="session")
def bundle() -> Path:
    """The app's files, assembled now. Any Node will do; only Capacitor's command line wants a new one."""
    node = shutil.which("node")
    if not (ROOT / "clients/web/sdk/vendor/sqlite3/sqlite3.wasm").exists():
        skip_unless_required("the web client is not built: npm ci && npm run build in clients/web")
    if node is None:
        skip_unless_required("Node is not installed (Debian: apt-get install nodejs)")
    subprocess.run([str(node), "scripts/bundle.js"], cwd=IOS, check=True, capture_output=True)
    return IOS / "www"


@pytest.fixture(scope="session")
def screen() -> Iterator[str]:
    """A screen that nobody sees."""
    if not _webkit_is_here():
        skip_unless_required(f"WebKit is not installed (Debian: apt-get install {DEBIAN})")
    command = [str(shutil.which("Xvfb")), "-displayfd", "1", "-screen", "0", "800x1000x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        yield f":{process.stdout.readline().decode().strip()}"
        process.terminate()


@pytest.fixture
def server(transactional_db: None, screen: str) -> Iterator[ServerProcess]:
    """A server of the test's own, to kill and to start again."""
    if connection.vendor != "sqlite":
        pytest.skip("the app does not see which database the server has: once is enough")
    process = ServerProcess(environment={"DJANGO_SETTINGS_MODULE": "tests.ios.settings", "METRICS_TOKEN": "m" * 20}).start()
    yield process
    process.stop()
    assert "Traceback" not in process.log, process.log[-4000:]


@pytest.fixture
def take(server: ServerProcess, tenant: Tenant, bundle: Path, screen: str) -> Iterator[Take]:
    """A function that takes a telephone in hand: a new one, or the one with an earlier profile."""
    phones: list[Phone] = []

    def start(profile: Path | None = None) -> Phone:
        home = profile or Path(tempfile.mkdtemp(prefix="moat-phone-"))
        phones.append(Phone(home, bundle, screen))
        return phones[-1]

    yield start
    problems = [line for phone in phones for line in phone.log() if "Content Security Policy" in line or "Unhandled" in line]
    for phone in phones:
        engines.kill(phone.driver, phone.profile)
    for profile in {phone.profile for phone in phones}:
        shutil.rmtree(profile, ignore_errors=True)
    assert not problems, problems
