"""The OpenAPI description and its pages."""

import re

import pytest
from django.contrib.staticfiles import finders
from drf_spectacular.validation import validate_schema

from metadata.models import ObjectField
from metadata.publish import publish
from tests.builders import make_object_type, make_tenant, make_user

pytestmark = pytest.mark.django_db


def test_the_description_is_valid_and_has_a_section_for_each_published_type(api):
    document = api.ok("GET", "schema")
    validate_schema(document)
    assert document["openapi"].startswith("3.1")
    paths = document["paths"]
    assert set(paths["/api/records/jobs/"]) == {"get", "post"}
    assert set(paths["/api/records/jobs/{id}/"]) == {"parameters", "get", "patch", "delete"}
    record = document["components"]["schemas"]["job.record"]
    assert record["properties"]["price"]["type"] == ["string", "null"]
    assert {"id", "version", "title"} <= set(record["required"])
    assert [tag["name"] for tag in document["tags"]] == ["customers", "jobs", "line_items"]
    names = {parameter["name"] for parameter in paths["/api/records/jobs/"]["get"]["parameters"]}
    assert {"q", "order", "crew", "status"} <= names
    assert "attrs" not in names


def test_a_type_and_a_field_appear_as_soon_as_they_are_published(api, tenant):
    draft = make_object_type(tenant, "invoice", {"number": "text"})
    assert "/api/records/invoices/" not in api.ok("GET", "schema")["paths"]
    publish(tenant.pk)
    document = api.ok("GET", "schema")
    validate_schema(document)
    assert "/api/records/invoices/" in document["paths"]
    ObjectField.objects.create(object_type=draft, name="total", kind="decimal", decimal_places=2)
    publish(tenant.pk)
    assert "total" in api.ok("GET", "schema")["components"]["schemas"]["invoice.record"]["properties"]


def test_every_reference_leads_somewhere_and_operation_names_are_unique(api):
    document = api.ok("GET", "schema")
    text = str(document)
    for name in re.findall(r"'#/components/schemas/([^']+)'", text):
        assert name in document["components"]["schemas"], name
    names = re.findall(r"'operationId': '([^']+)'", text)
    assert len(names) == len(set(names)) > 20


def test_without_a_tenant_only_what_is_the_same_for_all_is_described(client, api, tenant):
    document = client.get("/api/schema").json()
    validate_schema(document)
    assert "/api/records/{table}/" in document["paths"]
    assert "jobs" not in str(document)
    assert client.get("/api/schema", headers={"Authorization": "Bearer moat_nope"}).status_code == 401


def test_the_description_of_one_tenant_shows_nothing_of_another(api, other):
    make_object_type(other, "secret_plan", {"title": "text"})
    publish(other.pk)
    assert "secret_plan" not in str(api.ok("GET", "schema"))


@pytest.mark.parametrize(
    "query", ["?lang=x%00", "?version=a%0d%0ab", "?lang=" + "x" * 5000, "?format=json", "?format=nope"]
)
def test_odd_parameters_of_the_description_do_no_harm(client, query):
    assert client.get(f"/api/schema{query}").status_code in (200, 404)


def test_the_description_comes_as_yaml_too(client):
    answer = client.get("/api/schema", headers={"Accept": "application/vnd.oai.openapi"})
    assert answer.status_code == 200
    assert answer.content.startswith(b"openapi: 3.1")


def test_the_docs_page_takes_every_asset_from_this_server(client, api, tenant):
    client.force_login(make_user(tenant))
    page = client.get("/api/docs?tenant=acme").content.decode()
    assert "schema?tenant=acme" in page.replace("\\u003D", "=")
    assets = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert any("swagger-ui-bundle" in asset for asset in assets)
    for asset in assets:
        assert asset.startswith("/static/"), asset
        assert finders.find(asset.removeprefix("/static/")), asset


def test_the_api_can_be_browsed_from_its_root(client, api, tenant):
    answer = client.get("/api/")
    assert answer.json()["objects"] == "http://testserver/api/objects/"
    client.force_login(make_user(tenant))
    for path in ("", "me/", "objects/", "objects/job/", "layouts/", "conflicts/", "records/jobs/", "records/nope/"):
        page = client.get(f"/api/{path}", headers={"Accept": "text/html"})
        assert page.status_code in (200, 404)
        assert "text/html" in page["Content-Type"]
        assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="https?://', page.content.decode()), path


@pytest.mark.parametrize(
    "path", ["nope", "nope/", "records/", "records/jobs", "objects/a/b/", "%00", "..%2f..%2fadmin"]
)
def test_an_address_that_does_not_exist_is_answered_in_the_same_shape(api, path):
    answer = api("GET", path)
    if answer.status_code != 301:
        assert (answer.status_code, answer.data["code"]) == (404, "not_found")


def test_the_first_page_says_what_runs_here_and_where(client):
    page = client.get("/").content.decode()
    for link in ("/admin/", "/api/docs", "/api/"):
        assert f'href="{link}"' in page
    assert "/ws/sync" in page
    assert "prefers-color-scheme: dark" in page
    assert not re.findall(r'(?:src|href)="https?://', page)


def test_a_failure_nobody_expected_is_answered_without_a_traceback(api, monkeypatch):
    def fail(*_):
        raise RuntimeError("secret detail")

    monkeypatch.setattr("sync.transports.rest.definitions.view_of_caller", fail)
    answer = api("GET", "objects/")
    assert (answer.status_code, answer.data) == (
        500,
        {"code": "internal", "message": "Internal server error. Details are in the server log."},
    )


def test_a_tenant_without_types_has_a_valid_description_too(client):
    client.force_login(make_user(make_tenant("empty")))
    validate_schema(client.get("/api/schema").json())
    assert client.get("/api/objects/").json() == {"schema_version": 0, "results": []}
