"""Signing in to the admin: the shared throttle, and the optional second factor."""

import re

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django_otp.oath import totp
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from tenants.throttles import LoginThrottle
from tests.builders import make_tenant, make_user

pytestmark = pytest.mark.django_db
LOGIN, INDEX = "/admin/login/", "/admin/"
PAGE = "/admin/second-factor/"


@pytest.fixture
def tenant():
    return make_tenant("acme")


@pytest.fixture
def ada(tenant):
    return make_user(tenant, "ada", role="admin", is_staff=True)


@pytest.fixture
def limited(monkeypatch):
    cache.clear()
    monkeypatch.setattr(LoginThrottle, "THROTTLE_RATES", {"login": "3/min", "login_address": "100/min"})
    yield
    cache.clear()


def sign_in(password="secret", username="ada", client=None, **more):
    client = client or Client()
    data = {"username": username, "password": password, "next": INDEX, **more}
    answer = client.post(LOGIN, data)
    client.answer = answer
    return client


def is_in(client):
    return client.get(INDEX).status_code == 200


def code_of(user, ahead=0):
    """The app's code. The clock of the stored device is moved, so that each code is new."""
    device = TOTPDevice.objects.get(user=user)
    TOTPDevice.objects.filter(pk=device.pk).update(last_t=-1, throttling_failure_count=0)
    return f"{totp(device.bin_key, t0=-ahead):06d}"


def enrolled(user):
    client = sign_in(username=user.username)
    assert client.get(PAGE).status_code == 200
    answer = client.post(PAGE, {"code": code_of(user), "action": "on"})
    assert answer.status_code == 200
    return client, answer.content.decode()


def test_the_admin_and_the_api_share_one_throttle(ada, limited):
    for _ in range(2):
        assert sign_in("wrong").answer.status_code == 200
    body = {"tenant": "acme", "user": "ada", "password": "wrong"}
    assert Client().post("/api/login", body, content_type="application/json").status_code == 401
    client = sign_in()
    assert client.answer.status_code == 429 and 0 < int(client.answer["Retry-After"]) <= 61
    assert "Too many sign-in attempts" in client.answer.content.decode() and not is_in(client)
    assert sign_in(username="ADA").answer.status_code == 429
    good = {**body, "password": "secret"}
    assert Client().post("/api/login", good, content_type="application/json").status_code == 429
    User.objects.create_superuser("root", password="secret")
    assert is_in(sign_in(username="root")), "others are not locked out"
    cache.clear()
    assert is_in(sign_in())


def test_without_a_second_factor_the_password_is_enough(ada):
    assert is_in(sign_in())
    assert not is_in(sign_in("wrong"))
    client = sign_in()
    page = client.get(PAGE).content.decode()
    assert "<svg" in page and "otpauth://totp/" in page and "style=" not in page.split("<svg")[1].split("</svg>")[0]
    assert client.post(PAGE, {"code": "000000x"}).status_code == 302
    assert is_in(sign_in()), "a device that was not confirmed does not count"


def test_once_enrolled_a_code_is_needed(ada):
    client, page = enrolled(ada)
    assert len(re.findall(r"^(?:<pre>)?[a-z2-7]{8}$", page, re.M)) == 10
    assert is_in(client) and client.get("/api/me/").status_code == 200
    for code in ("", "000000x", "12"):
        assert not is_in(sign_in(code=code))
    assert is_in(sign_in(code=code_of(ada)))
    code = code_of(ada)
    assert is_in(sign_in(code=code)) and not is_in(sign_in(code=code)), "a code works once"
    StaticDevice.objects.update(throttling_failure_count=0)  # failed attempts delay the next one
    recovery = StaticToken.objects.first().token
    assert is_in(sign_in(code=recovery)) and not is_in(sign_in(code=recovery))


def test_a_code_of_another_user_does_not_help(tenant, ada):
    eve = make_user(tenant, "eve", role="admin", is_staff=True)
    enrolled(ada)
    enrolled(eve)
    assert not is_in(sign_in(code=code_of(eve)))
    assert not is_in(sign_in(code=StaticToken.objects.filter(device__user=eve).first().token))


def test_older_sessions_without_the_second_factor_end(ada):
    before = sign_in()
    forced = Client()
    enrolled(ada)
    forced.force_login(ada)  # a session that skipped the form
    for client in (before, forced):
        assert not is_in(client)
        assert client.get("/api/me/").status_code in (401, 403)
        assert client.get(PAGE).status_code == 302


def test_codes_are_replaced_and_the_factor_is_turned_off_only_with_a_code(ada):
    client, _ = enrolled(ada)
    old = set(StaticToken.objects.values_list("token", flat=True))
    for action in ("codes", "off"):
        client.post(PAGE, {"code": "12", "action": action})
    assert set(StaticToken.objects.values_list("token", flat=True)) == old and TOTPDevice.objects.exists()
    client.post(PAGE, {"code": code_of(ada), "action": "codes"})
    assert not old & set(StaticToken.objects.values_list("token", flat=True))
    client.post(PAGE, {"code": code_of(ada), "action": "off"})
    assert not TOTPDevice.objects.filter(confirmed=True).exists() and is_in(sign_in())


def test_a_setting_requires_it_of_staff(ada, settings):
    settings.ADMIN_SECOND_FACTOR = "required"
    client = sign_in()
    assert not is_in(client)
    answer = client.get(INDEX, follow=True)
    assert answer.redirect_chain[-1][0] == PAGE and answer.status_code == 200
    client.post(PAGE, {"code": code_of(ada), "action": "on"})
    assert is_in(client)


def test_an_admin_removes_the_second_factor_of_a_member_but_not_of_others(tenant, ada, admin_client):
    other = make_user(make_tenant("beta"), "bob", role="admin", is_staff=True)
    tom = make_user(tenant, "tom", is_staff=True)
    for user in (other, tom):
        enrolled(user)
    client, url = Client(), reverse("admin:auth_user_changelist")
    client.force_login(ada)
    data = {"action": "remove_second_factor", "_selected_action": [other.pk, tom.pk]}
    assert "Removed 1 second factor." in client.post(url, data, follow=True).content.decode()
    assert is_in(sign_in(username="tom")) and not is_in(sign_in(username="bob"))
    assert "Removed 1 second factor." in admin_client.post(url, data, follow=True).content.decode()
    assert is_in(sign_in(username="bob"))


def test_secrets_have_no_pages(admin_client):
    for app in ("otp_totp/totpdevice", "otp_static/staticdevice"):
        assert admin_client.get(f"/admin/{app}/").status_code == 404
    assert Client().get(PAGE).status_code == 302
