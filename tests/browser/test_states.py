"""Every state of the app is accessible and fits, light and dark: empty, offline, in conflict, rejected, signed out."""

import pytest

from tenants.models import Device
from tenants.tokens import revoke
from tests.browser import engines
from tests.browser.conftest import office
from tests.browser.test_page import look
from tests.sync.access_builders import make_member, make_profile

pytestmark = [pytest.mark.slow]
NIGHT = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
PLACES = {
    "#/o/jobs": ".item .title",
    "#/o/jobs/j1": ".record .control",
    "#/new/jobs": ".record .control",
    "#/o/line_items": ".list-view .empty",
    "#/outbox": ".page .empty",
    "#/diagnostics": ".facts dd",
}


def dark(person):
    """Turn the lights off, where the engine can."""
    if hasattr(person.driver, "execute_cdp_cmd"):
        person.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", NIGHT)
    return person


@pytest.mark.parametrize("size", [engines.DESKTOP, engines.PHONE], ids=["desktop", "phone"])
def test_every_page_is_accessible_in_the_dark(at, size) -> None:
    tom = dark(at(size=size)).go()
    tom.find("input[name=password]")
    look(tom)
    tom.log_in("tom")
    for place, sign in PLACES.items():
        tom.visit(place).find(sign)
        look(tom)
    tom.visit("#/new/jobs").find(".record .control")
    tom.click("Save")
    tom.until("document.querySelector('[data-field=title] .error').textContent")
    look(tom)
    tom.click("Account and diagnostics")
    look(tom)
    assert tom.js("return window.violations ?? []") == []


@pytest.mark.parametrize("lights", ["light", "dark"])
def test_trouble_is_accessible(at, server, tenant, lights) -> None:
    tom = at(size=engines.PHONE)
    if lights == "dark":
        dark(tom)
    tom.go().log_in("tom").open("jobs", "j1")
    server.kill()
    tom.phase("offline").type("title", "Mine").save()
    tom.says("Not sent yet.")
    look(tom)
    tom.visit("#/new/customers").until("document.querySelector('.record h1')?.textContent.startsWith('New')")
    tom.sees("name", "").type("name", "Double").type("code", "C-1").save()
    office(tenant, "customers", "c9", "insert", {"name": "Was here before", "code": "C-1"})
    office(tenant, "jobs", "j1", "update", [{"op": "replace", "path": "/title", "value": "Theirs"}])
    server.start()
    tom.until("document.querySelector('.attention')?.textContent === '2'")
    tom.visit("#/outbox").says("Rejected (1)")
    look(tom)
    tom.click("Fix", within=".entry")
    tom.until("document.querySelector('[data-field=code] .error').textContent")
    look(tom)
    tom.click("Review", within=".alerts")
    tom.find("dialog input[value=own]").click()
    tom.find("dialog .own-value input")
    look(tom)
    tom.js("document.querySelector('dialog').close()")
    revoke(Device.objects.get(user__username="tom"))
    tom.says("The server signed this device out.")
    look(tom)
    assert tom.js("return window.violations ?? []") == []


def test_a_record_to_read_only_is_accessible_on_the_smallest_phone(at, tenant) -> None:
    rules = {"job": {"can_update": True, "writable_fields": ["notes"]}, "customer": {}}
    make_member(make_profile(tenant, "Readers", rules), "rita")
    long = (
        "Replace the expansion vessel, the safety valve and "
        "Donaudampfschifffahrtselektrizitätenhauptbetriebswerk fittings"
    )
    office(tenant, "jobs", "j1", "update", [{"op": "replace", "path": "/title", "value": long}])
    rita = at(size=(320, 640)).go().log_in("rita").visit("#/o/jobs").sees_row(long)
    look(rita)
    rita.open("jobs", "j1").until("document.querySelector('[data-field=customer] output a')")
    rita.until("document.querySelector('[data-field=title] output').textContent === arguments[0]", long)
    look(rita)


def test_a_wide_list_is_a_table_that_sorts_and_shrinks_beside_a_record(at, tenant) -> None:
    for n, crew in enumerate((3, 1, 2)):
        office(tenant, "jobs", f"n{n}", "insert", {"title": f"Visit {crew}", "crew": crew})
    tom = at().go().log_in("tom").visit("#/o/jobs").sees_row("Visit 1")
    tom.until("[...document.querySelectorAll('.table-head > *')].every((e) => e.checkVisibility())")
    by_title = [f"Visit {n}" for n in (1, 2, 3)]
    tom.click("Sort by title")
    tom.until(
        "[...document.querySelectorAll('.item .title')].map((e) => e.textContent)"
        ".filter((t) => t.startsWith('Visit')).join() === arguments[0]",
        ",".join(by_title),
    )
    tom.click("Sort by title, ascending")
    tom.until(
        "[...document.querySelectorAll('.item .title')].map((e) => e.textContent)"
        ".filter((t) => t.startsWith('Visit')).join() === arguments[0]",
        ",".join(by_title[::-1]),
    )
    tom.open("jobs", "n0")
    tom.until("!document.querySelector('.table-head').checkVisibility()")
    boxes = tom.js(
        "return ['.list', '.detail'].map((css) => document.querySelector(css).getBoundingClientRect())"
        ".map(({ left, right }) => [left, right])"
    )
    assert boxes[0][1] <= boxes[1][0] + 1, "side by side"
    tom.until("document.querySelector('.item[aria-selected=true]')?.dataset.id === 'n0'")
