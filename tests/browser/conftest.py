"""Fixtures of the app's tests: a real server, a tenant, and people at browsers. Without a browser they skip, unless CI is true."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from layouts import publish as layouts
from layouts.models import LayoutDefinition
from metadata.publish import publish
from sync.engine import push
from sync.ops import Actor, Op
from tenants.models import Tenant
from tests.browser import engines
from tests.browser.person import Person
from tests.builders import make_field_service, make_tenant, make_user
from tests.contract.servers import ServerProcess

WEB = Path(__file__).resolve().parents[2] / "clients" / "web"
JOB = {
    "type": "VerticalLayout",
    "elements": [
        {"type": "HorizontalLayout", "elements": [{"type": "Control", "scope": f"#/properties/{name}"} for name in ("title", "status")]},
        {
            "type": "Group",
            "label": "Work",
            "elements": [{"type": "Control", "scope": f"#/properties/{name}"} for name in ("customer", "notes", "crew", "price", "urgent")],
        },
    ],
}

At = Callable[..., Person]


def _refuse_or_skip(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"the browser tests cannot run: {reason}")
    pytest.skip(reason)


@pytest.fixture(params=engines.ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """The browser engine a test runs in."""
    if reason := engines.missing(request.param):
        _refuse_or_skip(reason)
    return str(request.param)


@pytest.fixture(scope="session", autouse=True)
def _built_client() -> None:
    """Fetch what the client needs from npm when it is not there."""
    if (WEB / "sdk/vendor/sqlite3/sqlite3.wasm").exists() and (WEB / "node_modules/axe-core").exists():
        return
    npm = shutil.which("npm")
    if npm is None:
        _refuse_or_skip("npm is missing")
    for arguments in (["ci", "--silent"], ["run", "--silent", "build"]):
        subprocess.run([str(npm), *arguments], cwd=WEB, check=True)


@pytest.fixture
def server(transactional_db: None) -> Iterator[ServerProcess]:
    """A server of the test's own, to kill and to start again."""
    if connection.vendor != "sqlite":
        pytest.skip("the browser does not see which database the server has: once is enough")
    process = ServerProcess(environment={"DJANGO_SETTINGS_MODULE": "tests.browser.settings"}).start()
    yield process
    process.stop()
    assert "Traceback" not in process.log, process.log[-4000:]


@pytest.fixture
def tenant(transactional_db: None) -> Tenant:
    """The tenant acme with published types, a layout, a customer, a job, and the users tom and tess."""
    tenant = make_tenant("acme")
    make_field_service(tenant)
    publish(tenant.pk)
    for name in ("tom", "tess"):
        make_user(tenant, name)
    tenant.refresh_from_db()
    layouts.save(LayoutDefinition(tenant=tenant, object_name="job", label="Job", layout_json=JOB), "olga")
    office(tenant, "customers", "c1", "insert", {"name": "Harbour Hotel"})
    office(tenant, "jobs", "j1", "insert", {"title": "Boiler service", "customer": "c1", "price": "95.00", "notes": "Ring twice."})
    return tenant


@pytest.fixture
def at(server: ServerProcess, tenant: Tenant, engine: str) -> Iterator[At]:
    """A function that puts a person at a new browser, on an earlier profile if given."""
    people: list[Person] = []

    def start(*, profile: Path | None = None, size: tuple[int, int] = engines.DESKTOP, url: str | None = None) -> Person:
        home = profile or Path(tempfile.mkdtemp(prefix="moat-browser-"))
        driver = engines.ENGINES[engine][0](home, size)
        people.append(Person(driver, url or server.url, home))
        return people[-1]

    yield start
    problems = [line for person in people for line in person.log() if "Content Security Policy" in line or "Uncaught" in line]
    for person in people:
        try:
            person.driver.quit()
        except Exception:
            engines.kill(person.driver, person.profile)
    for profile in {person.profile for person in people}:
        shutil.rmtree(profile, ignore_errors=True)
    assert not problems, problems


def office(tenant: Tenant, table: str, record: str, op: str, payload: Any) -> None:
    """Write as somebody at the server does."""
    [result] = push(Actor(tenant.pk, "olga"), [Op(1, None, table, record, op, None if op != "insert" else 0, payload)])
    assert result.status in ("applied", "merged"), result
