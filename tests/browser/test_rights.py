"""The app does not offer what a security profile forbids: live, offline, and after the profile changes.

The server decides each op as the page does.
"""

import pytest

from metadata.models import AccessRule
from tenants.models import SecurityProfile, Tenant
from tests.browser.conftest import office
from tests.browser.engines import DESKTOP
from tests.browser.fixtures import in_every_engine
from tests.sync.access_builders import make_member, make_profile

pytestmark = [pytest.mark.slow]

TECHNICIAN = {
    "job": {
        "can_update": True,
        "readable_fields": ["title", "customer", "notes", "crew", "urgent"],
        "writable_fields": ["status", "notes"],
        "row_filter": {"crew": "$membership.crew"},
    },
    "line_item": {
        "can_create": True,
        "can_update": True,
        "can_delete": True,
        "row_filter": {"job.crew": "$membership.crew"},
    },
    "customer": {"readable_fields": ["name"], "row_filter": {"<job.customer.crew": "$membership.crew"}},
}
#: What the page would offer, and what the server then does: for every verb of every table, and a field either way.
TRIALS = """
const done = arguments[arguments.length - 1];
(async () => {
  const { open } = await import('/static/web/sdk/index.js');
  const { allows, canCreate } = await import('/static/web/app/sync/rights.js');
  const moat = await open();
  const types = new Map((await moat.objects()).map((type) => [type.table_name, type]));
  const settled = async (table, id) => {
    for (;;) {
      const own = (await moat.overlays()).filter((one) => one.table === table && one.id === id);
      if (!own.length) return 'applied';
      if (own[0].state === 'rejected') return (await moat.discard(own[0].op_id), own[0].code);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  const results = [];
  for (const [op, table, id, values] of arguments[0]) {
    const type = types.get(table), rights = moat.rights(table);
    const payload = op !== 'update' ? values
      : Object.entries(values).map(([name, value]) => ({ op: 'replace', path: '/' + name, value }));
    const offered = allows(rights, { op, payload }, type) && (op !== 'insert' || canCreate(rights, type));
    if (op === 'insert') await moat.insert(table, { ...values, id });
    else if (op === 'update') await moat.update(table, id, values);
    else await moat.remove(table, id);
    results.push([op, table, Object.keys(values ?? {}).join(), offered, await settled(table, id)]);
  }
  await moat.close();
  done(results);
})().catch((error) => done(String(error)));
"""


@pytest.fixture
def crew(tenant: Tenant) -> SecurityProfile:
    """Terry, whose profile shows the jobs of crew 7."""
    profile = make_profile(tenant, "Technicians", TECHNICIAN)
    make_member(profile, "terry", crew=7)
    office(tenant, "jobs", "j1", "update", [{"op": "replace", "path": "/crew", "value": 7}])
    office(tenant, "jobs", "j2", "insert", {"title": "Somebody else's", "customer": "c1", "crew": 3, "price": "71.00"})
    office(tenant, "line_items", "l1", "insert", {"job": "j1", "text": "Valve"})
    return profile


def has_button(person, name: str) -> bool:
    script = (
        "return [...document.querySelectorAll('button, a')].some((e) => e.checkVisibility() && !e.disabled"
        " && (e.ariaLabel ?? e.textContent).trim() === arguments[0])"
    )
    return bool(person.js(script, name))


def offers_new(person) -> bool:
    return bool(person.js("return document.querySelector('.button.new').checkVisibility()"))


def inputs(person) -> list[str]:
    """The fields that can be typed into."""
    script = (
        "return [...document.querySelectorAll('[data-field]')]"
        ".filter((e) => [...e.querySelectorAll('input, select, textarea')]"
        ".some((i) => i.checkVisibility() && !i.disabled && !i.readOnly)).map((e) => e.dataset.field)"
    )
    return sorted(person.js(script))


