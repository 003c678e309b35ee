"""Requests generated from the OpenAPI description, in both encodings.

Responses match the description and are never a server failure.
"""

import base64
import json
from collections.abc import Iterator
from typing import Any

import cbor2
import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from drf_spectacular.validation import validate_schema
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from config.wsgi import application
from sync.models import Change
from sync.transports.v1.openapi import document
from sync.transports.v1.urls import urlpatterns
from tenants.models import Tenant
from tests.v1.http import Http

pytestmark = pytest.mark.django_db
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


def with_bytes(value: Any, key: str = "") -> Any:
    """Convert a request to CBOR types: `entityCbor` as bytes instead of base64 text or a list."""
    if isinstance(value, dict):
        return {name: with_bytes(each, name) for name, each in value.items()}
    if isinstance(value, list) and key != "entityCbor":
        return [with_bytes(each) for each in value]
    if isinstance(value, str) and key == "entityCbor":
        try:
            return base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_")
        except ValueError:
            return value
    return value


def without_bytes(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_bytes(each) for name, each in value.items()}
    if isinstance(value, list):
        return [without_bytes(each) for each in value]
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


@schemathesis.serializer("application/cbor")
def to_cbor(ctx: Any, value: Any) -> bytes:
    return cbor2.dumps(with_bytes(value))


@schemathesis.deserializer("application/cbor")
def from_cbor(ctx: Any, response: Any) -> Any:
    return without_bytes(cbor2.loads(response.content))


def test_the_description_is_valid_and_names_every_call(client: Any) -> None:
    answer = client.get("/v1/openapi.json")
    assert answer.headers["Content-Type"] == "application/json"
    found = json.loads(answer.content)
    assert found == json.loads(json.dumps(document()))
    validate_schema(found)
    names = {pattern.name for pattern in urlpatterns} - {"v1-openapi", "v1-unknown", "v1-root"}
    assert {f"v1-{path.removeprefix('/v1/')}" for path in found["paths"]} == names
    assert client.post("/v1/openapi.json").status_code == 405


def local_application(environ: dict[str, Any], start_response: Any) -> Any:
    """Reach the server from this machine: elsewhere, plain HTTP is rejected before anything else."""
    return application({**environ, "REMOTE_ADDR": "127.0.0.1"}, start_response)


WITH_BODY = [(call, kind) for call in ("handshake", "pull", "push") for kind in ("cbor", "json")]
TRIED = [(GenerationMode.POSITIVE, *each) for each in [*WITH_BODY, ("version", None)]] + [
    (GenerationMode.NEGATIVE, *each) for each in WITH_BODY
]


def named(properties: dict[str, Any], **own: str) -> dict[str, Any]:
    """Use the caller's own names in a message. Null stays where it is equivalent."""
    return {
        name: {"enum": [value, None] if "anyOf" in properties[name] else [value]}
        for name, value in own.items()
        if name in properties
    }


@pytest.fixture
def api(notes: Tenant, settings: Any) -> Iterator[tuple[Http, dict[str, Any], set[int]]]:
    """A device, the API description for it, and the statuses received. Some requests must be accepted."""
    settings.MOAT = {"V1_RATE": 1_000_000}
    for signal in (request_started, request_finished):  # the test's transaction is on this thread's connection
        signal.disconnect(close_old_connections)
    http = Http(notes)
    schema = schemathesis.openapi.from_wsgi("/v1/openapi.json", local_application)
    # A stream does not end and has its own tests. The caller's own names make requests that are accepted.
    calls = schema.exclude(path_regex="stream|events")
    for name in ("HandshakeRequest", "PullRequest", "PushRequest"):
        properties = calls.raw_schema["components"]["schemas"][name]["properties"]
        properties |= named(properties, dbId=notes.slug, deviceId=http.device)
    for variant in calls.raw_schema["components"]["schemas"]["PushedOperation"]["anyOf"]:
        variant["properties"] |= named(variant["properties"], dbId=notes.slug, deviceId=http.device)
        variant["properties"]["collection"] = {"enum": ["notes", "blobs"]}
    answered: set[int] = set()
    operations = [found.ok() for found in calls.get_all_operations()]
    yield http, {operation.path.removeprefix("/v1/"): operation for operation in operations}, answered
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)
    assert answered - {403}


def test_every_call_that_ends_is_tried(api: Any) -> None:
    _, operations, answered = api
    assert operations.keys() == {call for _, call, _ in TRIED}
    answered.add(200)


@pytest.mark.parametrize(("mode", "call", "kind"), TRIED, ids=lambda value: getattr(value, "value", value))
@settings(max_examples=25, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_made_up_requests_are_answered_as_described(
    api: Any, mode: GenerationMode, call: str, kind: str | None, data: st.DataObject
) -> None:
    http, operations, answered = api
    cases = operations[call].as_strategy(generation_mode=mode)
    case = data.draw(cases if kind is None else cases.filter(lambda case: case.media_type == f"application/{kind}"))
    response = case.call_and_validate(headers={"Authorization": f"Bearer {http.token}"}, checks=CHECKS)
    answered.add(response.status_code)
    if mode is GenerationMode.POSITIVE:
        assert response.status_code in (200, 400, 409), (
            "400: a value its column cannot hold; 409: a cursor past the head"
        )


def test_made_up_ops_are_applied(notes: Tenant) -> None:
    """Valid pushes are accepted: the description suffices to write."""
    http = Http(notes, "json")
    op = {
        "opId": 1,
        "collection": "notes",
        "entityId": "n1",
        "opType": "upsert",
        "entityVersion": 1,
        "entityCbor": "oWV0aXRsZWFB",
    }
    assert http.call("push", {**http.me(), "ops": [op]})[0] == 200
    assert Change.objects.filter(tenant=notes, record_id="n1").count() == 1
