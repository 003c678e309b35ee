"""A user's access changes: a job moves to another technician, the profile gains and loses a field and a type."""

from collections.abc import Callable
from typing import Any

import pytest

from metadata.models import AccessRule
from sync.settle.push import push
from sync.wire.ops import Actor, Op
from tenants.models import Membership, SecurityProfile, Tenant
from tests.contract.servers import ServerProcess
from tests.sync.access_builders import make_member, make_profile, make_service, technician_rules
from tests.web.browser import Browser
from tests.web.conftest import Open

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

Meanwhile = Callable[[Browser, Callable[[], None]], None]


@pytest.fixture
def tenant(transactional_db: None) -> Tenant:
    """A tenant with the technicians tom and tess, two customers' jobs and line items."""
    tenant = make_service("acme")
    profile = make_profile(tenant, "technician", technician_rules())
    for name in ("tom", "tess"):
        make_member(profile, name)
    write(
        tenant,
        ("customers", "c1", "insert", {"name": "Ada", "secret": "hush-hush"}),
        ("jobs", "j1", "insert", {"title": "Boiler", "technician": "tom", "customer": "c1", "price": "9.00"}),
        ("jobs", "j2", "insert", {"title": "Roof", "technician": "tess", "price": "8.00"}),
        ("line_items", "l1", "insert", {"job": "j1", "text": "pipe"}),
    )
    return tenant


def write(tenant: Tenant, *ops: tuple[str, str, str, Any]) -> None:
    results = push(Actor(tenant.pk, "olga"), [Op(n, None, *op[:3], None, op[3]) for n, op in enumerate(ops, 1)])
    assert all(result.accepted for result in results), results


def assign(tenant: Tenant, job: str, technician: str) -> None:
    write(tenant, ("jobs", job, "update", [{"op": "replace", "path": "/technician", "value": technician}]))


@pytest.fixture(params=["online", "offline"])
def meanwhile(request: pytest.FixtureRequest, server: ServerProcess) -> Meanwhile:
    """Runs what happens at the office while the browser is connected, or while the server cannot be reached."""

    def online(page: Browser, work: Callable[[], None]) -> None:
        work()

    def offline(page: Browser, work: Callable[[], None]) -> None:
        server.kill()
        page.until("moat.status().phase === 'offline'")
        work()
        server.start()

    return online if request.param == "online" else offline


def shown(page: Browser) -> dict[str, set[str]]:
    return {name: {row["id"] for row in page.rows(f'SELECT id FROM "{name}"')} for name in page.run(TABLES)}


TABLES = "return (await moat.objects()).map((type) => type.table_name)"
FIELDS = "return (await moat.objects()).find((type) => type.table_name === 'jobs').fields.map((field) => field.name)"


def test_a_job_given_to_somebody_else_moves_with_all_that_hangs_on_it(
    browser: Open, tenant: Tenant, meanwhile: Meanwhile
) -> None:
    page = browser().open(user="tom", tenant="acme").live()
    assert shown(page) == {"jobs": {"j1"}, "line_items": {"l1"}, "customers": {"c1"}}
    meanwhile(page, lambda: assign(tenant, "j1", "tess"))
    page.until("!(await moat.query('SELECT 1 FROM jobs')).length")
    assert shown(page) == {"jobs": set(), "line_items": set(), "customers": set()}
    meanwhile(page, lambda: (assign(tenant, "j1", "tom"), assign(tenant, "j2", "tom")))
    page.until("(await moat.query('SELECT 1 FROM jobs')).length === 2")
    assert shown(page) == {"jobs": {"j1", "j2"}, "line_items": {"l1"}, "customers": {"c1"}}
    assert page.run("return moat.verify()")["equal"]


