"""Records in the admin: every page, every kind of value, concurrent edits, and tenant isolation."""

import json
import re

import pytest
from django.test import Client

from metadata.catalog import schema_of
from metadata.publish import publish
from sync.models import Conflict
from sync.records.rows import records
from sync.settle.push import push
from sync.wire.ops import Actor, Op
from tests.builders import make_field_service, make_tenant, make_user

JOB = {
    "title": "Boiler",
    "status": "open",
    "object_type": "residential",
    "customer": "c1",
    "notes": "Ring twice",
    "crew": 2,
    "distance": 12.5,
    "price": "80.00",
    "urgent": True,
    "due": "2026-11-21",
    "starts_at": "2026-11-21T09:30:00.000000Z",
    "serial": "6f9619ff-8b86-d011-b42d-00cf4fc964ff",
    "attrs": {"floor": 3, "tags": ["a"]},
    "priority": "high",
}


@pytest.fixture
def acme(db):
    tenant = make_tenant("acme")
    drafts = make_field_service(tenant)
    drafts["customer"].title_field = "name"
    drafts["customer"].save()
    publish(tenant.pk)
    tenant.refresh_from_db()
    _write(tenant, "customers", "c1", "insert", {"name": "Bakery"})
    _write(tenant, "jobs", "job-1", "insert", JOB)
    return tenant


@pytest.fixture
def browser(acme):
    client = Client()
    client.force_login(make_user(acme, "olga", role="admin", is_staff=True))
    return client


def _write(tenant, table, record_id, op, payload=None, by="tess", base=None):
    (result,) = push(Actor(tenant.pk, by), [Op(1, None, table, record_id, op, base, payload)])
    assert result.accepted, result
    return result


def _inputs(html):
    """Return what a browser would post back for the first POST form, unedited."""
    html = html[html.index('id="record_form"') :]
    values = {}
    for tag in re.findall(r"<input[^>]*>", html):
        found = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        if found.get("name") and found.get("type") not in ("submit", "checkbox", "radio"):
            values[found["name"]] = _unescaped(found.get("value", ""))
    for name, body in re.findall(r'<select name="([^"]+)"(.*?)</select>', html, re.DOTALL):
        chosen = re.search(r'<option value="([^"]*)" selected', body)
        values[name] = _unescaped(chosen[1]) if chosen else re.search(r'<option value="([^"]*)"', body)[1]
    for name, body in re.findall(r'<textarea name="([^"]+)"[^>]*>(.*?)</textarea>', html, re.DOTALL):
        values[name] = _unescaped(body).removeprefix("\n")
    return values


def _unescaped(text):
    for entity, char in (("&quot;", '"'), ("&#x27;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        text = text.replace(entity, char)
    return text


def _record(tenant, record_id="job-1", table="jobs"):
    tenant.refresh_from_db()
    return records(tenant.pk, schema_of(tenant.pk, tenant.schema_version).by_table[table], [record_id])[record_id]


CHANGE = "/admin/records/acme/jobs/job-1/change/"


def test_the_index_lists_the_records_of_each_tenant(browser):
    page = browser.get("/admin/").content.decode()
    assert "Records: Acme" in page
    assert "/admin/records/acme/jobs/" in page
    assert "/admin/records/acme/jobs/add/" in page


def test_the_list_shows_labels_and_titles_instead_of_codes(browser):
    page = browser.get("/admin/records/acme/jobs/").content.decode()
    assert "Boiler" in page
    assert "Residential" in page
    assert ">Bakery</a>" in page


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=boil", True),
        ("q=twice+ring", True),
        ("q=c1", True),
        ("q=nothing", False),
        ("q=%25", False),
        ("q=%00", True),
        ("f.status=open", True),
        ("f.status=done", False),
        ("f.object_type=residential&f.priority=high", True),
        ("f.urgent=true", True),
        ("f.urgent=false", False),
        ("f.crew=2", True),
        ("f.price=80", True),
        ("f.due=2026-11-21", True),
        ("f.notes=", False),
        ("f.customer=c1", True),
        ("since.due=2026-11-21", True),
        ("since.due=2026-11-22", False),
        ("since.starts_at=2026-11-21", True),
        ("since.starts_at=2026-11-22", False),
        ("o=title", True),
        ("o=-due", True),
        ("o=attrs", True),
        ("o=_deleted", True),
        ("p=999", True),
        ("p=x", True),
        ("f.crew=many", False),
        ("f.nothing=1", False),
        ("f._deleted=1", False),
        ("since.due=yesterday", False),
        ("f.starts_at=soon", False),
    ],
)
def test_search_filter_and_order(browser, query, found):
    response = browser.get(f"/admin/records/acme/jobs/?{query}")
    assert response.status_code == 200
    assert (CHANGE in response.content.decode()) is found


