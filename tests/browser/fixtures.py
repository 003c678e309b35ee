"""Fixtures of all browser tests: a real server, browsers that are closed afterwards, and evidence of failures.

A test runs in Chromium unless it is decorated with `in_every_engine`. If a browser is not installed, its tests are
skipped with a message that says what to install; with CI=true they fail.
"""

import functools
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from metadata.publish import publish
from sync.settle.push import push
from sync.wire.ops import Actor, Op
from tenants.models import Tenant
from tests.browser import engines
from tests.browser.window import Window
from tests.builders import make_field_service, make_tenant, make_user
from tests.contract.servers import ROOT, ServerProcess

WEB = ROOT / "clients" / "web"
EVIDENCE = ROOT / "build" / "browser-failures"
BUILT = (WEB / "sdk/vendor/sqlite3/sqlite3.wasm", WEB / "node_modules/axe-core/axe.min.js")

in_every_engine = pytest.mark.parametrize("engine", engines.ENGINES)

W = TypeVar("W", bound=Window)


@functools.cache
def not_built() -> str:
    """Say that there is no web client to test; nothing when there is."""
    return (
        ""
        if all(path.exists() for path in BUILT)
        else "the web client is not built (npm ci && npm run build in clients/web)"
    )


def skip_if(reason: str) -> None:
    """Skip a test for a reason, if there is one; with CI=true nothing may be missing, and it fails."""
    if reason:
        pytest.fail(f"CI=true, but {reason}", pytrace=False) if os.environ.get("CI") == "true" else pytest.skip(reason)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Say what is missing before a server is started for nothing."""
    engine = getattr(item, "callspec", None) and item.callspec.params.get("engine")
    skip_if(not_built() or engines.missing(engine or "chromium"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep evidence the moment a test fails, while its browsers are still there."""
    report = yield
    opened: list[Window] = getattr(item, "funcargs", {}).get("windows", [])
    if report.failed and call.when == "call":
        folder = EVIDENCE / re.sub(r"\W+", "-", item.nodeid.removeprefix("tests/")).strip("-")
        shutil.rmtree(folder, ignore_errors=True)
        for number, window in enumerate(opened, 1):
            window.leave_evidence(folder, f"{number}-{window.engine}")
        server = item.funcargs.get("server")  # type: ignore[attr-defined]
        if isinstance(server, ServerProcess):
            (folder / "server.txt").write_text(server.log)
        report.sections.append(("evidence", f"pictures, consoles and the server's log: {folder.relative_to(ROOT)}"))
    return report


class Windows(list[Window]):
    """The browsers of a test."""

    def __init__(self, engine: str, screen: Callable[[], str]) -> None:
        super().__init__()
        self.engine, self.screen = engine, screen

    def start(self, kind: type[W], url: str, *, profile: Path | None = None, engine: str = "", **more: Any) -> W:
        """Start a browser, on the profile of an earlier one if given."""
        engine = engine or self.engine
        home = profile or Path(tempfile.mkdtemp(prefix=f"moat-{engine}-"))
        screen = self.screen() if engine == "webkit" else ""
        window = kind(url, home, engine=engine, screen=screen, **more)
        self.append(window)
        return window


@pytest.fixture
def engine() -> str:
    """The engine a test runs in."""
    return "chromium"


@pytest.fixture(scope="session")
def screen() -> Iterator[str]:
    """The virtual screen of this test process."""
    with engines.virtual_screen() as name:
        yield name


@pytest.fixture
def windows(request: pytest.FixtureRequest, engine: str) -> Iterator[Windows]:
    """A test's browsers. Afterwards they are closed, their profiles deleted, their consoles checked for errors."""
    opened = Windows(engine, lambda: str(request.getfixturevalue("screen")))
    yield opened
    try:
        problems = [line for window in opened for line in window.problems()]
    finally:
        for window in opened:
            window.quit()
        for profile in {window.profile for window in opened}:
            shutil.rmtree(profile, ignore_errors=True)
    assert not problems, problems


@pytest.fixture
def server(transactional_db: None) -> Iterator[ServerProcess]:
    """A server of the test's own, to kill and to start again."""
    yield from serve("tests.browser.settings")


def serve(settings: str, **environment: str) -> Iterator[ServerProcess]:
    """Run a server for one test; at its end nothing in its log may have gone wrong."""
    process = ServerProcess(environment={"DJANGO_SETTINGS_MODULE": settings, **environment}).start()
    yield process
    process.stop()
    log, failures = process.log, process.failures()
    shutil.rmtree(process.data)
    assert not failures, log[-4000:]


def make_acme() -> Tenant:
    """Make the tenant acme with published types and the users tom and tess."""
    tenant = make_tenant("acme")
    make_field_service(tenant)
    publish(tenant.pk)
    for name in ("tom", "tess"):
        make_user(tenant, name)
    tenant.refresh_from_db()
    return tenant


def office(tenant: Tenant, table: str, record: str, op: str, payload: Any) -> None:
    """Write as a user of the office, directly on the server."""
    [result] = push(Actor(tenant.pk, "olga"), [Op(1, None, table, record, op, None if op != "insert" else 0, payload)])
    assert result.status in ("applied", "merged"), result
