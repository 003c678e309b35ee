"""Every page has a strict Content Security Policy and obeys it: no inline scripts, styles only with its nonce."""

import re
from html.parser import HTMLParser

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from config.headers import content_security_policy
from metadata.choices import is_colour, parse_choices
from metadata.models import ObjectMetadata
from metadata.publish import publish
from metadata.schema import Choice
from sync.admin.record_cells import _choice
from sync.models import Conflict
from sync.settle.push import push
from sync.wire.ops import Actor, Op
from tenants.models import SecurityProfile
from tests.builders import make_field_service, make_tenant, make_user

HTML = {"headers": {"accept": "text/html"}}


@pytest.fixture
def acme(db):
    tenant = make_tenant("acme")
    make_field_service(tenant)
    ObjectMetadata.objects.filter(object_name="job").update(
        statuses=[{"value": "open", "label": "Open", "colour": "teal"}]
    )
    publish(tenant.pk)
    tenant.refresh_from_db()
    push(Actor(tenant.pk, "olga"), [Op(1, None, "jobs", "job-1", "insert", 0, {"title": "Boiler", "status": "open"})])
    return tenant


@pytest.fixture
def admin(acme):
    client = Client()
    client.force_login(make_user(acme, "olga", role="admin", is_staff=True, is_superuser=True))
    return client


class Inline(HTMLParser):
    """Collects what a policy without 'unsafe-inline' blocks, and the nonces of what it allows."""

    def __init__(self):
        super().__init__()
        self.blocked, self.nonces = [], set()

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.blocked += [f"<{tag} {name}>" for name in given if name == "style" or name.startswith("on")]
        self.blocked += [
            f"<{tag} {name}>" for name, value in attrs if str(value).strip().lower().startswith("javascript:")
        ]
        data = tag == "script" and "json" in given.get("type", "")
        if tag == "style" or (tag == "script" and "src" not in given and not data):
            self.nonces.add(given.get("nonce"))


def check(response):
    assert response.status_code == 200, response.status_code
    policy = response["Content-Security-Policy"]
    page = Inline()
    page.feed(response.content.decode())
    assert page.blocked == []
    assert page.nonces <= {*re.findall(r"'nonce-([^']+)'", policy)}, (page.nonces, policy)
    for unsafe in ("unsafe-inline", "unsafe-eval", "http:", "https:", "*"):
        assert unsafe not in policy
    for strict in ("default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'"):
        assert strict in policy
    return policy


def pages(acme):
    profile = SecurityProfile.objects.get(tenant=acme, name="full").pk
    job = ObjectMetadata.objects.get(object_name="job").pk
    yield reverse("admin:records_list", args=["acme", "jobs"])
    yield reverse("admin:records_add", args=["acme", "jobs"])
    for name in ("change", "history", "delete"):
        yield reverse(f"admin:records_{name}", args=["acme", "jobs", "job-1"])
    for name in ("records_index", "records_log"):
        yield reverse(f"admin:{name}", args=["acme"])
    for model in ("metadata_objectmetadata", "layouts_layoutdefinition", "tenants_securityprofile", "tenants_device"):
        yield reverse(f"admin:{model}_changelist")
        yield reverse(f"admin:{model}_add")
    yield reverse("admin:metadata_objectmetadata_change", args=[job])
    yield reverse("admin:tenants_securityprofile_change", args=[profile])
    yield reverse("admin:tenants_securityprofile_preview", args=[profile])
    yield reverse("admin:layouts_layoutdefinition_create_defaults")
    yield from ("/", "/admin/", "/admin/password_change/", "/api/", "/api/docs", "/api/records/jobs/", "/api/objects/")


def test_every_page_obeys_its_policy(acme, admin):
    for address in pages(acme):
        try:
            check(admin.get(address, **HTML))
        except AssertionError as error:
            raise AssertionError(address) from error
    check(Client().get("/admin/login/"))


