"""The page as such: its policy, its names for screen readers, its sizes, its keys, its start without a server."""

from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from tests.browser import engines

pytestmark = [pytest.mark.slow]

AXE = Path(__file__).resolve().parents[2] / "clients/web/node_modules/axe-core/axe.min.js"
SEEN = """
const done = arguments[arguments.length - 1];
axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => done(violations
  .filter(({ impact }) => impact === 'serious' || impact === 'critical')
  .map(({ id, nodes }) => id + ': ' + nodes.map((node) => node.html).join(' | '))), (error) => done([String(error)]));
"""
SMALL = """
return [...document.querySelectorAll('button, a, input, select, textarea')].filter((e) => e.checkVisibility() && !e.closest('.skip') && !e.matches('.skip')).flatMap((e) => {
  const hit = (e.matches('input[type=checkbox], input[type=radio]') && e.closest('label')) || e;
  const { width, height } = hit.getBoundingClientRect();
  return width && (width < 44 || height < 32 || (height < 44 && !e.matches('.switch'))) ? [`${e.outerHTML.slice(0, 120)} ${Math.round(width)}×${Math.round(height)}`] : [];
});
"""


def look(person) -> None:
    """No serious accessibility finding, nothing too small for a finger, nothing wider than the screen."""
    person.driver.execute_script(AXE.read_text())
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
    tom.click("Filter, sort and columns")
    tom.click("Add a filter")
    look(tom)
    tom.visit("#/o/jobs/j1").find(".record .control")
    tom.click("History")
    tom.says("created the record")
    look(tom)
    assert tom.js("return window.violations ?? []") == []


def test_a_page_is_worked_without_a_mouse(at) -> None:
    tom = at().go().log_in("tom").visit("#/o/jobs").sees_row("Boiler service")
    body = tom.find("body")
    body.send_keys("/")
    tom.driver.switch_to.active_element.send_keys("boil", Keys.ARROW_DOWN, Keys.ENTER)
    tom.sees("title", "Boiler service")
    tom.input("title").send_keys(" done", Keys.CONTROL, "s")
    tom.says("Saved.").sent()
    tom.input("title").send_keys(Keys.ESCAPE)
    tom.until("location.hash === '#/o/jobs' && document.activeElement.matches('.virtual')")
    tom.driver.switch_to.active_element.send_keys("n")
    tom.until("location.hash === '#/new/jobs'")


def test_the_service_worker_keeps_every_file_it_lists(at, server) -> None:
    tom = at().go()
    tom.starts_offline()
    tom.find("input[name=password]")
    server.kill()
    tom.go().find("input[name=password]")
    tom.fill_log_in(tenant="acme", user="tom", password="secret")
    tom.says("The server cannot be reached.")
