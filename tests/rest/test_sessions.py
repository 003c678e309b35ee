"""Sign in, sign out, and the current caller."""

import json
import time
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from tenants.models import Device, Membership, SecurityProfile, Tenant
from tenants.throttles import LoginAddressThrottle, LoginThrottle
from tenants.tokens import identify, revoke
from tests.builders import make_tenant, make_user
from tests.rest.api import Api

pytestmark = pytest.mark.django_db


def login(body, client=None):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = (client or Client(raise_request_exception=False)).generic(
        "POST", "/api/login", data, content_type="application/json"
    )
    response.data = json.loads(response.content)
    return response


GOOD = {"tenant": "acme", "user": "olga", "password": "secret", "device": "olga's phone"}


@pytest.fixture
def olga():
    return make_user(make_tenant("acme"), "olga")


def test_a_password_buys_a_device_and_its_token(olga):
    answer = login(GOOD)
    assert answer.status_code == 200
    assert {k: v for k, v in answer.data.items() if k not in ("device", "token")} == {"tenant": "acme", "user": "olga"}
    who = identify(answer.data["token"])
    assert (who.device_id, who.username, who.tenant_slug) == (answer.data["device"], "olga", "acme")
    assert Device.objects.get().name == "olga's phone"
    assert "no-store" in answer["Cache-Control"]


def test_each_login_is_another_device(olga):
    assert login(GOOD).data["device"] != login(GOOD).data["device"]


@pytest.mark.parametrize(
    "change",
    [
        {"password": "wrong"},
        {"user": "nobody"},
        {"tenant": "nope"},
        {"tenant": "other"},
        {"user": "idle"},
        {"user": "OLGA"},
    ],
)
def test_every_wrong_login_gets_the_same_answer_and_no_device(olga, change):
    make_user(make_tenant("other"), "stranger")
    make_user(olga.memberships.get().tenant, "idle", is_active=False)
    answer = login({**GOOD, **change})
    assert (answer.status_code, answer.data) == (
        401,
        {"code": "bad_login", "message": "The tenant, user name, or password is incorrect."},
    )
    assert not Device.objects.exists()


def test_an_unknown_user_costs_as_much_time_as_a_wrong_password(olga, settings):
    # Count work instead of measuring time, which depends on the machine's load.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
    olga.set_password("secret")
    olga.save()

    def cost(**change):
        best = []
        for _ in range(3):
            began = time.thread_time()
            login({**GOOD, "password": "wrong", **change})
            best.append(time.thread_time() - began)
        return min(best)

    known, unknown, elsewhere = cost(), cost(user="nobody"), cost(tenant="nope")
    assert 0.5 < unknown / known < 2
    assert 0.5 < elsewhere / known < 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b'"x"',
        b"\xff\xfe",
        b'{"tenant": "acme", "tenant": "acme"}',
        b'{"user": NaN}',
        b"[" * 5000,
        b'{"a":' * 5000,
        {},
        {**GOOD, "user": None},
        {**GOOD, "user": 7},
        {**GOOD, "password": ["secret"]},
        {**GOOD, "tenant": {"a": 1}},
        {**GOOD, "device": 3},
        {**GOOD, "device": ""},
        {**GOOD, "user": "a\x00b"},
        {**GOOD, "tenant": "a\x00"},
        {**GOOD, "password": "x" * 5000},
        {**GOOD, "user": "\ud800"},
    ],
)
def test_a_malformed_login_is_a_bad_request(olga, body):
    answer = login(body)
    assert (answer.status_code, answer.data["code"]) == (400, "bad_request")
    assert not Device.objects.exists()


def test_logins_are_throttled_per_address_and_user_with_a_coded_answer(olga, monkeypatch):
    monkeypatch.setattr(LoginThrottle, "THROTTLE_RATES", {"login": "3/min", "login_address": "100/min"})
    for _ in range(3):
        assert login({**GOOD, "password": "wrong"}).status_code == 401
    answer = login(GOOD)
    assert (answer.status_code, answer.data["code"]) == (429, "throttled")
    assert 0 < answer.data["retry_after"] <= 61
    assert int(answer["Retry-After"]) >= 1
    assert login({**GOOD, "tenant": "other"}).status_code == 429, "another tenant's name does not buy more guesses"
    assert login({**GOOD, "user": "Olga"}).status_code == 429, "nor does another spelling"
    make_user(olga.memberships.get().tenant, "tom")
    assert login({**GOOD, "user": "tom"}).status_code == 200, "others are not locked out"
    cache.clear()
    assert login(GOOD).status_code == 200


def test_an_address_that_tries_many_names_is_throttled(olga, monkeypatch):
    monkeypatch.setattr(LoginAddressThrottle, "THROTTLE_RATES", {"login": "100/min", "login_address": "3/min"})
    for number in range(3):
        assert login({**GOOD, "user": f"guess{number}"}).status_code == 401
    assert login(GOOD).status_code == 429


def test_a_forged_forwarded_address_does_not_help(olga, monkeypatch):
    monkeypatch.setattr(LoginThrottle, "THROTTLE_RATES", {"login": "1/min", "login_address": "100/min"})
    body = json.dumps({**GOOD, "password": "wrong"})
    answers = [
        Client()
        .post("/api/login", body, content_type="application/json", headers={"X-Forwarded-For": f"10.0.0.{n}"})
        .status_code
        for n in range(3)
    ]
    assert answers == [401, 429, 429]