def test_a_page_after_a_post_obeys_it_too(acme, admin):
    olga = User.objects.get(username="olga")
    shown = admin.post(
        reverse("admin:tenants_device_add"), {"tenant": acme.pk, "user": olga.pk, "name": "phone"}, follow=True
    )
    assert "device-token" in shown.content.decode()
    check(shown)
    job = ObjectMetadata.objects.get(object_name="job")
    ObjectMetadata.objects.filter(pk=job.pk).update(label="Task")
    plan = {"action": "publish_selected", "_selected_action": [job.pk]}
    shown = admin.post(reverse("admin:metadata_objectmetadata_changelist"), plan)
    assert "Publish" in shown.content.decode()
    check(shown)


def test_a_conflict_obeys_it(acme, admin):
    push(
        Actor(acme.pk, "tess"),
        [Op(2, None, "jobs", "job-1", "update", 1, [{"op": "replace", "path": "/title", "value": "B"}])],
    )
    push(
        Actor(acme.pk, "olga"),
        [Op(3, None, "jobs", "job-1", "update", 1, [{"op": "replace", "path": "/title", "value": "C"}])],
    )
    conflict = Conflict.objects.get()
    check(admin.get(reverse("admin:records_conflict", args=["acme", "jobs", "job-1", conflict.pk])))


def test_each_page_has_a_nonce_of_its_own(acme, admin):
    policies = {check(admin.get("/")) for _ in range(3)}
    assert len(policies) == 3


def test_errors_and_data_have_the_policy_too(acme, admin):
    for address in ("/nothing", "/api/nothing", "/api/me/", "/api/schema"):
        assert "default-src 'none'" in admin.get(address)["Content-Security-Policy"], address


def test_the_app_has_a_policy_of_its_own(client):
    assert "unsafe-inline" not in content_security_policy("host")
    response = client.get("/app/")
    policy = response["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe-inline" not in policy
    if response.status_code == 200:
        page = Inline()
        page.feed(response.content.decode())
        assert (page.blocked, page.nonces) == ([], set())


# Colours


@pytest.mark.parametrize("colour", ["teal", "#fff", "#FFFF", "#0a1b2c", "#0a1b2c80", "LightGoldenRodYellow"])
def test_a_colour_is_accepted(colour):
    assert parse_choices([{"value": "open", "colour": colour}]) == ((Choice("open", "open", colour),), [])


@pytest.mark.parametrize(
    "colour",
    [
        "red;position:fixed;inset:0",
        "url(https://evil.example/x)",
        "#12",
        "#12345",
        "rgb(1,2,3)",
        'red"><script>',
        "var(--x)",
        "a" * 30,
    ],
)
def test_anything_else_is_refused_and_never_shown(colour, acme, admin):
    choices, messages = parse_choices([{"value": "open", "colour": colour}])
    assert not choices and "#rrggbb" in messages[0]
    assert not is_colour(colour)
    cell = _choice("open", (Choice("open", "Open", colour),))  # as published before colours were checked
    assert (cell.colour, cell.text) == ("", "Open")


def test_a_colour_is_shown_without_a_style_attribute(acme, admin):
    page = admin.get(reverse("admin:records_list", args=["acme", "jobs"])).content.decode()
    assert 'fill="teal"' in page


def test_preloading_is_off_unless_it_is_asked_for():
    assert settings.SECURE_HSTS_PRELOAD is False


@pytest.mark.django_db  # closing a response looks after database connections
def test_an_unchanged_worker_keeps_the_policy_it_was_stored_with():
    """A 304 updates the headers that a browser stored: another policy there would stop the worker's WebAssembly."""
    address = "/static/web/sdk/worker.js"
    first = Client().get(address)
    first.close()
    again = Client().get(address, headers={"If-Modified-Since": first["Last-Modified"]})
    assert first["Content-Security-Policy"] == content_security_policy()
    assert again.status_code == 304
    assert "Content-Security-Policy" not in again