def test_an_object_types_page_leads_to_its_records(acme, admin_client):
    draft = acme.object_types.get(object_name="job")
    page = admin_client.get(f"/admin/metadata/objectmetadata/{draft.pk}/change/").content.decode()
    assert 'href="/admin/records/acme/jobs/" class="viewlink">Records' in page


def test_a_long_list_comes_in_pages(acme, browser):
    push(
        Actor(acme.pk, "tess"),
        [Op(n, None, "customers", f"x{n:03}", "insert", 0, {"name": f"N{n:03}"}) for n in range(1, 251)],
    )
    first = browser.get("/admin/records/acme/customers/?o=name").content.decode()
    third = browser.get("/admin/records/acme/customers/?o=name&p=3").content.decode()
    assert "251 customer" in first
    assert "p=3" in first
    assert first.count('class="action-select"') == 100
    assert third.count('class="action-select"') == 51


def test_an_untouched_form_changes_nothing(acme, browser):
    posted = _inputs(browser.get(CHANGE).content.decode())
    response = browser.post(CHANGE, posted, follow=True)
    assert "No changes to save" in response.content.decode()
    assert _record(acme).version == 1


def test_every_kind_of_value_can_be_edited(acme, browser):
    posted = _inputs(browser.get(CHANGE).content.decode())
    posted |= {
        "title": " Boiler & <b>pump</b> ",
        "status": "done",
        "notes": "",
        "crew": "3",
        "distance": "0.1",
        "price": "81.5",
        "urgent": "False",
        "due": "2026-12-01",
        "starts_at_0": "2026-12-01",
        "starts_at_1": "08:00:00",
        "serial": "00000000-0000-0000-0000-000000000001",
        "attrs": '{"floor": 4, "tags": ["a"]}',
        "priority": "",
    }
    assert browser.post(CHANGE, posted).status_code == 302
    row = _record(acme)
    assert row.version == 2
    assert row.values() == JOB | {
        "title": " Boiler & <b>pump</b> ",
        "status": "done",
        "notes": None,
        "crew": 3,
        "distance": 0.1,
        "price": "81.50",
        "urgent": False,
        "due": "2026-12-01",
        "starts_at": "2026-12-01T08:00:00.000000Z",
        "serial": "00000000-0000-0000-0000-000000000001",
        "attrs": {"floor": 4, "tags": ["a"]},
        "priority": None,
    }


def test_line_breaks_stay_as_they_were(acme, browser):
    _write(acme, "jobs", "job-1", "update", [{"op": "replace", "path": "/notes", "value": "one\ntwo"}], base=1)
    posted = _inputs(browser.get(CHANGE).content.decode())
    sent = {name: value.replace("\n", "\r\n") for name, value in posted.items()}
    assert "No changes to save" in browser.post(CHANGE, sent, follow=True).content.decode()
    browser.post(CHANGE, sent | {"notes": "one\r\ntwo\r\nthree"})
    assert _record(acme).get("notes") == "one\ntwo\nthree"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", ""),
        ("crew", "many"),
        ("crew", str(2**53)),
        ("distance", "nan"),
        ("distance", "1e999"),
        ("price", "1.234"),
        ("due", "2026-02-30"),
        ("starts_at_0", "never"),
        ("serial", "no"),
        ("attrs", "{"),
        ("attrs", '{"__proto__": 1}'),
        ("attrs", "[" * 100_000),
        ("customer", "nobody"),
        ("status", "lost"),
        ("priority", "none"),
        ("title", "a\0b"),
        ("title", "x" * 100_001),
    ],
)
def test_a_bad_value_is_named_at_its_field_and_saves_nothing(acme, browser, field, value):
    posted = _inputs(browser.get(CHANGE).content.decode()) | {field: value}
    response = browser.post(CHANGE, posted)
    assert response.status_code == 200
    assert 'class="errorlist"' in response.content.decode()
    assert _record(acme).version == 1


