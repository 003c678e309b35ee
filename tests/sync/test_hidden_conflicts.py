"""A conflict of a hidden record belongs to its author and to admins with full access, over REST and in the admin."""

import pytest
from django.test import Client

from sync.errors import SyncError
from sync.models import Conflict
from sync.settle.push import push, resolve_conflict
from sync.wire.ops import Actor, Op
from tenants.models import Membership
from tenants.tokens import issue_device
from tests.builders import make_user
from tests.sync.access_builders import make_member, make_profile, make_service, technician_rules
from tests.sync.pushing import Pusher

pytestmark = pytest.mark.django_db
INBOX = "/admin/sync/conflict/"


class Case:
    """Tess, a tenant admin with a filtered profile; conflicts of a hidden, a visible, and a hidden own record."""

    def __init__(self):
        self.tenant = make_service()
        self.tess = make_member(make_profile(self.tenant, "technician", technician_rules()), "tess")
        Membership.objects.filter(user=self.tess).update(role="admin")
        self.tess.is_staff = True
        self.tess.save()
        self.boss = make_user(self.tenant, "boss", role="admin", is_staff=True)
        olga, tom = Pusher(self.tenant), Pusher(self.tenant)
        self.olga = olga.user
        for name, technician in (("hidden", "tom"), ("seen", "tess")):
            olga.ok(olga.insert("jobs", name, title="a", technician=technician))
        mine = Pusher.__new__(Pusher)
        mine.__dict__ = {**tom.__dict__, "user": self.tess, "device": issue_device(self.tenant, self.tess, "t").device}
        mine.actor = Actor(self.tenant.pk, "tess", mine.device.pk, self.tess.pk)
        olga.ok(olga.insert("jobs", "own", title="a", technician="tess"))
        for name in ("hidden", "seen", "own"):
            tom.ok(tom.update("jobs", name, 1, title=f"server {name}"))
        self.hidden = self.conflict(olga, "hidden")
        self.seen = self.conflict(olga, "seen")
        self.own = self.conflict(mine, "own")
        tom.ok(tom.update("jobs", "own", 2, technician="tom"))

    def conflict(self, pusher, name):
        return pusher.one(pusher.update("jobs", name, 1, title=f"device {name}")).conflict.conflict

    def rest(self, user):
        client = Client()
        client.defaults["HTTP_AUTHORIZATION"] = f"Bearer {issue_device(self.tenant, user, 'rest').token}"
        return client

    def admin(self, user):
        client = Client()
        client.force_login(user)
        return client


@pytest.fixture
def case():
    return Case()


def listed(client):
    return {one["id"] for one in client.get("/api/conflicts/").json()["results"]}


def test_rest_lists_and_reads_only_conflicts_in_sight(case):
    tess, boss, olga = case.rest(case.tess), case.rest(case.boss), case.rest(case.olga)
    assert listed(tess) == {case.seen, case.own}
    assert listed(boss) == {case.hidden, case.seen, case.own}
    assert listed(olga) == {case.hidden, case.seen}
    missing = tess.get("/api/conflicts/00000000-0000-0000-0000-000000000000/")
    hidden = tess.get(f"/api/conflicts/{case.hidden}/")
    assert (hidden.status_code, hidden.content) == (missing.status_code, missing.content)
    assert hidden.status_code == 404


@pytest.mark.parametrize("resolution", ["mine", "theirs"])
def test_rest_resolves_only_conflicts_in_sight(case, resolution):
    tess, body = case.rest(case.tess), {"resolution": resolution}
    url = f"/api/conflicts/{case.hidden}/resolve/"
    assert tess.post(url, body, content_type="application/json").status_code == 404
    assert Conflict.objects.get(pk=case.hidden).state == "open"
    for found in (case.rest(case.boss), tess):
        key = case.hidden if found is not tess else case.seen
        url = f"/api/conflicts/{key}/resolve/"
        assert found.post(url, body, content_type="application/json").status_code == 200


def test_the_engine_checks_too(case):
    """The record may have left the user's view since the caller looked."""
    for resolution in ("mine", "theirs"):
        assert resolve_conflict(case.hidden, resolution, "tess", user_id=case.tess.pk).code is not None
        assert Conflict.objects.get(pk=case.hidden).state == "open"
    op = Op(1, None, "jobs", "hidden", "settle", payload={"conflict": case.hidden, "resolution": "theirs"})
    (result,) = push(Actor(case.tenant.pk, "tess", user_id=case.tess.pk), [op])
    assert result.code == "unknown_conflict"
    assert resolve_conflict(case.own, "theirs", "tess", user_id=case.tess.pk).accepted
    assert resolve_conflict(case.hidden, "theirs", "boss", user_id=case.boss.pk).accepted
    with pytest.raises(SyncError):
        resolve_conflict(case.hidden, "theirs", "boss", user_id=case.boss.pk)


def test_the_admin_shows_and_resolves_only_conflicts_in_sight(case):
    tess, boss = case.admin(case.tess), case.admin(case.boss)
    page = tess.get(INBOX).content.decode()
    assert "2 conflicts" in page and "jobs / hidden" not in page
    assert "3 conflicts" in boss.get(INBOX).content.decode()
    assert tess.get(f"{INBOX}{case.hidden}/change/").status_code == 302
    url = f"/admin/records/{case.tenant.slug}/jobs/hidden/conflict/{case.hidden}/"
    assert tess.get(url).status_code == 404
    assert tess.post(url, {"_theirs": "1"}).status_code == 404
    tess.post(INBOX, {"action": "settle_theirs", "_selected_action": [case.hidden]})
    assert Conflict.objects.get(pk=case.hidden).state == "open"
    assert boss.get(url).status_code == 200
    tess.post(INBOX, {"action": "settle_theirs", "_selected_action": [case.seen, case.own]})
    assert set(Conflict.objects.filter(state="settled").values_list("record_id", flat=True)) == {"seen", "own"}
    assert boss.post(url, {"_theirs": "1"}).status_code == 302
    assert Conflict.objects.get(pk=case.hidden).state == "settled"
