"""The v1 endpoints over HTTP: encodings, errors, tokens, and limits."""

import base64
import gzip
import json
from typing import Any

import pytest
from django.test import Client

from sync import metrics
from sync.entities.cbor import decode, encode
from sync.transports.runtime import current_runtime
from tenants.models import Device, Tenant
from tenants.tokens import revoke
from tests.builders import make_tenant
from tests.v1.conftest import Door, make_notes
from tests.v1.http import Http
from tests.v1.test_cbor import VECTORS, logical

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("kind", ["cbor", "json"])
def test_handshake_push_pull_in_either_encoding(notes: Tenant, kind: str) -> None:
    one = Http(notes, kind)
    hello = {**one.me(), "clientInfo": {"platform": "test", "appVersion": "1", "metadata": {"os": "14"}}, "unknown": 1}
    status, answer = one.call("handshake", hello)
    notes.refresh_from_db()
    assert (status, answer) == (
        200,
        {
            "serverCursor": 0,
            "headCursor": notes.cursor,
            "lastOpId": 0,
            "capabilities": {"pull": True, "push": True, "sse": True},
        },
    )
    assert one.push(one.op("n1", 1, {"title": "A"}), one.op("n1", 2, {"title": "B"})) == (
        200,
        {"acknowledgedUpToOpId": 2, "conflicts": []},
    )
    status, page = one.pull()
    body = encode({"title": "B"})
    sent = body if kind == "cbor" else base64.b64encode(body).decode()
    cursor = notes.cursor + 2
    assert page["ops"][1] == {
        "opId": cursor,
        **one.me(),
        "collection": "notes",
        "entityId": "n1",
        "opType": "upsert",
        "entityVersion": 2,
        "entityCbor": sent,
        "timestampMs": 1_700_000_000_000,
        "serverCursor": cursor,
        "sourceOpId": 2,
    }
    assert (page["nextCursor"], page["hasMore"]) == (cursor, False)
    one.pull(cursor)
    answer = one.call("handshake", one.me())[1]
    assert (answer["serverCursor"], answer["lastOpId"]) == (cursor, 2)
    status, lost = one.push(one.op("n1", 2, {"title": "C"}))
    assert one.call("handshake", one.me())[1]["lastOpId"] == 3
    (conflict,) = lost["conflicts"]
    assert (status, lost["acknowledgedUpToOpId"], conflict["serverState"]["entityVersion"]) == (200, 3, 2)
    assert conflict["serverState"]["entityCbor"] == sent
    assert conflict["clientOp"]["opId"] == 3
    assert conflict["serverState"]["lastModified"] > 1_700_000_000_000
    one.push(one.op("n1", 3, None))
    assert one.pull(cursor)[1]["ops"][0] == {
        "opId": cursor + 1, **one.me(), "collection": "notes", "entityId": "n1", "opType": "delete", "entityVersion": 3,
        "timestampMs": 1_700_000_000_000, "serverCursor": cursor + 1, "sourceOpId": 4,
    }  # fmt: skip
    assert one.push(one.op("n1", 3, {}))[1]["conflicts"][0]["serverState"]["entityCbor"] in (b"", "")


def test_the_vectors_ops_are_taken_and_come_back_byte_for_byte(notes: Tenant) -> None:
    one = Http(notes)
    by_id = {case["id"]: logical(case["logical"]) for case in VECTORS["messages"]}
    sent = []
    for n, name in enumerate(["dart_op_message", "dart_op_delete"]):
        sent.append({**by_id[name], **one.me(), "opId": n + 1, "collection": "blobs"})
    sent.append(
        {
            **by_id["dart_push_response_conflict"]["conflicts"][0]["clientOp"],
            **one.me(),
            "opId": 3,
            "collection": "notes",
        }
    )
    for op in sent:
        assert one.push(op)[0] == 200
    back = one.pull()[1]["ops"]
    for op, again in zip(sent, back, strict=True):
        assert {key: again.get(key) for key in op if key != "opId"} == {key: op[key] for key in op if key != "opId"}
        assert again["sourceOpId"] == op["opId"]