def test_edits_of_different_fields_are_merged(acme, browser):
    posted = _inputs(browser.get(CHANGE).content.decode()) | {"notes": "mine"}
    _write(acme, "jobs", "job-1", "update", [{"op": "replace", "path": "/title", "value": "Theirs"}], base=1)
    response = browser.post(CHANGE, posted, follow=True)
    assert "both changes were kept" in response.content.decode()
    assert (_record(acme).get("title"), _record(acme).get("notes")) == ("Theirs", "mine")


def test_edits_inside_a_json_value_are_merged(acme, browser):
    posted = _inputs(browser.get(CHANGE).content.decode()) | {"attrs": json.dumps({"floor": 9, "tags": ["a"]})}
    _write(acme, "jobs", "job-1", "update", [{"op": "add", "path": "/attrs/colour", "value": "red"}], base=1)
    browser.post(CHANGE, posted)
    assert _record(acme).get("attrs") == {"floor": 9, "tags": ["a"], "colour": "red"}


def _collide(acme, browser, **mine):
    posted = _inputs(browser.get(CHANGE).content.decode()) | mine
    patch = [{"op": "replace", "path": "/title", "value": "Theirs"}, {"op": "replace", "path": "/crew", "value": 7}]
    _write(acme, "jobs", "job-1", "update", patch, base=1)
    return browser.post(CHANGE, posted)


def test_a_stale_edit_shows_both_values_and_changes_nothing(acme, browser):
    response = _collide(acme, browser, title="Mine")
    page = browser.get(response.url).content.decode()
    assert all(value in page for value in ("Boiler", "Mine", "Theirs", "tess"))
    assert _record(acme).get("title") == "Theirs"


@pytest.mark.parametrize(
    ("choice", "title", "crew"),
    [
        ({"_mine": "1"}, "Mine", 4),
        ({"_theirs": "1"}, "Theirs", 7),
        ({"f.title": "mine", "f.crew": "theirs"}, "Mine", 7),
        ({"f.title": "mine", "f.crew": "mine"}, "Mine", 4),
    ],
)
def test_a_conflict_is_settled_as_chosen(acme, browser, choice, title, crew):
    response = _collide(acme, browser, title="Mine", crew="4")
    assert browser.post(response.url, choice).status_code == 302
    row = _record(acme)
    assert (row.get("title"), row.get("crew")) == (title, crew)
    assert Conflict.objects.get().state == "settled"
    assert "olga resolved this conflict" in browser.get(response.url).content.decode()


def test_a_stale_edit_of_a_deleted_record_can_bring_it_back(acme, browser):
    posted = _inputs(browser.get(CHANGE).content.decode()) | {"title": "Mine"}
    _write(acme, "jobs", "job-1", "delete", base=1)
    response = browser.post(CHANGE, posted)
    assert "tess deleted it" in browser.get(response.url).content.decode()
    browser.post(response.url, {"_mine": "1"})
    assert not _record(acme).deleted
    assert _record(acme).get("title") == "Mine"


def test_a_record_is_added_with_defaults_and_a_made_up_id(acme, browser):
    posted = _inputs(browser.get("/admin/records/acme/jobs/add/").content.decode()) | {"title": "New"}
    assert posted["crew"] == "1"
    response = browser.post("/admin/records/acme/jobs/add/", posted | {"_continue": "1"})
    record_id = response.url.split("/")[-3]
    assert len(record_id) == 36
    assert _record(acme, record_id).get("title") == "New"


def test_an_id_that_is_taken_is_an_error_at_the_form(browser):
    posted = _inputs(browser.get("/admin/records/acme/jobs/add/").content.decode()) | {"title": "New", "id": "job-1"}
    response = browser.post("/admin/records/acme/jobs/add/", posted)
    assert "errorlist" in response.content.decode()


def test_a_value_that_must_be_unique_is_an_error_at_its_field(acme, browser):
    _write(acme, "customers", "c2", "insert", {"name": "Gym", "code": "G"})
    url = "/admin/records/acme/customers/c1/change/"
    response = browser.post(url, _inputs(browser.get(url).content.decode()) | {"code": "G"})
    assert "errorlist" in response.content.decode()


def test_ids_of_any_spelling_have_pages(acme, browser):
    record_id = 'a/b?c#d%20_"<é>&'
    _write(acme, "customers", record_id, "insert", {"name": "Odd"})
    page = browser.get("/admin/records/acme/customers/").content.decode()
    (url,) = [u for u in re.findall(r'href="(/admin/records/acme/customers/[^"]+/change/)"', page) if "c1" not in u]
    assert browser.get(url).status_code == 200
    assert browser.post(url.replace("/change/", "/delete/"), {"_base_version": "1"}).status_code == 302
    assert _record(acme, record_id, "customers").deleted


