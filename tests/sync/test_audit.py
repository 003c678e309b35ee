"""Tests of the audit steps in docs/guides/security.md."""

import json
from io import StringIO

import pytest
from django.contrib.admin.models import LogEntry
from django.core.management import call_command
from django.db import connection
from django.urls import reverse

from metadata.access_store import access_of
from sync.channels import channel_log
from sync.settle.push import push
from sync.wire.ops import Actor, Op
from tenants.models import Membership
from tenants.tokens import issue_device
from tests.builders import make_user
from tests.sync.access_builders import make_member, make_profile, make_service, technician_rules
from tests.sync.test_profiles_admin import form

pytestmark = pytest.mark.django_db


@pytest.fixture
def stage():
    tenant = make_service("audited")
    profile = make_profile(tenant, "technician", technician_rules())
    tom = make_member(profile, "tom")
    return tenant, profile, tom, make_user(tenant, "boss", role="admin", is_staff=True)


def query(statement, *values):
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall()


def test_rules_and_channels_are_rows_that_can_be_read_with_sql(stage):
    tenant, profile, tom, _ = stage
    rules = query(
        "SELECT t.slug, p.name, p.revision, r.object_name, r.row_filter FROM access_rule r "
        "JOIN tenants_securityprofile p ON p.id = r.profile_id JOIN tenants_tenant t ON t.id = p.tenant_id "
        "ORDER BY r.object_name"
    )
    assert [(r[0], r[1], r[3]) for r in rules] == [
        ("audited", "technician", name) for name in ("customer", "job", "line_item")
    ]
    assert json.loads(rules[1][4]) == {"technician": "$user.username"}
    channel = channel_log.channel_for(access_of(tenant.pk, tom.pk), tenant.slug)
    ((key, parameters, born, of_rules),) = query(
        'SELECT "key", parameters, born_cursor, rules FROM sync_channel WHERE tenant_id = %s AND profile_id = %s',
        tenant.pk,
        profile.pk,
    )
    assert (key, json.loads(parameters), born) == (channel.key, {"user.username": "tom"}, tenant.cursor)
    assert [rule["object_name"] for rule in json.loads(of_rules)] == ["customer", "job", "line_item"]


def test_every_change_of_rights_counts_up_and_the_admin_says_who_made_it(stage, client):
    tenant, profile, tom, boss = stage
    client.force_login(boss)
    tenant.refresh_from_db()
    before = tenant.access_version
    profile.rules.all().delete()
    answer = client.post(
        reverse("admin:tenants_securityprofile_change", args=[profile.pk]),
        form(profile, row_filter='{"technician": "tom"}'),
    )
    assert answer.status_code == 302
    revision = profile.revision
    tenant.refresh_from_db()
    profile.refresh_from_db()
    assert tenant.access_version > before and profile.revision > revision
    page = client.get(reverse("admin:tenants_securityprofile_history", args=[profile.pk])).content.decode()
    assert "boss" in page and "Added access rule" in page
    member = Membership.objects.get(user=tom)
    member.attributes = {"technician": "tom"}
    member.save()
    before = tenant.access_version
    tenant.refresh_from_db()
    assert tenant.access_version > before
    assert LogEntry.objects.filter(user=boss).count() == 1, "changes made by programs leave no entry"


def test_the_history_of_a_record_names_who_and_the_device_and_the_chain_is_recomputed(stage, client):
    tenant, _, tom, boss = stage
    phone = issue_device(tenant, tom, "Tom's old phone").device
    push(Actor(tenant.pk, "olga"), [Op(1, None, "jobs", "j1", "insert", None, {"title": "Fix", "technician": "tom"})])
    change = [{"op": "replace", "path": "/title", "value": "Mend"}]
    (result,) = push(
        Actor(tenant.pk, "tom", phone.pk, user_id=tom.pk), [Op(1, None, "jobs", "j1", "update", 1, change)]
    )
    assert result.accepted
    client.force_login(boss)
    page = client.get(reverse("admin:records_history", args=[tenant.slug, "jobs", "j1"])).content.decode()
    for word in ("olga", "tom", "Tom&#x27;s old phone", "Fix", "Mend"):
        assert word in page, word
    out = StringIO()
    call_command("verify_log", "--tenant", tenant.slug, stdout=out)
    assert "chain and records are consistent" in out.getvalue()