def test_answers_are_deterministic_cbor(notes: Tenant) -> None:
    one = Http(notes)
    one.push(one.op("n1", 1, {"title": "A"}))
    one.pull()
    data = one.response.content
    assert encode(decode(data)) == data


def test_gzip_both_ways(notes: Tenant) -> None:
    one = Http(notes)
    assert one.push(one.op("n1", 1, {"title": "A" * 5000}), packed=True)[0] == 200
    status, page = one.call("pull", {"dbId": notes.slug}, **{"Accept-Encoding": "gzip"})
    assert one.response.headers["Content-Encoding"] == "gzip"
    assert decode(page["ops"][0]["entityCbor"]) == {"title": "A" * 5000}
    status, error = one.call("push", {}, **{"Content-Encoding": "br"})
    assert (status, error["code"]) == (415, 1)
    status, error = one.call("push", {}, **{"Content-Encoding": "gzip"})
    assert (status, error["code"]) == (400, 1)


def test_a_bomb_and_a_flood_are_refused(notes: Tenant, settings: Any) -> None:
    settings.MOAT = {"V1_BODY": 100_000, "V1_ENTITY": 1000, "V1_OPS": 3}
    one = Http(notes)
    assert one.call("push", {"x": bytes(200_000)}, packed=True)[0] == 413
    assert one.call("push", {"x": bytes(200_000)})[0] == 413
    assert one.push(one.op("n1", 1, bytes(1001)))[0] == 413
    assert one.push(*(one.op("n1", n, b"") for n in range(1, 5)))[0] == 413
    assert one.push(one.op("n1", 1, bytes(1000)))[0] == 200


def test_a_message_of_many_small_values_is_refused_before_it_is_built(notes: Tenant) -> None:
    """The limit counts the whole message, so that many arrays below any limit of their own do not add up."""
    inner = b"\x9a" + (100_000).to_bytes(4, "big") + b"\xa0" * 100_000
    bomb = b"\xa1\x61x" + bytes([0x80 + 4]) + inner * 4
    before = rejections()
    for kind in ("cbor", "json"):
        one = Http(notes, kind)
        data = bomb if kind == "cbor" else json.dumps({"x": [[{}] * 100_000] * 4}).encode()
        for path in ("handshake", "pull", "push"):
            response = one.client.post(
                f"/v1/{path}",
                data=gzip.compress(data),
                content_type=f"application/{kind}",
                headers={"Authorization": f"Bearer {one.token}", "Content-Encoding": "gzip"},
            )
            assert response.status_code == 413, (kind, path)
    assert rejections() == before + 6


def test_the_documents_of_a_push_share_one_budget(notes: Tenant, settings: Any) -> None:
    settings.MOAT = {"V1_ITEMS": 150}
    one = Http(notes)
    small = {"attrs": list(range(60))}
    status, answer = one.push(*(one.op(f"n{n}", 1, small) for n in range(3)))
    assert (status, answer["field"]) == (413, "ops[2].entityCbor")
    assert one.push(one.op("n1", 1, small))[0] == 200
    assert one.push(one.op("n2", 1, b"\xff\x00 not a map"))[0] == 200, "bytes that are no map stay as they are"


def rejections() -> float:
    return float(metrics.limit_rejections.labels("items")._value.get())


def test_an_op_that_cannot_be_refuses_its_push_and_says_which(notes: Tenant) -> None:
    one = Http(notes)
    for op, field, status in (
        (one.op("n2", 1, {"number": "x"}), "ops[1].number", 400),
        (one.op("n2", 1, {}, collection="nowhere"), "ops[1]", 400),
        (one.op("n2", -1, {}), "ops[1].entityVersion", 400),
        (one.op("n2", 1, {}, opType="merge"), "ops[1].opType", 400),
        (one.op("n2", 1, {}, opId=0), "ops[1].opId", 400),
        (one.op("n2", 1, {}, opId=2**63), "ops[1].opId", 400),
        (one.op("n2", 1, {}, entityCbor=None), "ops[1].entityCbor", 400),
        (one.op("n2", 1, {}, deviceId="other"), "ops[1].deviceId", 403),
        (one.op("n2", 1, {}, dbId="other"), "ops[1].dbId", 403),
        (one.op("n2", 1, {}, collection="object_metadata"), "ops[1]", 403),
        (5, "ops[1]", 400),
    ):
        answer = one.push(one.op("n1", 1, {"title": "A"}), op)
        assert (answer[0], answer[1]["field"]) == (status, field), answer
    assert one.pull()[1]["ops"] == []


