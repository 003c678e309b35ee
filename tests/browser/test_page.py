"""The page as such: its policy, its names for screen readers, its sizes, its keys, its start without a server."""

from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from tests.browser import engines
from tests.browser.fixtures import office

pytestmark = [pytest.mark.slow]

AXE = Path(__file__).resolve().parents[2] / "clients/web/node_modules/axe-core/axe.min.js"
SEEN = """
const done = arguments[arguments.length - 1];
axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => done(violations
  .filter(({ impact }) => impact === 'serious' || impact === 'critical')
  .map(({ id, nodes }) => id + ': ' + nodes.map((node) => node.html).join(' | '))), (error) => done([String(error)]));
"""
#: The box of a moving element is multiplied by its transform, and is thus 43.99998 px high. Wait until it has stopped.
STILL = """
const done = arguments[arguments.length - 1];
const ends = document.getAnimations()
  .filter(({ effect }) => effect.getComputedTiming().iterations !== Infinity)
  .map(({ finished }) => finished);
Promise.allSettled(ends).then(() => done(true));
"""
SMALL = """
return [...document.querySelectorAll('button, a, input, select, textarea')]
  .filter((e) => e.checkVisibility() && !e.closest('.skip') && !e.matches('.skip')).flatMap((e) => {
  const hit = (e.matches('input[type=checkbox], input[type=radio]') && e.closest('label')) || e;
  const box = hit.getBoundingClientRect();
  const width = Math.round(box.width * 16) / 16, height = Math.round(box.height * 16) / 16;
  return width && (width < 44 || height < 32 || (height < 44 && !e.matches('.switch')))
    ? [`${e.outerHTML.slice(0, 120)} ${Math.round(width)}×${Math.round(height)}`] : [];
});
"""


def look(person) -> None:
    """No serious accessibility finding, nothing too small for a finger, nothing wider than the screen."""
    person.driver.execute_script(AXE.read_text())
    assert person.driver.execute_async_script(STILL)
    assert person.driver.execute_async_script(SEEN) == []
    assert person.js(SMALL) == []
    assert person.js("return document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("size", [engines.DESKTOP, engines.PHONE, (320, 640)], ids=["desktop", "phone", "smallest"])
def test_every_page_is_accessible_and_fits(at, size) -> None:
    tom = at(size=size).go()
    tom.find("input[name=password]")
    look(tom)
    tom.log_in("tom")
    for place, sign in {
        "#/o/jobs": ".item .title",
        "#/o/jobs/j1": ".record .control",
        "#/new/jobs": ".record .control",
        "#/outbox": ".page h1",
        "#/diagnostics": ".facts dd",
        "#/": "[aria-current], .types a",
    }.items():
        tom.visit(place).find(sign)
        look(tom)
    tom.visit("#/o/jobs").find(".item .title")
    tom.click("Filter, sort, and columns")
    tom.click("Add filter")
    look(tom)
    tom.visit("#/o/jobs/j1").find(".record .control")
    tom.click("History")
    tom.says("created the record")
    look(tom)
    tom.driver.back()
    tom.until("!document.querySelector('dialog')")
    assert tom.js("return window.violations ?? []") == []


@pytest.mark.parametrize("size", [engines.DESKTOP, engines.PHONE], ids=["desktop", "phone"])
def test_whatever_asks_for_a_decision_is_accessible_and_fits(at, server, tenant, size) -> None:
    tom = at(size=size).go().log_in("tom").open("jobs", "j1")
    server.kill()
    tom.offline().type("title", "Mine").save()
    tom.visit("#/outbox").says("Mine")
    look(tom)
    office(tenant, "jobs", "j1", "update", [{"op": "replace", "path": "/title", "value": "Theirs"}])
    server.start()
    tom.click("Review", within="[role=alert]")
    tom.find("dialog[open]")
    look(tom)
    tom.click("Keep theirs")
    tom.open("jobs", "j1").sees("title", "Theirs").click("Delete")
    tom.find("dialog[open]")
    look(tom)
    tom.keys(Keys.ESCAPE).until("!document.querySelector('dialog[open]')")
    tom.click("Account and diagnostics")
    tom.find("dialog[open]")
    look(tom)


def test_everything_is_done_without_a_mouse(at) -> None:
    tom = at().go()

    def tab_to(name: str) -> None:
        """Press Tab until what has the focus has this name."""
        for _ in range(60):
            tom.keys(Keys.TAB)
            focused = tom.js(
                "return (document.activeElement.getAttribute('aria-label') ?? "
                "document.activeElement.textContent).trim()"
            )
            if focused == name:
                return
        raise AssertionError(f"Tab never comes to {name}")

    tom.until("document.activeElement.name === 'tenant'")
    tom.keys("acme", Keys.TAB, "tom", Keys.TAB, "secret", Keys.ENTER).live()
    tab_to("Jobs")
    tom.keys(Keys.ENTER).sees_row("Boiler service").keys("/")
    tom.until("document.activeElement.type === 'search'")
    tom.keys("boil", Keys.ARROW_DOWN, Keys.ENTER).sees("title", "Boiler service")
    tom.input("title").send_keys(" done", Keys.CONTROL, "s")
    tom.says("Saved")
    tom.input("title").send_keys(" well")
    tab_to("Save")
    tom.keys(Keys.ENTER).until("document.querySelectorAll('button:disabled').length")
    tom.sent().input("title").send_keys(Keys.ESCAPE)
    tom.until("location.hash === '#/o/jobs' && document.activeElement.matches('[role=listbox]')")
    tom.sees_row("Boiler service done well").keys("n").until("location.hash === '#/new/jobs'")


def test_the_service_worker_keeps_every_file_it_lists(at, server) -> None:
    tom = at().go()
    tom.starts_offline()
    tom.find("input[name=password]")
    server.kill()
    tom.go().find("input[name=password]")
    tom.fill_log_in(tenant="acme", user="tom", password="secret")
    tom.says("Can’t reach the server.")