def test_an_edit_of_a_job_that_went_away_is_refused_and_stays_readable(
    browser: Open, tenant: Tenant, server: ServerProcess
) -> None:
    page = browser().open(user="tom", tenant="acme").live()
    server.kill()
    page.until("moat.status().phase === 'offline'")
    page.run("await moat.update('jobs', 'j1', { title: 'Typed offline' })")
    assign(tenant, "j1", "tess")
    server.start()
    page.until("moat.status().rejected === 1")
    (op,) = page.run("return moat.overlays()")
    assert (op["code"], op["payload"][0]["value"], op["details"]["last"]["title"]) == (
        "not_found",
        "Typed offline",
        "Boiler",
    )
    assert "price" not in op["details"]["last"]
    assert page.titles() == {}


def test_a_field_gained_and_lost_comes_and_goes(browser: Open, tenant: Tenant, meanwhile: Meanwhile) -> None:
    page = browser().open(user="tom", tenant="acme").live()
    assert page.run(FIELDS) == ["title", "technician", "customer"]
    rule = AccessRule.objects.get(profile__name="technician", object_name="job")

    def readable(fields: list[str] | None) -> None:
        rule.readable_fields = fields
        rule.save()

    meanwhile(page, lambda: readable(None))
    page.until("(await moat.get('jobs', 'j1')).price === '9.00'")
    assert page.run("return moat.verify()")["equal"]
    meanwhile(page, lambda: readable(["title", "technician"]))
    page.until("!('price' in (await moat.get('jobs', 'j1')))")
    assert page.run(FIELDS) == ["title", "technician"]
    page.live()
    assert page.run("return moat.verify()")["equal"]
    page.run("await moat.update('jobs', 'j1', { title: 'After' })")
    page.settled()


def test_a_type_gained_and_lost_comes_and_goes_and_its_edits_stay_readable(
    browser: Open, tenant: Tenant, meanwhile: Meanwhile
) -> None:
    page = browser().open(user="tom", tenant="acme").live()
    page.run(
        "window.seen = []; "
        "moat.watch({ table: 'customers' }, (rows) => seen.push(rows.length), (error) => seen.push(error.code))"
    )
    page.until("seen.length")
    rule = AccessRule.objects.get(profile__name="technician", object_name="customer")
    kept = {"readable_fields": rule.readable_fields, "row_filter": rule.row_filter}

    def lose() -> None:
        AccessRule.objects.get(profile__name="technician", object_name="customer").delete()

    def gain() -> None:
        AccessRule.objects.create(
            profile=SecurityProfile.objects.get(name="technician"), object_name="customer", **kept
        )

    meanwhile(page, lose)
    page.until(f"!(await (async () => {{ {TABLES} }})()).includes('customers')")
    page.until("seen.at(-1) === 'unknown_table'")
    page.live()
    assert shown(page) == {"jobs": {"j1"}, "line_items": {"l1"}}
    meanwhile(page, gain)
    page.until("seen.at(-1) === 1")
    page.live()
    assert shown(page) == {"jobs": {"j1"}, "line_items": {"l1"}, "customers": {"c1"}}
    assert page.run("return moat.verify()")["equal"]


def test_pending_edits_outlive_another_profile_and_are_answered_under_it(
    browser: Open, tenant: Tenant, server: ServerProcess
) -> None:
    page = browser().open(user="tom", tenant="acme").live()
    server.kill()
    page.until("moat.status().phase === 'offline'")
    page.run(
        "await moat.update('jobs', 'j1', { title: 'Stays' }); await moat.update('line_items', 'l1', { text: 'Lost' })"
    )
    readers = make_profile(tenant, "readers", {"job": {"can_update": True, "row_filter": {}}})
    member = Membership.objects.get(user__username="tom")
    member.profile = readers
    member.save()
    server.start()
    page.until("moat.status().rejected === 1 && moat.status().pending === 0")
    page.settled()
    assert shown(page) == {"jobs": {"j1", "j2"}}
    assert page.titles() == {"j1": "Stays", "j2": "Roof"}
    (op,) = page.run("return moat.overlays()")
    assert (op["table"], op["code"], op["details"]["last"]["text"]) == ("line_items", "unknown_table", "pipe")
    page.run("await moat.discard(args)", op["op_id"])
    assert page.run("return moat.overlays()") == []
