"""A new password, or *Sign out everywhere*, ends sessions and devices and closes their live connections."""

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse

from tenants.models import Membership
from tenants.signals import device_revoked
from tenants.tokens import identify, issue_device
from tests.builders import make_tenant, make_user

pytestmark = pytest.mark.django_db
PASSWORD = "correct-horse-battery"
NEW = {"usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}


@pytest.fixture
def tenant():
    return make_tenant("acme")


@pytest.fixture
def ada(tenant):
    return make_user(tenant, "ada", role="admin", is_staff=True)


@pytest.fixture
def tom(tenant):
    return make_user(tenant, "tom", is_staff=True)


@pytest.fixture
def closed():
    """The devices whose live connections were closed."""
    found = []

    def listen(device_id, **_):
        found.append(device_id)

    device_revoked.connect(listen)
    yield found
    device_revoked.disconnect(listen)


def signed_in(user):
    client = Client()
    client.force_login(user)
    assert client.get("/api/me/").status_code == 200
    return client


def is_signed_in(client):
    return client.get("/api/me/").status_code == 200


def issue(tenant, user):
    return issue_device(tenant, user, "phone")


def test_an_admins_reset_ends_sessions_and_devices(tenant, ada, tom, closed, django_capture_on_commit_callbacks):
    phone, browser, other = issue(tenant, tom), signed_in(tom), issue(tenant, ada)
    url = reverse("admin:auth_user_password_change", args=[tom.pk])
    page = signed_in(ada).get(url).content.decode()
    assert 'name="keep_devices"' in page and "checked" not in page.split('name="keep_devices"')[1].split(">")[0]
    with django_capture_on_commit_callbacks(execute=True):
        assert signed_in(ada).post(url, NEW).status_code == 302
    assert identify(phone.token) is None and not is_signed_in(browser)
    assert closed == [phone.device.pk] and identify(other.token)


def test_an_admin_can_keep_the_devices(tenant, ada, tom):
    phone, browser = issue(tenant, tom), signed_in(tom)
    url = reverse("admin:auth_user_password_change", args=[tom.pk])
    assert signed_in(ada).post(url, {**NEW, "keep_devices": "on"}).status_code == 302
    assert identify(phone.token) and not is_signed_in(browser)
    tom = User.objects.get(pk=tom.pk)
    tom.set_password("another")  # the choice applies to one change
    tom.save()
    assert identify(phone.token) is None


def test_disabling_the_password_signs_out_too(tenant, ada, tom):
    phone, browser = issue(tenant, tom), signed_in(tom)
    url = reverse("admin:auth_user_password_change", args=[tom.pk])
    assert signed_in(ada).post(url, {"usable_password": "false", "unset-password": "1"}).status_code == 302
    assert identify(phone.token) is None and not is_signed_in(browser)
    other = issue(tenant, tom)
    User.objects.get(pk=tom.pk).save()
    assert identify(other.token), "a save that changes no password signs nobody out"


@pytest.mark.parametrize("choice", ["keep", "sign_out", None])
def test_ones_own_change_asks(tenant, tom, choice):
    phone, here, elsewhere = issue(tenant, tom), signed_in(tom), signed_in(tom)
    data = {"old_password": "secret", "new_password1": PASSWORD, "new_password2": PASSWORD}
    answer = here.post(reverse("admin:password_change"), data | ({"devices": choice} if choice else {}))
    if choice is None:
        assert "devices" in answer.context["form"].errors
        assert "checked" not in answer.content.decode()
    assert User.objects.get(pk=tom.pk).check_password(PASSWORD) == (choice is not None)
    assert is_signed_in(here) and is_signed_in(elsewhere) == (choice is None)
    assert (identify(phone.token) is None) == (choice == "sign_out")


def test_a_change_by_a_program_signs_out_and_a_rehash_does_not(tenant, tom, settings):
    phone = issue(tenant, tom)
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher", *settings.PASSWORD_HASHERS]
    assert User.objects.get(pk=tom.pk).check_password("secret")
    tom.refresh_from_db()
    assert tom.password.startswith("pbkdf2") and identify(phone.token)
    tom.set_password("other")
    tom.save(update_fields=["password"])
    assert identify(phone.token) is None


def test_the_api_signs_the_caller_out_everywhere(tenant, ada, tom):
    beta = make_tenant("beta")
    Membership.objects.create(tenant=beta, user=tom, profile=beta.profiles.get())
    phones, browser, others = [issue(tenant, tom), issue(beta, tom)], signed_in(tom), [issue(tenant, ada)]
    watching = signed_in(ada)
    token = {"HTTP_AUTHORIZATION": f"Bearer {phones[0].token}"}
    assert Client().post("/api/logout-everywhere").status_code in (401, 403)
    answer = Client().post("/api/logout-everywhere", **token)
    assert (answer.status_code, answer.content) == (204, b"")
    assert [identify(p.token) for p in phones] == [None, None] and not is_signed_in(browser)
    assert identify(others[0].token) and is_signed_in(watching)
    phone, browser = issue(tenant, tom), signed_in(tom)
    assert browser.post("/api/logout-everywhere").status_code == 204
    assert identify(phone.token) is None and not is_signed_in(browser)


def test_the_members_action_stays_within_the_tenant(tenant, ada, tom):
    beta = make_tenant("beta")
    both = make_user(tenant, "both", is_staff=True)
    Membership.objects.create(tenant=beta, user=both, profile=beta.profiles.get())
    phone, here, there = issue(tenant, tom), issue(tenant, both), issue(beta, both)
    toms, boths = signed_in(tom), signed_in(both)
    members = Membership.objects.filter(tenant=tenant, user__in=[tom, both])
    data = {"action": "sign_out", "_selected_action": [m.pk for m in members]}
    page = signed_in(ada).post(reverse("admin:tenants_membership_changelist"), data, follow=True).content.decode()
    assert "Signed out 2 devices and 1 browser session." in page and "browser sessions continue" in page
    assert [identify(d.token) is None for d in (phone, here, there)] == [True, True, False]
    assert not is_signed_in(toms) and is_signed_in(boths)


def test_the_users_action_skips_accounts_of_other_tenants(tenant, ada, tom, admin_client):
    beta = make_tenant("beta")
    both = make_user(tenant, "both")
    Membership.objects.create(tenant=beta, user=both, profile=beta.profiles.get())
    phone, kept = issue(tenant, tom), issue(tenant, both)
    data = {"action": "sign_out", "_selected_action": [tom.pk, both.pk]}
    url = reverse("admin:auth_user_changelist")
    page = signed_in(ada).post(url, data, follow=True).content.decode()
    assert "Signed out 1 device and 0 browser sessions." in page and "were skipped" in page
    assert identify(phone.token) is None and identify(kept.token)
    assert "Signed out 1 device" in admin_client.post(url, data, follow=True).content.decode()
    assert identify(kept.token) is None
    assert Session.objects.exists()