@pytest.mark.parametrize(
    ("path", "message", "status", "code"),
    [
        ("push", [], 400, 1),
        ("push", {"dbId": 5}, 400, 1),
        ("push", {"dbId": "other-db"}, 403, 3),
        ("pull", {"dbId": "T", "sinceCursor": -1}, 400, 1),
        ("pull", {"dbId": "T", "sinceCursor": 1.5}, 400, 1),
        ("pull", {"dbId": "T", "limit": 0}, 400, 1),
        ("pull", {"dbId": "T", "collections": "notes"}, 400, 1),
        ("pull", {"dbId": "T", "sinceCursor": 10**9}, 409, 11),
        ("handshake", {"dbId": "T", "deviceId": "someone"}, 403, 3),
        ("handshake", {"dbId": "T", "deviceId": "D", "protocolVersion": 2}, 409, 5),
        ("nonsense", {}, 404, 12),
    ],
)
@pytest.mark.parametrize("kind", ["cbor", "json"])
def test_wrong_requests_get_an_error_in_their_own_encoding(
    notes: Tenant, path: str, message: Any, status: int, code: int, kind: str
) -> None:
    one = Http(notes, kind)
    if isinstance(message, dict):
        message = {
            k: {"T": notes.slug, "D": one.device}.get(v, v) if isinstance(v, str) else v for k, v in message.items()
        }
    found = one.call(path, message)
    assert (found[0], found[1]["code"]) == (status, code), found
    assert one.response.headers["Content-Type"] == f"application/{kind}"


