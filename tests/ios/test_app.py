"""The app's bundle, run at `capacitor://localhost` in a real WebKit against a server on another origin."""

import re
import time
import urllib.request

import pytest
from django.db import connection

from sync.settle.push import push
from sync.wire.ops import Actor, Op
from tenants.models import Device, Tenant
from tests.contract.servers import ServerProcess
from tests.ios.conftest import Take, office
from tests.ios.phone import Phone

pytestmark = [pytest.mark.slow]

JOBS = 400
STATE = "document.querySelector('[data-phase]')?.dataset"


def log_in(phone: Phone, server: ServerProcess, user: str = "tom") -> Phone:
    """Name the server, log in and wait for the data."""
    phone.find("input[name=server]")
    phone.fill_log_in(server=server.url, tenant="acme", user=user, password="secret")
    return phone.live()


def on_server(tenant: Tenant, job: str) -> dict[str, object]:
    """What the server holds of a job."""
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT "title", "notes" FROM "t{tenant.pk}_jobs" WHERE "id" = %s', [job])
        return dict(zip(("title", "notes"), cursor.fetchone(), strict=True))


def eventually_on_server(tenant: Tenant, job: str, **expected: object) -> None:
    """Wait until the server holds what it should."""
    deadline = time.monotonic() + 30
    while expected.items() - on_server(tenant, job).items():
        assert time.monotonic() < deadline, on_server(tenant, job)
        time.sleep(0.05)


def metric(server: ServerProcess, name: str) -> float:
    """A figure of the server's."""
    request = urllib.request.Request(
        f"{server.url}/metrics", headers={"Authorization": f"Bearer {server.environment['METRICS_TOKEN']}"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        found = re.search(rf"^{re.escape(name)} (\S+)$", response.read().decode(), re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_the_first_start_asks_for_a_server_and_takes_only_https(take: Take, server: ServerProcess) -> None:
    phone = take().launch()
    phone.find("input[name=server]")
    assert phone.js("return [location.origin, isSecureContext, innerWidth, innerHeight]") == [
        "capacitor://localhost",
        True,
        390,
        844,
    ]
    phone.fill_log_in(tenant="acme", user="tom", password="secret")
    phone.says("Server, company, user name, and password are required.")
    for address in ("http://moat.example", "https://tom:secret@moat.example", "not a server"):
        phone.fill_log_in(server=address)
        expected = "/full server address|must start with https|user name or password/"
        phone.until(f"{expected}.test(document.querySelector('.error')?.textContent)")
    phone.fill_log_in(server=server.url, password="wrong")
    phone.says("The company, user name, or password is incorrect.")
    assert not Device.objects.exists()


def test_a_first_sync_a_live_edit_each_way_and_an_edit_without_server_that_outlives_the_app(
    take: Take, server: ServerProcess, tenant: Tenant
) -> None:
    ops = [Op(i + 1, None, "jobs", f"job-{i:03}", "insert", 0, {"title": f"Job {i}"}) for i in range(JOBS)]
    assert all(result.accepted for result in push(Actor(tenant.pk, "olga"), ops))
    phone = log_in(take().launch(), server)
    assert metric(server, 'moat_snapshot_parts_total{way="http"}') >= 1
    assert Device.objects.get().name == "App on iPhone"
    # Where it is kept, and that no token and no address lies where scripts of another origin's page could ever look.
    phone.visit("#/diagnostics").says("IndexedDB").says(server.url)
    phone.until(r"/Records in jobs\s+401/.test(document.body.innerText)")
    assert phone.js("return Object.keys(localStorage)") == ["moat.tenant"]
    assert phone.js("return navigator.serviceWorker?.controller ?? null") is None

    phone.open("jobs", "j1").sees("title", "Boiler service")
    office(tenant, "jobs", "j1", "update", [{"op": "replace", "path": "/notes", "value": "Ask for Anna."}])
    phone.sees("notes", "Ask for Anna.")
    phone.type("title", "Seen at the office").save()
    eventually_on_server(tenant, "j1", title="Seen at the office")

    phone.live()
    server.kill()
    phone.phase("offline").type("title", "Written in a cellar").save()
    phone.kill()
    again = take(phone.profile).launch("#/o/jobs/j1").sees("title", "Written in a cellar")
    again.until(f"{STATE}?.pending === '1'")
    office(tenant, "jobs", "j1", "update", [{"op": "replace", "path": "/notes", "value": "Ask for Berta."}])
    server.start()
    again.live().sees("title", "Written in a cellar").sees("notes", "Ask for Berta.")
    eventually_on_server(tenant, "j1", title="Written in a cellar", notes="Ask for Berta.")


def test_an_app_that_comes_to_the_front_connects_at_once(take: Take, server: ServerProcess) -> None:
    phone = log_in(take().launch(), server)
    for event in ("resume", "visibilitychange"):
        server.stop()  # its farewell asks everybody to stay away for a quarter of an hour
        phone.phase("offline")
        server.start()
        phone.js("document.dispatchEvent(new Event(arguments[0]))", event)
        phone.live()


def test_after_logging_out_another_server_can_be_named(take: Take, server: ServerProcess) -> None:
    phone = log_in(take().launch(), server)
    phone.click("Account and diagnostics")
    phone.click("Sign out", within="dialog")
    phone.click("Sign out and keep data", within="dialog")
    phone.until("document.querySelector('input[name=server]')?.value === arguments[0]", server.url)
    phone.fill_log_in(server="https://127.0.0.1:9", password="secret")
    phone.says("Can’t reach the server.")
    phone.fill_log_in(server=server.url, password="secret")
    phone.live()