def test_a_deleted_record_leaves_the_list_and_keeps_its_history(acme, browser):
    url = "/admin/records/acme/jobs/job-1/delete/"
    assert "Boiler" in browser.get(url).content.decode()
    browser.post(url, {"_base_version": "1"})
    assert CHANGE not in browser.get("/admin/records/acme/jobs/").content.decode()
    assert browser.get(CHANGE).status_code == 302
    assert "Deleted" in browser.get("/admin/records/acme/jobs/job-1/history/").content.decode()


def test_ticked_records_are_deleted_after_asking(acme, browser):
    url = "/admin/records/acme/jobs/"
    asked = browser.post(url, {"_selected": ["job-1"], "_action": "delete"})
    assert "Boiler" in asked.content.decode()
    assert not _record(acme).deleted
    browser.post(url, {"_selected": ["job-1"], "_confirmed": "yes"})
    assert _record(acme).deleted


def test_the_history_tells_who_changed_what(acme, browser):
    _write(acme, "jobs", "job-1", "update", [{"op": "replace", "path": "/status", "value": "done"}], by="tom", base=1)
    _write(acme, "jobs", "job-1", "update", [{"op": "replace", "path": "/attrs/floor", "value": 5}], by="tess", base=2)
    page = browser.get("/admin/records/acme/jobs/job-1/history/").content.decode()
    assert re.search(r'tom.*Status.*class="old">Open</span> → Done', page, re.DOTALL)
    assert "Bakery (c1)" in page
    assert "{&quot;floor&quot;:5," in page


def test_the_autocomplete_finds_records_by_title(browser):
    answer = browser.get("/admin/records/acme/customers/autocomplete/?term=bak&app_label=records").json()
    assert answer == {"results": [{"id": "c1", "text": "Bakery"}], "pagination": {"more": False}}


PAGES = [
    "/admin/records/acme/",
    "/admin/records/acme/jobs/",
    "/admin/records/acme/jobs/add/",
    "/admin/records/acme/jobs/autocomplete/",
    CHANGE,
    "/admin/records/acme/jobs/job-1/delete/",
    "/admin/records/acme/jobs/job-1/history/",
    "/admin/records/acme/jobs/job-1/conflict/00000000-0000-0000-0000-000000000000/",
]


@pytest.mark.parametrize("url", PAGES)
def test_another_tenants_admin_and_plain_members_are_kept_out(acme, url):
    other = make_tenant("other")
    stranger, member = Client(), Client()
    stranger.force_login(make_user(other, "eve", role="admin", is_staff=True))
    member.force_login(make_user(acme, "tom", is_staff=True))
    for client in (stranger, member):
        assert client.get(url).status_code == 403
        assert client.post(url, {"_confirmed": "yes", "_selected": "job-1"}).status_code == 403
        assert client.get(url.replace("acme", "unheard-of")).status_code == 403
    assert "acme" not in stranger.get("/admin/").content.decode()
    assert Client().get(url).status_code == 302
    assert not _record(acme).deleted


@pytest.mark.parametrize("url", PAGES[:-1])
def test_a_superuser_sees_every_page(acme, admin_client, url):
    assert admin_client.get(url).status_code == 200


def test_a_record_of_one_tenant_cannot_point_at_another_tenants(acme, browser):
    other = make_tenant("other")
    make_field_service(other)
    publish(other.pk)
    _write(other, "customers", "theirs", "insert", {"name": "Secret Gym"})
    posted = _inputs(browser.get(CHANGE).content.decode()) | {"customer": "theirs"}
    assert "errorlist" in browser.post(CHANGE, posted).content.decode()
    assert "Secret" not in browser.get("/admin/records/acme/customers/autocomplete/?term=").content.decode()


@pytest.mark.parametrize(
    "url",
    ["/admin/records/acme/none/", "/admin/records/acme/jobs/none/change/", "/admin/records/acme/jobs/none/history/"],
)
def test_what_is_not_there_is_not_found(browser, url):
    assert browser.get(url).status_code == 404


def test_a_value_with_markup_is_shown_as_text(acme, browser):
    _write(
        acme, "jobs", "job-1", "update", [{"op": "replace", "path": "/title", "value": "<script>x()</script>"}], base=1
    )
    for url in (*PAGES[1:2], CHANGE, *PAGES[5:7]):
        assert "<script>x()" not in browser.get(url).content.decode()
