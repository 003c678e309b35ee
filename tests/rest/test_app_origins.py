"""Apps without a server origin can call the API with a token; their cookies are ignored."""

import json

import pytest
from django.test import Client

from tests.builders import make_tenant, make_user

pytestmark = pytest.mark.django_db

APP = "capacitor://localhost"
SNAPSHOT = "0b1f6a52-6a0e-4b7e-9f3c-2d5e8c1a7b44"
STRANGERS = [
    "https://evil.example",
    "capacitor://localhost.evil.example",
    "capacitor://other",
    "ionic://localhost",
    "http://localhost",
    "null",
]
ALLOW, EXPOSE, CREDENTIALS = (
    f"Access-Control-{name}" for name in ("Allow-Origin", "Expose-Headers", "Allow-Credentials")
)


def preflight(path, origin, *, method="POST", headers="authorization,content-type"):
    asked = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    return Client().generic("OPTIONS", path, headers=asked)


@pytest.mark.parametrize(
    ("path", "method", "headers"),
    [
        ("/api/login", "POST", "content-type"),
        ("/api/logout", "POST", "authorization,content-type"),
        ("/api/records/jobs/j1/history/", "GET", "authorization"),
        (f"/api/snapshots/{SNAPSHOT}/parts/0", "GET", "authorization,range,if-range"),
        ("/api/records/jobs/j1/", "PATCH", "authorization,content-type,if-match"),
    ],
)
def test_a_page_of_an_app_is_told_what_it_may_send(path, method, headers):
    answer = preflight(path, APP, method=method, headers=headers)
    assert (answer.status_code, answer[ALLOW], answer.content) == (200, APP, b"")
    assert method in answer["Access-Control-Allow-Methods"]
    assert set(headers.split(",")) <= set(answer["Access-Control-Allow-Headers"].split(", "))
    assert "cookie" not in answer["Access-Control-Allow-Headers"]
    assert CREDENTIALS not in answer
    assert "origin" in answer["Vary"].lower()


@pytest.mark.parametrize("origin", STRANGERS)
def test_a_stranger_is_told_nothing(api, origin):
    asked = preflight("/api/login", origin)
    answer = api("GET", "me/", Origin=origin)
    for each in (asked, answer):
        assert not [name for name in each.headers if name.lower().startswith("access-control")]


def test_what_an_app_reads_besides_the_body_is_exposed_and_so_is_a_refusal(api):
    api.ok("POST", "records/customers/", {"id": "c1", "name": "Anna", "code": "a1"})
    answer = api("GET", "records/customers/c1/", Origin=APP)
    assert (answer.status_code, answer[ALLOW]) == (200, APP)
    assert answer["ETag"]
    assert set(answer[EXPOSE].split(", ")) == {"etag", "content-range", "retry-after"}
    for refused in (
        Client().get(f"/api/snapshots/{SNAPSHOT}/parts/0", headers={"Origin": APP}),
        Client().post("/api/login", b"{", content_type="application/json", headers={"Origin": APP}),
    ):
        assert (refused.status_code in (400, 401), refused[ALLOW]) == (True, APP)
        assert CREDENTIALS not in refused


def test_outside_the_api_no_other_origin_reads_anything():
    for path in ("/", "/app/", "/health", "/admin/login/", "/sw.js", "/v1/pull"):
        assert ALLOW not in Client().get(path, headers={"Origin": APP}), path


def test_a_session_of_the_admin_cannot_be_used_from_an_app(settings):
    olga = make_user(make_tenant("acme"), "olga")
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(olga)
    assert browser.get("/api/me/").status_code == 200
    answer = browser.get("/api/me/", headers={"Origin": APP})
    assert (answer.status_code, CREDENTIALS in answer, answer.json()["code"]) == (401, False, "unauthenticated")
    written = browser.post(
        "/api/records/customers/", json.dumps({}), content_type="application/json", headers={"Origin": APP}
    )
    assert written.status_code == 401
    settings.APP_ORIGINS = []
    written = browser.post(
        "/api/records/customers/", json.dumps({}), content_type="application/json", headers={"Origin": APP}
    )
    assert written.status_code == 403
