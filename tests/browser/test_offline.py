"""Without a server: the app starts, accepts edits, and loses nothing, whichever process is killed."""

import pytest

from tests.browser.fixtures import in_every_engine, office

pytestmark = [pytest.mark.slow]


@in_every_engine
def test_an_offline_edit_survives_a_reload_with_the_server_dead_and_merges_when_it_is_back(at, server, tenant) -> None:
    tom = at().go().log_in("tom").open("jobs", "j1")
    # The service worker has taken over once it answers for the page.
    tom.starts_offline()
    server.kill()
    tom.offline().type("title", "Written in a cellar").save()
    tom.visit("#/new/customers")
    tom.type("name", "Met in a cellar").save()
    tom.until("location.hash.startsWith('#/o/customers/')")
    tom.go("#/o/jobs/j1").sees("title", "Written in a cellar").says("2 pending")
    tom.says("Not sent yet")
    tom.visit("#/o/customers").fill("input[type=search]", "cellar")
    tom.until("document.querySelector('.count').textContent === '1'")
    server.start()
    office(tenant, "jobs", "j1", "update", [{"op": "replace", "path": "/price", "value": "101.00"}])
    tom.visit("#/o/jobs/j1").live().sees("title", "Written in a cellar").sees("price", "101.00")
    tess = at().go().log_in("tess").open("jobs", "j1").sees("title", "Written in a cellar")
    tess.visit("#/o/customers").sees_row("Met in a cellar")


def test_a_pending_edit_can_be_taken_back_before_it_is_sent(at, server) -> None:
    tom = at().go().log_in("tom").open("jobs", "j1")
    server.kill()
    tom.offline().type("title", "A mistake").save()
    tom.says("Not sent yet").click("Undo", within=".notices")
    tom.sees("title", "Boiler service").until("!document.querySelector('.notices .notice')")
    tom.until("document.querySelector('.sync-state').dataset.pending === '0'")


@in_every_engine
def test_a_browser_killed_right_after_saving_has_what_was_saved(at, server) -> None:
    tom = at().go().log_in("tom").open("jobs", "j1")
    tom.starts_offline()
    server.kill()
    tom.offline()
    for n in range(5):
        tom.type("title", f"Edit {n}").save()
    tom.kill()
    again = at(profile=tom.profile).go("#/o/jobs/j1").sees("title", "Edit 4").says("5 pending")
    server.start()
    again.live()
    at().go().log_in("tess").open("jobs", "j1").sees("title", "Edit 4")


# Saves one edit after the other as fast as the app lets it, and says which one was saved last.
KEEP_SAVING = """
const field = () => document.querySelector('[data-field="title"] input');
const named = (name) => [...document.querySelectorAll('button')]
  .find((e) => e.checkVisibility() && e.textContent.trim() === name);
const until = async (condition) => { while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1)); };
window.saved = 0;
(async () => {
  for (let number = 1; ; number++) {
    field().value = `Edit ${number}`;
    field().dispatchEvent(new Event('input', { bubbles: true }));
    await until(() => named('Save') && !named('Save').disabled);
    named('Save').click();
    await until(() => !(named('Save') && !named('Save').disabled) && !(named('Cancel') && !named('Cancel').disabled));
    window.saved = number;
  }
})();
"""


@in_every_engine
def test_a_browser_killed_in_the_middle_of_writing_has_everything_it_said_was_saved(at, server) -> None:
    tom = at().go().log_in("tom").open("jobs", "j1").starts_offline()
    server.kill()
    tom.offline().js(KEEP_SAVING)
    saved = tom.until("window.saved > 20 && window.saved")
    tom.kill()
    again = at(profile=tom.profile).go("#/o/jobs/j1").offline()
    title = again.until(
        "/^Edit \\d+$/.test(document.querySelector('[data-field=title] input')?.value)"
        " && document.querySelector('[data-field=title] input').value"
    )
    kept = int(title.removeprefix("Edit "))
    assert kept >= saved
    again.until("document.querySelector('[data-pending]').dataset.pending === arguments[0]", str(kept))
    server.start()
    again.live()
    at().go().log_in("tess").open("jobs", "j1").sees("title", title)


@in_every_engine
def test_when_the_tab_that_leads_is_closed_the_other_goes_on(at) -> None:
    tom = at().go().log_in("tom").open("jobs", "j1")
    first = tom.driver.current_window_handle
    second = tom.tab()
    tom.go("#/o/jobs/j1").sees("title", "Boiler service").live().type("title", "From the second tab").save()
    tom.driver.switch_to.window(first)
    tom.sees("title", "From the second tab")
    tom.driver.switch_to.window(second)
    tom.close_tab(first)
    tom.type("title", "After the first is gone").save().sent()
    tess = at().go().log_in("tess").open("jobs", "j1").sees("title", "After the first is gone")
    tess.type("notes", "And back.").save()
    tom.sees("notes", "And back.")