@in_every_engine
def test_a_technician_is_offered_what_the_profile_allows_and_nothing_else(at, server, tenant, crew) -> None:
    terry = at().go().log_in("terry").visit("#/o/jobs").sees_row("Boiler service")
    assert terry.titles() == ["Boiler service"]
    assert not offers_new(terry)
    terry.find("body").send_keys("n")
    terry.open("jobs", "j1")
    assert inputs(terry) == ["notes", "status"]
    terry.until("document.querySelector('[data-field=title] output')?.textContent === 'Boiler service'")
    assert not terry.js("return document.querySelector('[data-field=price]')")
    terry.until("document.querySelector('[data-field=customer] output a')?.textContent === 'Harbour Hotel'")
    assert not has_button(terry, "Delete") and has_button(terry, "History")
    assert "95.00" not in terry.js("return document.body.innerText")
    terry.type("notes", "Done before noon").choose("status", "Done").save().sent()

    terry.visit("#/o/customers").sees_row("Harbour Hotel")
    assert not offers_new(terry)
    terry.open("customers", "c1").says("view only")
    assert inputs(terry) == [] and not has_button(terry, "Delete")

    terry.visit("#/o/line_items").sees_row("Valve")
    terry.find(".button.new").click()
    terry.sees("text", "").type("text", "Washer").save().says("let you create this record")

    tess = at().go().log_in("tess").open("jobs", "j1").sees("notes", "Done before noon").sees("price", "95.00")
    assert has_button(tess, "Delete")


@in_every_engine
def test_the_page_and_the_server_agree(at, server, tenant, crew) -> None:
    terry = at().go().log_in("terry")
    trials = [
        ("update", "jobs", "j1", {"notes": "a"}),
        ("update", "jobs", "j1", {"status": "done"}),
        ("update", "jobs", "j1", {"title": "b"}),
        ("update", "jobs", "j1", {"notes": "c", "crew": 3}),
        ("delete", "jobs", "j1", None),
        ("insert", "jobs", "j9", {"title": "Mine", "crew": 7}),
        ("insert", "line_items", "l2", {"job": "j1", "text": "Washer"}),
        ("update", "line_items", "l2", {"quantity": 4}),
        ("delete", "line_items", "l2", None),
        ("update", "customers", "c1", {"name": "Ours"}),
        ("insert", "customers", "c9", {"name": "New"}),
        ("delete", "customers", "c1", None),
    ]
    results = terry.driver.execute_async_script(TRIALS, trials)
    assert len(results) == len(trials), results
    assert [(*what, offered) for *what, offered, _ in results] == [
        (*what, outcome == "applied") for *what, _, outcome in results
    ], results
    assert sum(offered for *_, offered, _ in results) == 5
    assert {outcome for *_, outcome in results} == {"applied", "forbidden"}


@in_every_engine
def test_another_profile_is_followed_while_the_page_is_open_and_kept_without_a_server(at, server, tenant, crew) -> None:
    terry = (
        at(size=DESKTOP).go().log_in("terry").open("jobs", "j1")
    )  # where the list, and what makes a new record, is beside it
    terry.type("notes", "Half a sent")
    rule = AccessRule.objects.get(profile=crew, object_name="job")
    rule.can_create, rule.can_delete, rule.readable_fields, rule.writable_fields = True, True, None, None
    rule.save()
    office(tenant, "jobs", "j1", "update", [{"op": "replace", "path": "/urgent", "value": True}])
    terry.sees("price", "95.00").sees("notes", "Half a sent")
    assert inputs(terry) == ["crew", "customer", "notes", "price", "status", "title", "urgent"]
    assert has_button(terry, "Delete") and offers_new(terry)

    server.kill()
    terry.phase("offline")
    terry.click("Cancel")
    terry.go("#/new/jobs").sees("crew", "7").type("title", "Written offline").save()
    terry.says("1 pending")
    server.start()
    terry.sent()

    server.kill()
    terry.phase("offline")
    terry.open("jobs", "j1").type("title", "Typed before")
    rule.can_update, rule.can_create = False, False
    rule.save()
    server.start()
    terry.says("What you typed won’t be saved.").says("Your profile doesn’t let you change this job.")
    assert not has_button(terry, "Save")
    terry.until("document.querySelector('[data-field=title] output')?.textContent === 'Typed before'")
    terry.click("Cancel")
    terry.visit("#/o/jobs").sees_row("Boiler service").until(
        "!document.querySelector('.button.new')?.checkVisibility()"
    )
    terry.open("jobs", "j1").says("view only")
    assert inputs(terry) == [] and has_button(terry, "Delete")


def test_the_next_person_at_a_browser_finds_nothing_that_the_last_one_typed(at, tenant) -> None:
    tom = at().go().log_in("tom").visit("#/new/jobs")
    tom.sees("title", "").type("title", "Half typed").click("Account and diagnostics")
    tom.click("Sign out", within="dialog")
    tom.click("Sign out and keep data", within="dialog")
    tess = tom.log_in("tess").visit("#/new/jobs")
    tess.sees("title", "").sees("notes", "")
    tess.visit("#/o/jobs").sees_row("Boiler service")
