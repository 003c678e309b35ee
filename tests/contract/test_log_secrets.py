"""The log of a real server after errors at every door: no token, no password, no value of a record, and no flood."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import cbor2
import pytest
from django.db import connection

from tenants.models import Tenant
from tenants.tokens import hash_token
from tests.contract.conftest import Connect
from tests.contract.peer import Peer
from tests.contract.servers import ServerProcess

pytestmark = [pytest.mark.contract, pytest.mark.slow]

VALUE = "Boiler-code-4711"
PASSWORD = "a-password-nobody-may-read"


@contextmanager
def without(table: str) -> Iterator[None]:
    """Rename a table: every statement that uses it fails."""
    with connection.cursor() as cursor:
        cursor.execute(f'ALTER TABLE "{table}" RENAME TO gone')
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f'ALTER TABLE gone RENAME TO "{table}"')


def call(server: ServerProcess, method: str, path: str, body: bytes | None = None, **headers: str) -> int:
    request = urllib.request.Request(f"{server.url}{path}", body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def log_in(server: ServerProcess, tenant: Tenant, password: str) -> int:
    body = json.dumps({"tenant": tenant.slug, "user": "olga", "password": password}).encode()
    return call(server, "POST", "/api/login", body, **{"Content-Type": "application/json"})


@pytest.mark.parametrize("kind", ["uvicorn", "daphne"])
def test_errors_everywhere_leave_no_secret_and_no_value_in_the_log(
    kind: str, tenant: Tenant, transactional_db: None, open_peer: Connect
) -> None:
    server = ServerProcess(kind=kind, environment={"LOG_LEVEL": "DEBUG", "REDIS_URL": ""}).start()
    peer = open_peer(tenant, server.port).live()
    token = {"Authorization": f"Bearer {peer.token}"}
    in_json = {"Content-Type": "application/json", **token}
    jobs = f"t{tenant.pk}_jobs"
    try:
        # Bad pushes, and pushes that the server fails on.
        peer.send(
            {"type": "push", "ref": 1, **peer.state()}, {"op": [], "id": {}, "payload": VALUE, "token": peer.token}
        )
        assert peer.receive()["type"] in ("error", "ack")
        peer.socket.send(f'{{"type":"hello","token":"{peer.token}" "{VALUE}"')
        assert peer.receive()["type"] == "error"
        with without(jobs):
            for number in range(5):
                op = peer.op("jobs", f"job-{number}", "insert", {"title": VALUE})
                peer.send({"type": "push", "ref": 100 + number, **peer.state()}, op)
            assert peer.receive(timeout=60)["type"] in ("ack", "error")
            assert call(server, "GET", f"/api/records/jobs/?title={VALUE}", **token) >= 500
            assert call(server, "POST", "/api/records/jobs/", json.dumps({"title": VALUE}).encode(), **in_json) >= 400
            entity = {"collection": "jobs", "id": "x", "op": "upsert", "doc": {"title": VALUE}}
            body = cbor2.dumps({"dbId": tenant.slug, "deviceId": peer.device, "ops": [entity]})
            assert call(server, "POST", "/v1/push", body, **{"Content-Type": "application/cbor", **token}) >= 400
        # A database error in hello, and a view that explodes with a token and with a password in its hands.
        with without("tenants_device"):
            with Peer(server.port, peer.device, peer.token) as again:
                hello = {"type": "hello", "protocol": "moat.v1", "token": peer.token, "device": peer.device}
                again.send({**hello, **again.state()})
                assert again.receive()["code"] == "unavailable"
            assert call(server, "GET", f"/api/me?token={peer.token}", **token) >= 500
            assert call(server, "POST", "/v1/handshake", b"{}", **{"Content-Type": "application/json", **token}) >= 500
        with without("auth_user"):
            assert log_in(server, tenant, PASSWORD) >= 500
            form = f"username=olga&password={PASSWORD}&next=/admin/".encode()
            assert call(server, "POST", "/admin/login/", form, Cookie=f"sessionid={PASSWORD}") >= 400
        assert log_in(server, tenant, PASSWORD) == 401
        assert call(server, "GET", f"/nothing/{'x' * 10}?password={PASSWORD}", Cookie=f"sessionid={PASSWORD}") == 404
        assert call(server, "GET", "/", Host=f"{PASSWORD}.example") in (200, 400)
    finally:
        server.stop()
    log = server.log
    lines = [json.loads(line) for line in log.splitlines()]
    assert {"request_failed", "REST request failed"} <= {line["event"] for line in lines}, log
    assert any(error["frames"] for line in lines for error in line.get("exception", ()))
    for secret in (peer.token, hash_token(peer.token), PASSWORD, VALUE, "k" * 60):
        assert secret not in log, [line for line in log.splitlines() if secret in line]


def test_while_the_database_fails_each_event_is_logged_once_a_second(
    tenant: Tenant, transactional_db: None, open_peer: Connect
) -> None:
    server = ServerProcess().start()
    peer = open_peer(tenant, server.port).live()
    try:
        begun = time.monotonic()
        with without("tenants_tenant"):
            for number in range(100):
                peer.send(
                    {"type": "push", "ref": number, **peer.state()},
                    peer.op("jobs", f"job-{number}", "insert", {"title": VALUE}),
                )
                time.sleep(0.02)
        took = time.monotonic() - begun
    finally:
        server.stop()
    lines = [json.loads(line) for line in server.log.splitlines()]
    kinds: dict[tuple[str, str], int] = {}
    for line in lines:
        error = (line.get("exception") or [{}])[0].get("type", line.get("error", ""))
        kind = (line["event"], error)
        kinds[kind] = kinds.get(kind, 0) + 1
    assert kinds, "the failure left no trace"
    # One line in each second that was begun, and the seconds of the server's end.
    assert max(kinds.values()) <= took + 5, kinds
