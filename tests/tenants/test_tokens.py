"""Device tokens."""

import hashlib
import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command

from tenants import tokens
from tenants.errors import MoatError
from tenants.models import Device, Membership, Tenant
from tenants.signals import device_revoked
from tests.builders import make_tenant, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def signals():
    """Collects the device IDs that `device_revoked` sends."""
    ids: list[str] = []

    def receive(device_id, **_):
        ids.append(device_id)

    device_revoked.connect(receive)
    yield ids
    device_revoked.disconnect(receive)


def test_a_token_identifies_its_device_tenant_user_role_and_profile():
    tenant = make_tenant("acme")
    user = make_user(tenant, "olga", role="admin")
    issued = tokens.issue_device(tenant, user, "  office   pc ")
    who = tokens.identify(issued.token)
    assert who is not None
    assert (who.device_id, who.tenant_id, who.tenant_slug) == (issued.device.pk, tenant.pk, "acme")
    assert (who.user_id, who.username, who.role, who.profile_id) == (user.pk, "olga", "admin", tenant.profiles.get().pk)
    assert issued.device.name == "office pc"


def test_the_database_holds_a_hash_and_never_the_token():
    tenant = make_tenant()
    issued = tokens.issue_device(tenant, make_user(tenant), "x")
    assert issued.token.startswith("moat_")
    row = json.dumps(Device.objects.values().get(pk=issued.device.pk), default=str)
    assert issued.token not in row
    assert hashlib.sha256(issued.token.encode()).hexdigest() in row


def test_two_devices_never_share_a_token():
    tenant = make_tenant()
    user = make_user(tenant)
    assert len({tokens.issue_device(tenant, user, "x").token for _ in range(20)}) == 20


@pytest.mark.parametrize(
    "token",
    [
        None,
        "",
        "moat_",
        "moat_nonsense",
        7,
        b"moat_x",
        "moat_\x00",
        "moat_é",
        "moat_" + "a" * 10_000,
        ["moat_x"],
        "\ud800",
    ],
)
def test_nonsense_identifies_nobody(token):
    assert tokens.identify(token) is None


def test_a_revoked_token_identifies_nobody_and_live_connections_hear_of_it(signals, django_capture_on_commit_callbacks):
    tenant = make_tenant()
    issued = tokens.issue_device(tenant, make_user(tenant), "x")
    with django_capture_on_commit_callbacks(execute=True):
        assert tokens.revoke(issued.device)
    assert tokens.identify(issued.token) is None
    assert signals == [issued.device.pk]
    assert not tokens.revoke(issued.device), "the second time there is nothing to do"
    assert signals == [issued.device.pk]


def test_an_inactive_user_loses_all_devices(signals, django_capture_on_commit_callbacks):
    tenant = make_tenant()
    user = make_user(tenant)
    issued = [tokens.issue_device(tenant, user, "x") for _ in range(2)]
    user.is_active = False
    with django_capture_on_commit_callbacks(execute=True):
        user.save()
    assert [tokens.identify(i.token) for i in issued] == [None, None]
    assert sorted(signals) == sorted(i.device.pk for i in issued)
    user.is_active = True
    user.save()
    assert tokens.identify(issued[0].token) is None, "a revoked device stays revoked"


def test_who_leaves_a_tenant_loses_its_devices_but_keeps_those_of_another(signals, django_capture_on_commit_callbacks):
    one, other = make_tenant(), make_tenant()
    user = make_user(one)
    Membership.objects.create(tenant=other, user=user, profile=other.profiles.get())
    left, kept = tokens.issue_device(one, user, "x"), tokens.issue_device(other, user, "x")
    with django_capture_on_commit_callbacks(execute=True):
        Membership.objects.get(tenant=one, user=user).delete()
    assert tokens.identify(left.token) is None
    assert tokens.identify(kept.token) is not None
    assert signals == [left.device.pk]


def test_only_active_members_get_devices():
    tenant, other = make_tenant(), make_tenant()
    with pytest.raises(MoatError) as refused:
        tokens.issue_device(other, make_user(tenant), "x")
    assert refused.value.code == "forbidden"
    with pytest.raises(MoatError):
        tokens.issue_device(tenant, make_user(tenant, is_active=False), "x")


def test_create_device_prints_the_token_once_also_as_json():
    tenant = make_tenant("acme")
    make_user(tenant, "tom")
    out = StringIO()
    call_command("create_device", tenant="acme", user="tom", name="phone", json=True, stdout=out)
    made = json.loads(out.getvalue())
    assert made["tenant"] == "acme"
    assert made["user"] == "tom"
    assert tokens.identify(made["token"]).device_id == made["device"]
    out = StringIO()
    call_command("create_device", tenant="acme", user="tom", name="phone", stdout=out)
    assert out.getvalue().count("moat_") == 1


@pytest.mark.parametrize(("tenant", "user"), [("nope", "tom"), ("acme", "nope"), ("acme", "stranger")])
def test_create_device_refuses_who_does_not_belong(tenant, user):
    make_user(make_tenant("acme"), "tom")
    make_user(make_tenant("other"), "stranger")
    with pytest.raises(CommandError):
        call_command("create_device", tenant=tenant, user=user, name="x", stdout=StringIO())
    assert not Device.objects.exists()


def test_create_tenant_makes_a_profile_and_an_admin_who_may_log_in_to_the_site():
    call_command("create_tenant", "acme", name="Acme", admin="ada", password="correct-horse", stdout=StringIO())
    tenant = Tenant.objects.get(slug="acme")
    assert len(bytes(tenant.state_hash)) == 32
    member = tenant.memberships.get()
    assert (member.role, member.user.is_staff, member.user.is_superuser, member.profile.full_access) == (
        "admin",
        True,
        False,
        True,
    )
    for bad in ("acme", "Upper", "", "-x", "a b"):
        with pytest.raises(CommandError):
            call_command("create_tenant", bad, stdout=StringIO())
    assert Tenant.objects.count() == 1


def test_a_user_has_a_limited_number_of_devices(settings):
    settings.DEVICES_PER_USER = 2
    tenant, other = make_tenant(), make_tenant()
    olga = make_user(tenant)
    Membership.objects.create(tenant=other, user=olga, profile=other.profiles.get())
    first = tokens.issue_device(tenant, olga, "1").device
    tokens.issue_device(tenant, olga, "2")
    with pytest.raises(MoatError) as refused:
        tokens.issue_device(tenant, olga, "3")
    assert refused.value.code == "too_many_devices"
    with pytest.raises(ValidationError, match="as many devices"):
        Device(tenant=tenant, user=olga, name="3").clean()
    first.clean()  # an existing one may still be renamed
    tokens.issue_device(other, olga, "elsewhere")
    tokens.issue_device(tenant, make_user(tenant), "somebody else's")
    tokens.revoke(first)
    tokens.issue_device(tenant, olga, "3")
    with pytest.raises(MoatError, match="as many devices"):
        tokens.issue_again(tenant, olga, first.pk, "1", closed=timedelta(0))
    first.refresh_from_db()
    assert first.revoked_at is not None


def test_signing_in_with_too_many_devices_is_answered_with_the_code(client, settings):
    settings.DEVICES_PER_USER = 0
    tenant = make_tenant()
    olga = make_user(tenant)
    body = {"tenant": tenant.slug, "user": olga.username, "password": "secret"}
    answer = client.post("/api/login", json.dumps(body), content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (403, "too_many_devices")
