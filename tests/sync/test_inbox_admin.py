"""The conflict inbox and the change log in the admin."""

import pytest
from django.test import Client
from django.urls import reverse

from sync.models import Conflict
from tests.builders import make_user
from tests.sync.pushing import Pusher, lines, noted, values

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    tenant = noted()
    olga, tom = Pusher(tenant), Pusher(tenant)
    for name in ("n", "m"):
        olga.ok(olga.insert("notes", name, title="<a>"))
        olga.ok(olga.update("notes", name, 1, title="server side"))
        assert tom.one(tom.update("notes", name, 1, title="<b>device side</b>")).status == "conflict"
    return tenant


def browser(tenant):
    client = Client()
    client.force_login(make_user(tenant, role="admin", is_staff=True))
    return client


INBOX = "/admin/sync/conflict/"


def test_the_inbox_lists_what_is_open_and_shows_both_sides(tenant):
    client = browser(tenant)
    page = client.get(INBOX).content.decode()
    assert "notes / n" in page
    assert "2 conflicts" in page
    first = Conflict.objects.first()
    detail = client.get(f"{INBOX}{first.pk}/change/").content.decode()
    assert "&lt;b&gt;device side&lt;/b&gt;" in detail
    assert "server side" in detail


@pytest.mark.parametrize(("action", "title"), [("settle_mine", "<b>device side</b>"), ("settle_theirs", "server side")])
def test_many_are_settled_with_one_action(tenant, action, title):
    client = browser(tenant)
    answer = client.post(
        INBOX, {"action": action, "_selected_action": [str(c.pk) for c in Conflict.objects.all()]}, follow=True
    )
    assert "2 resolved." in answer.content.decode()
    assert values(tenant, "notes", "n")["title"] == title
    assert "0 conflicts" in client.get(INBOX).content.decode()
    assert "2 conflicts" in client.get(f"{INBOX}?state=settled").content.decode()


def test_a_conflict_is_never_thrown_away(tenant):
    client = browser(tenant)
    first = Conflict.objects.first()
    assert client.post(f"{INBOX}{first.pk}/delete/", {"post": "yes"}).status_code == 403
    assert client.get(f"{INBOX}add/").status_code == 403


def test_the_log_page_shows_changes_by_table(tenant):
    client = browser(tenant)
    url = reverse("admin:records_log", args=[tenant.slug])
    page = client.get(url).content.decode()
    assert "server side" in page
    assert "object_metadata" in page
    assert "object_metadata</a> / note" not in client.get(f"{url}?table=notes").content.decode()
    assert "server side" not in client.get(f"{url}?before={lines(tenant)[1]['cursor']}").content.decode()


def test_another_tenants_admin_sees_none_of_it(tenant):
    client = browser(noted())
    first = Conflict.objects.first()
    assert "notes / n" not in client.get(f"{INBOX}?state=all").content.decode()
    assert client.get(f"{INBOX}{first.pk}/change/").status_code in (302, 403, 404)
    client.post(INBOX, {"action": "settle_mine", "_selected_action": [str(first.pk)]})
    assert Conflict.objects.filter(state="settled").count() == 0
    assert client.get(reverse("admin:records_log", args=[tenant.slug])).status_code == 403