def test_logging_out_ends_the_token(olga):
    api = Api(olga.memberships.get().tenant, olga)
    assert api("GET", "me/").status_code == 200
    assert api("POST", "logout").status_code == 204
    answer = api("GET", "me/")
    assert (answer.status_code, answer.data["code"]) == (401, "bad_token")
    assert answer["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer ", "Bearer moat_x", "Bearer a b c", "bearer moat_\xff", "Bearer " + "x" * 5000]
)
def test_a_bad_token_is_told_apart_from_no_token(olga, header):
    answer = Client().get("/api/me/", headers={"Authorization": header})
    assert (answer.status_code, answer.json()["code"]) == (401, "bad_token")
    answer = Client().get("/api/me/")
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


def test_me_says_who_calls(olga):
    tenant = olga.memberships.get().tenant
    api = Api(tenant, olga)
    assert api.ok("GET", "me/") == {
        "user": "olga",
        "tenant": "acme",
        "role": "member",
        "device": api.device.pk,
        "tenants": ["acme"],
    }


def test_a_session_acts_in_its_only_tenant_or_in_the_one_it_names(client, olga):
    client.force_login(olga)
    assert client.get("/api/me/").json()["tenant"] == "acme"
    other = make_tenant("other")
    Membership.objects.create(tenant=other, user=olga, profile=other.profiles.get())
    assert client.get("/api/me/").json() == {
        "user": "olga",
        "tenant": None,
        "role": None,
        "device": None,
        "tenants": ["acme", "other"],
    }
    answer = client.get("/api/objects/")
    assert (answer.status_code, answer.json()["code"]) == (400, "no_tenant")
    assert client.get("/api/me/", headers={"X-Moat-Tenant": "other"}).json()["tenant"] == "other"
    assert client.get("/api/me/?tenant=acme").json()["tenant"] == "acme"
    make_tenant("third")
    refusals = [client.get("/api/me/", {"tenant": slug}) for slug in ("third", "nope", "a\x00", "é")]
    assert {(r.status_code, r.content) for r in refusals} == {(403, refusals[0].content)}


def test_an_operator_acts_in_any_tenant(admin_client, olga):
    assert admin_client.get("/api/me/").json()["tenant"] == "acme", "the only one there is"
    make_tenant("other")
    assert admin_client.get("/api/me/").json()["tenant"] is None
    assert admin_client.get("/api/me/?tenant=other").json()["tenant"] == "other"
    assert admin_client.get("/api/me/?tenant=a%00").status_code == 403


def test_a_session_writes_only_with_its_csrf_token(olga):
    client = Client(enforce_csrf_checks=True)
    client.force_login(olga)
    answer = client.post("/api/records/jobs/", "{}", content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    client.get("/admin/login/")
    token = client.cookies["csrftoken"].value if "csrftoken" in client.cookies else None
    if token is None:
        client.get("/api/", headers={"Accept": "text/html"})
        token = client.cookies["csrftoken"].value
    answer = client.post("/api/records/jobs/", "{}", content_type="application/json", headers={"X-CSRFToken": token})
    assert answer.json()["code"] == "unknown_table", "the token lets it through to what it asks"


def test_the_tenant_of_a_token_cannot_be_overridden(olga):
    other = make_tenant("other")
    Membership.objects.create(tenant=other, user=olga, profile=other.profiles.get())
    api = Api(olga.memberships.get(tenant__slug="acme").tenant, olga)
    assert api.ok("GET", "me/?tenant=other", X_Moat_Tenant="other")["tenant"] == "acme"


def revoke_long_ago(device):
    """Long enough ago that every process has closed the device's connections."""
    revoke(device)
    Device.objects.filter(pk=device.pk).update(revoked_at=timezone.now() - timedelta(minutes=1))


def test_a_revoked_device_signs_in_again_under_its_old_id(olga):
    first = login(GOOD).data
    revoke_long_ago(Device.objects.get())
    again = login({**GOOD, "device": "renamed", "device_id": first["device"], "last_op_id": 0}).data
    assert again["device"] == first["device"]
    assert again["token"] != first["token"]
    assert identify(first["token"]) is None
    assert identify(again["token"]).device_id == first["device"]
    device = Device.objects.get()
    assert (device.name, device.revoked_at) == ("renamed", None)


@pytest.mark.parametrize(
    "case", ["in use", "revoked just now", "another user", "another tenant", "unknown", "an older copy"]
)
def test_only_its_user_gets_a_device_back_and_only_when_nobody_else_is_it(olga, case):
    tenant = olga.memberships.get().tenant
    mine, device = login(GOOD).data["device"], Device.objects.get()
    given = {**GOOD, "device_id": mine, "last_op_id": 3}
    if case == "revoked just now":
        revoke(device)
    elif case != "in use":
        revoke_long_ago(device)
    if case == "another user":
        make_user(tenant, "tom")
        given["user"] = "tom"
    elif case == "another tenant":
        make_user(make_tenant("other"), "stranger")
        Membership.objects.create(
            tenant=Tenant.objects.get(slug="other"),
            user=olga,
            profile=SecurityProfile.objects.get(tenant__slug="other"),
        )
        given["tenant"] = "other"
    elif case == "unknown":
        given["device_id"] = "d" + "0" * 20
    elif case == "an older copy":
        Device.objects.filter(pk=mine).update(pruned_op_id=4)
    answer = login(given)
    assert answer.status_code == 200
    assert answer.data["device"] not in (mine, given["device_id"])
    if case != "in use":
        device.refresh_from_db()
        assert device.revoked_at is not None


@pytest.mark.parametrize(
    "wrong", [{"device_id": "d1"}, {"device_id": "d1", "last_op_id": "1"}, {"device_id": 5, "last_op_id": 1}]
)
def test_a_former_device_is_named_with_its_highest_op(olga, wrong):
    answer = login({**GOOD, **wrong})
    assert (answer.status_code, answer.data["code"]) == (400, "bad_request")
    assert not Device.objects.exists()