def test_noise_is_refused_politely(notes: Tenant) -> None:
    one = Http(notes)
    head = {"Authorization": f"Bearer {one.token}"}
    for body, kind, status in (
        (b"\xff", "application/cbor", 400),
        (b"\x81" * 10_000, "application/cbor", 400),
        (b"{", "application/json", 400),
        (b'{"a":1,"a":2}', "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"x", "text/plain", 415),
    ):
        answer = one.client.post("/v1/push", data=body, content_type=kind, headers=head)
        assert answer.status_code == status, (body, answer.content)
    assert one.client.get("/v1/push", headers=head).status_code == 405


def test_json_takes_bytes_as_base64_and_as_numbers(notes: Tenant) -> None:
    one = Http(notes, "json")
    assert (
        one.push(one.op("n1", 1, {}, entityCbor=[161, 97, 97, 1]), one.op("n2", 1, {}, entityCbor="oWFhAQ"))[0] == 200
    )
    assert [op["entityCbor"] for op in one.pull()[1]["ops"]] == ["oWFhAQ==", "oWFhAQ=="]
    assert one.push(one.op("n1", 1, {}, entityCbor="***"))[0] == 400
    assert one.push(one.op("n1", 1, {}, entityCbor=[256]))[0] == 400


def test_whole_numbers_sent_as_floats_are_taken(notes: Tenant) -> None:
    one = Http(notes)
    assert one.push(one.op("n1", 1_700_000_000_000.0, {}, timestampMs=1.7e12))[0] == 200
    assert one.pull(0.0, limit=5.0)[1]["ops"][0]["entityVersion"] == 1_700_000_000_000


def test_accept_decides_and_version_is_open_to_all(db: None) -> None:
    client = Client()
    assert client.get("/v1/version").json() == {"version": 1, "minSupported": 1}
    answer = client.get("/v1/version", headers={"Accept": "application/cbor, application/json;q=0.5"})
    assert decode(answer.content) == {"version": 1, "minSupported": 1}
    assert client.post("/v1/version").status_code == 405
    assert client.get("/health").json()["status"] == "ok"


def test_nothing_redirects(notes: Tenant, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    one = Http(notes)
    for path in ("pull", "pull/"):
        assert one.call(path, {"dbId": notes.slug})[0] == 200


def test_plain_http_is_refused_but_on_this_machine(notes: Tenant, settings: Any) -> None:
    one = Http(notes)
    one.client = Client(REMOTE_ADDR="192.0.2.7")
    assert one.call("pull", {"dbId": notes.slug})[0] == 403
    assert one.client.get("/v1/stream", headers={"Authorization": f"Bearer {one.token}"}).status_code == 403
    settings.DEBUG = True
    assert one.call("pull", {"dbId": notes.slug})[0] == 200
    settings.DEBUG = False
    one.client = Client()
    assert one.call("pull", {"dbId": notes.slug}, **{"X-Forwarded-For": "192.0.2.7"})[0] == 403


def test_a_stream_without_asgi_is_refused_and_leaves_nothing_behind(notes: Tenant) -> None:
    one = Http(notes)
    answer = one.client.get(
        "/v1/stream", headers={"Authorization": f"Bearer {one.token}", "Accept": "application/json"}
    )
    assert (answer.status_code, answer.json()["code"]) == (503, 9)
    assert "ASGI" in answer.json()["message"]
    assert current_runtime() is None


def test_tokens(notes: Tenant) -> None:
    one = Http(notes)
    answer = one.client.post("/v1/pull", data=encode({}), content_type="application/cbor")
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="moat"')
    assert decode(answer.content) == {"code": 2, "message": "Missing authorization header"}
    one.token = "moat_wrong"
    assert one.pull()[0] == 401
    one.token = one.issued.token
    assert one.call("pull", {"dbId": notes.slug}, Authorization="Basic abc")[0] == 401
    revoke(Device.objects.get(pk=one.device))
    assert one.pull()[0] == 401


def test_tenants_do_not_see_each_other(notes: Tenant) -> None:
    other = make_tenant()
    make_notes(other)
    one, stranger = Http(notes), Http(other)
    one.push(one.op("n1", 1, {"title": "secret"}))
    assert stranger.pull()[1]["ops"] == []
    assert stranger.call("pull", {"dbId": notes.slug})[0] == 403
    assert stranger.push(stranger.op("n1", 1, {"title": "mine"}))[1]["conflicts"] == []


def test_too_many_requests_are_told_when_to_come_back(notes: Tenant, settings: Any) -> None:
    settings.MOAT = {"V1_RATE": 2}
    one = Http(notes)
    assert [one.pull()[0] for _ in range(3)] == [200, 200, 429]
    _, error = one.pull()
    assert error["code"] == 7
    assert int(one.response.headers["Retry-After"]) == error["retryAfterSeconds"] <= 61


def test_a_thousand_ops_in_one_push(notes: Tenant) -> None:
    one = Http(notes)
    assert one.push(*(one.op(f"n{n}", 1, {"title": str(n)}) for n in range(1000)))[1]["acknowledgedUpToOpId"] == 1000
    page = one.pull(limit=1000)[1]
    assert [op["entityId"] for op in page["ops"]] == [f"n{n}" for n in range(1000)]


def test_a_megabyte_comes_back(notes: Tenant) -> None:
    one = Http(notes)
    body = encode({"title": "big", "data": bytes(range(256)) * 4096})
    assert one.push(one.op("n1", 1, body))[0] == 200
    assert one.pull()[1]["ops"][0]["entityCbor"] == body


def test_a_live_clients_edit_is_pulled(notes: Tenant, door: Any) -> None:
    one: Door = door()
    http = Http(notes)
    one.put("n1", 1, {"title": "A"})
    assert http.pull()[1]["ops"][0]["deviceId"] == one.issued.device.pk
