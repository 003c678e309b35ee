"""A change of one client appears on the other: at once if both are online, otherwise when both are online again."""

import time

import pytest

from sync.settle.push import push
from sync.wire.ops import Actor, Op
from tests.browser.fixtures import in_every_engine, office
from tests.browser.window import eventually
from tests.contract.replicas import Client

pytestmark = [pytest.mark.slow]


@in_every_engine
def test_the_first_log_in_brings_everything_and_keeps_it_on_the_device(at, engine) -> None:
    tom = at().go().log_in("tom").visit("#/o/jobs").sees_row("Boiler service")
    tom.open("jobs", "j1").sees("price", "95.00").sees("notes", "Ring twice.")
    tom.visit("#/diagnostics").says({"chromium": "Browser file system (OPFS)", "webkit": "IndexedDB"}[engine])


@in_every_engine
def test_an_edit_in_one_browser_appears_in_another_without_a_refresh(at, engine, record_property) -> None:
    tom = at(engine="chromium").go().log_in("tom").open("jobs", "j1").stays()
    tess = at(engine=engine).go().log_in("tess").open("jobs", "j1").stays()
    for writer, reader, title in ((tom, tess, "Boiler service, urgent"), (tess, tom, "Boiler service, done")):
        reader.sees("title", writer.js("return document.querySelector('[data-field=title] input').value")).note_when(
            "title", title
        )
        clicked = writer.type("title", title).save_and_note()
        record_property(f"edit to visible, {writer.engine} to {reader.engine}, ms", reader.noted() - clicked)
    tess.sees("title", "Boiler service, done")
    assert tom.stayed and tess.stayed
    tess.visit("#/o/jobs").sees_row("Boiler service, done")


@in_every_engine
def test_a_browser_and_the_python_client_see_each_others_work_while_both_are_online(
    at, server, tenant, tmp_path, record_property
) -> None:
    tom = at().go().log_in("tom").open("jobs", "j1").stays()
    client, seen = Client(tenant, server.url, tmp_path / "peer.db"), {}
    client.sync()
    with client.in_step():
        client.replica.watch(
            "SELECT notes FROM jobs WHERE id = 'j1'",
            callback=lambda rows: seen.setdefault(rows[0]["notes"], time.time() * 1000),
        )
        clicked = tom.type("notes", "From the browser.").save_and_note()
        eventually(lambda: "From the browser." in seen, lambda: f"the Python client saw {seen}")
        record_property(f"edit to visible, {tom.engine} to Python, ms", round(seen["From the browser."] - clicked))
        tom.note_when("crew", "4")
        wrote = time.time() * 1000
        client.replica.update("jobs", "j1", {"crew": 4})
        record_property(f"edit to visible, Python to {tom.engine}, ms", round(tom.noted() - wrote))
    assert tom.stayed
    client.sync().verify()


@in_every_engine
def test_a_browser_and_the_python_client_that_were_offline_meet_again(at, server, tenant, tmp_path) -> None:
    tom = at().go().log_in("tom").open("jobs", "j1").stays()
    client = Client(tenant, server.url, tmp_path / "peer.db").sync()
    server.kill()
    tom.offline().type("title", "Edited offline in the browser").save()
    client.replica.update("jobs", "j1", {"price": "120.00"})
    client.replica.insert("jobs", {"title": "Made offline in Python"}, record_id="j2")
    tom.says("1 pending")
    server.start()
    client.sync()
    tom.sent().sees("price", "120.00").visit("#/o/jobs").sees_row("Made offline in Python")
    with client.in_step():
        eventually(
            lambda: client.replica.get("jobs", "j1")["title"] == "Edited offline in the browser",
            lambda: "Python never saw the title",
        )
    assert tom.stayed
    client.sync().verify()


def test_two_browsers_that_were_offline_merge_what_does_not_touch(at, server) -> None:
    tom, tess = at().go().log_in("tom"), at().go().log_in("tess")
    for person in (tom, tess):
        person.open("jobs", "j1")
    server.kill()
    tom.offline().type("title", "Tom was here").save()
    tess.offline().type("notes", "Tess was here").save()
    server.start()
    for person in (tom, tess):
        person.live().sees("title", "Tom was here").sees("notes", "Tess was here")


def test_records_are_created_found_deleted_and_brought_back(at, tenant) -> None:
    tom, tess = at().go().log_in("tom"), at().go().log_in("tess")
    tess.visit("#/o/jobs").sees_row("Boiler service")
    tom.visit("#/new/jobs")
    tom.find(".record .control")
    tom.click("Save")
    tom.says("title is required.")
    tom.type("title", "Leak under sink")
    tom.input("customer").click()
    tom.until("[...document.querySelectorAll('.options li')].find((e) => e.textContent === 'Harbour Hotel')").click()
    tom.save()
    tom.until("location.hash.startsWith('#/o/jobs/')")
    tess.sees_row("Leak under sink")
    tess.find("input[type=search]").send_keys("leak")
    tess.until("document.querySelector('.count').textContent === '1'")
    tom.click("Delete")
    tom.click("Delete", within="dialog")
    tess.says("No matches")
    tom.click("Undo")
    tess.sees_row("Leak under sink")


def test_a_list_of_thousands_is_scrolled_to_its_end(at, tenant) -> None:
    for start in range(0, 3000, 500):
        push(
            Actor(tenant.pk, "olga"),
            [
                Op(n + 1, None, "customers", f"x{n:05}", "insert", 0, {"name": f"Customer {n:05}"})
                for n in range(start, start + 500)
            ],
        )
    tom = at().go().log_in("tom").visit("#/o/customers")
    tom.until("document.querySelector('.count').textContent.replace(/\\D/g, '') === '3001'")
    tom.js("document.querySelector('.virtual').scrollTop = 1e9")
    tom.sees_row("Customer 02999")
    assert tom.js("return document.querySelectorAll('.item').length") < 60
    office(tenant, "customers", "x02999", "update", [{"op": "replace", "path": "/name", "value": "Renamed"}])
    tom.sees_row("Renamed")


def test_a_default_that_was_emptied_stays_empty_everywhere(at) -> None:
    tom = at().go().log_in("tom").visit("#/new/jobs")
    tom.sees("crew", "1").type("title", "Nobody assigned").type("crew", "").save().sent()
    tom.until("location.hash.startsWith('#/o/jobs/')")
    place = tom.js("return location.hash")
    tom.sees("crew", "").sees("title", "Nobody assigned")
    at().go().log_in("tess").visit(place).sees("title", "Nobody assigned").sees("crew", "")
