"""What needs a person: conflicts, refused edits, a revoked device. Nothing is dropped, and the app says what to do."""

import pytest

from tenants.models import Device
from tenants.tokens import revoke
from tests.browser import engines
from tests.browser.fixtures import in_every_engine, office

pytestmark = [pytest.mark.slow]


def conflict(tom, server, tenant, title: str) -> None:
    """Tom and the office change the same title while Tom is offline."""
    server.kill()
    tom.offline().type("title", title).save()
    office(tenant, "jobs", "j1", "update", [{"op": "replace", "path": "/title", "value": f"Office against {title}"}])
    server.start()
    tom.says("changed the same fields")


@in_every_engine
def test_a_conflict_raises_an_alert_and_is_settled_by_a_person(at, server, tenant) -> None:
    tom = at().go().log_in("tom").open("jobs", "j1")

    conflict(tom, server, tenant, "Mine")
    assert tom.find(".notice.warn").text.startswith("Conflict")
    tom.click("Review", within=".notice.warn")
    sheet = tom.find("dialog.conflict")
    for said in ("Mine", "Office against Mine", "Original: Boiler service", "olga"):
        assert said in sheet.text
    tom.click("Keep mine")
    tom.sent().sees("title", "Mine").until("!document.querySelector('.notice.warn')")

    conflict(tom, server, tenant, "Mine again")
    tom.click("Review", within=".notice.warn")
    tom.click("Keep theirs")
    tom.sent().sees("title", "Office against Mine again").until("!document.querySelector('.notice.warn')")

    conflict(tom, server, tenant, "Third")
    tom.click("Review", within=".notice.warn")
    tom.find("dialog input[value=own]").click()
    own = tom.find("dialog .own-value input")
    own.clear()
    own.send_keys("Agreed by both")
    tom.click("Save choices")
    tom.sent().sees("title", "Agreed by both")
    at().go().log_in("tess").open("jobs", "j1").sees("title", "Agreed by both")


def test_on_a_phone_a_conflict_is_told_once_on_the_page_in_front(at, server, tenant) -> None:
    tom = at(size=engines.PHONE).go().log_in("tom").open("jobs", "j1")
    conflict(tom, server, tenant, "Mine")
    tom.until("document.querySelectorAll('.notice.warn').length === 2")
    shown = (
        "return [...document.querySelectorAll('.notice.warn')]"
        ".filter((e) => e.checkVisibility()).map((e) => e.parentElement.className)"
    )
    assert tom.js(shown) == ["notices"]
    tom.visit("#/o/customers").sees_row("Harbour Hotel")
    assert tom.js(shown) == ["alerts"]
    tom.click("Review", within=".alerts")
    tom.click("Keep theirs")
    tom.sent().until("!document.querySelector('.notice.warn')")


def test_that_something_was_done_is_not_said_any_more_once_it_is_refused(at, server, tenant) -> None:
    tom = at().go().log_in("tom").visit("#/new/customers")
    tom.sees("name", "").type("name", "Double").type("code", "C-1")
    # By itself the message would go after six seconds; here it never would.
    tom.js(
        "const later = setTimeout; "
        "window.setTimeout = (act, ms, ...rest) => (ms === 6000 ? 0 : later(act, ms, ...rest))"
    )
    server.kill()
    tom.offline().save().says("created")
    office(tenant, "customers", "c9", "insert", {"name": "Was here before", "code": "C-1"})
    server.start()
    tom.until("document.querySelector('.attention')?.textContent === '1'")
    tom.until("!document.querySelector('.toast')")


def test_an_edit_that_meets_a_delete_asks_whether_the_record_comes_back(at, server, tenant) -> None:
    tom = at().go().log_in("tom").open("jobs", "j1")
    server.kill()
    tom.offline().type("notes", "Still needed").save()
    office(tenant, "jobs", "j1", "delete", None)
    server.start()
    tom.says("Someone else changed the same fields.").click("Review", within=".alerts")
    tom.click("Restore with my changes")
    tom.sent().sees("notes", "Still needed").sees("title", "Boiler service")


def test_a_refused_edit_says_why_and_is_repaired_or_discarded(at, server, tenant) -> None:
    tom = at().go().log_in("tom").visit("#/o/customers")
    tom.sees_row("Harbour Hotel")
    server.kill()
    tom.offline()
    for name in ("First double", "Second double"):
        tom.visit("#/new/customers")
        tom.until("document.querySelector('.record h1')?.textContent.startsWith('New')")
        tom.sees("name", "").type("name", name).type("code", "C-1").save()
        tom.until("location.hash.startsWith('#/o/customers/')")
    office(tenant, "customers", "c9", "insert", {"name": "Was here before", "code": "C-1"})
    server.start()
    tom.until("document.querySelector('.attention')?.textContent === '2'")
    tom.find(".attention").click()
    tom.says("Rejected (2)")
    tom.click("Fix", within=".entry")
    tom.sees("code", "C-1").until("document.querySelector('[data-field=code] .error').textContent")
    tom.type("code", "C-2").save()
    tom.says("Rejected (1)")
    tom.click("Discard", within=".entry")
    tom.click("Discard", within="dialog")
    tom.says("Everything is synced")
    tom.visit("#/o/customers").sees_row("First double")


def test_a_revoked_device_says_so_keeps_its_work_and_goes_on_after_logging_in(at, server, tenant) -> None:
    tom = at().go().log_in("tom").open("jobs", "j1")
    revoke(Device.objects.get(user__username="tom"))
    tom.says("The server signed this device out.")
    tom.type("title", "Written while signed out").save()
    tom.says("1 pending")
    tom.click("Sign in", within=".alerts")
    tom.fill_log_in(password="secret")
    tom.live().until("!document.querySelector('.alerts .notice')")
    at().go().log_in("tess").open("jobs", "j1").sees("title", "Written while signed out")
