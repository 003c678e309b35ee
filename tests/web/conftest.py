"""Fixtures of the browser tests: a real server with a tenant, and browsers that are gone afterwards."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from metadata.publish import publish
from tenants.models import Tenant
from tests.builders import make_field_service, make_tenant, make_user
from tests.contract.servers import ServerProcess
from tests.web.browser import CHROMEDRIVER, CHROMIUM, WEBKIT, XVFB, Browser

WEB = Path(__file__).resolve().parents[2] / "clients" / "web"

Open = Callable[..., Browser]


@pytest.fixture(scope="session", autouse=True)
def _web_client() -> None:
    """Fetch the client's library if it is not there; without a browser or npm the tests are skipped, unless CI asks for them."""
    required = bool(os.environ.get("MOAT_REQUIRE_BROWSERS"))
    npm = shutil.which("npm")
    vendor = WEB / "sdk" / "vendor" / "sqlite3" / "sqlite3.wasm"
    missing = [
        name for name, found in {"chromium": CHROMIUM, "chromedriver": CHROMEDRIVER, "npm": npm or vendor.exists()}.items() if not found
    ]
    if missing and required:
        pytest.fail(f"browser tests need {', '.join(missing)}")
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed (Debian: apt-get install chromium chromium-driver npm)")
    if not vendor.exists():
        subprocess.run([str(npm), "ci", "--silent"], cwd=WEB, check=True)
        subprocess.run([str(npm), "run", "--silent", "build"], cwd=WEB, check=True)


@pytest.fixture
def server(transactional_db: None) -> Iterator[ServerProcess]:
    """A fresh server process on the test database."""
    process = ServerProcess(environment={"DJANGO_SETTINGS_MODULE": "tests.web.settings"}).start()
    yield process
    process.stop()
    assert "Traceback" not in process.log, process.log[-4000:]


@pytest.fixture
def tenant(transactional_db: None) -> Tenant:
    """A tenant with customers, jobs and line items published, and the users tom and tess."""
    tenant = make_tenant("acme")
    make_field_service(tenant)
    publish(tenant.pk)
    for name in ("tom", "tess"):
        make_user(tenant, name)
    tenant.refresh_from_db()
    return tenant


def _gi_available() -> bool:
    return (
        subprocess.run(
            ["/usr/bin/python3", "-c", "import gi; gi.require_version('WebKit2', '4.1')"], capture_output=True, check=False
        ).returncode
        == 0
    )


@pytest.fixture(scope="session")
def display() -> Iterator[str]:
    """A virtual screen for WebKit."""
    if not (WEBKIT and XVFB and _gi_available()):
        reason = "WebKit is not installed (Debian: apt-get install webkit2gtk-driver xvfb python3-gi gir1.2-webkit2-4.1 gir1.2-gtk-3.0)"
        pytest.fail(reason) if os.environ.get("MOAT_REQUIRE_BROWSERS") else pytest.skip(reason)
    screen = subprocess.Popen(
        [str(XVFB), "-displayfd", "1", "-screen", "0", "1280x1024x24", "-nolisten", "tcp"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert screen.stdout is not None
    yield f":{screen.stdout.readline().decode().strip()}"
    screen.terminate()
    screen.wait(10)
    screen.stdout.close()


@pytest.fixture(params=["chromium", pytest.param("webkit", marks=pytest.mark.slow)])
def engine(request: pytest.FixtureRequest) -> str:
    """The browser engine a test runs in; ask for it to run in all."""
    return str(request.param)


@pytest.fixture
def browser(request: pytest.FixtureRequest, server: ServerProcess, tenant: Tenant) -> Iterator[Open]:
    """A function that starts a browser, on a profile of an earlier one if given; Chromium unless the test asks for `engine`."""
    opened: list[Browser] = []
    engine = request.getfixturevalue("engine") if "engine" in request.fixturenames else "chromium"
    screen = request.getfixturevalue("display") if engine == "webkit" else ""

    def start(profile: Path | None = None) -> Browser:
        opened.append(Browser(server.url, profile, engine=engine, display=screen))
        return opened[-1]

    yield start
    for each in opened:
        each.quit()
    for profile in {each.profile for each in opened}:
        shutil.rmtree(profile, ignore_errors=True)
