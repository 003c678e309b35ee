"""Requests that are too large, anonymous, too slow, or from a false address, at a server as `make serve` starts it."""

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import cbor2
import pytest

from tenants.models import Tenant
from tenants.tokens import issue_device
from tests.builders import make_user
from tests.contract.servers import ROOT, ServerProcess

pytestmark = [pytest.mark.contract, pytest.mark.slow]
Start = Callable[..., ServerProcess]
MEGABYTE = 1 << 20


@pytest.fixture
def start(transactional_db: None) -> Iterator[Start]:
    with ExitStack() as stack:

        def start(kind: str = "uvicorn", **environment: str) -> ServerProcess:
            server = ServerProcess(kind=kind, environment=environment).start()
            stack.callback(server.stop)
            return server

        yield start


def head(method: str, path: str, **headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def talk(server: ServerProcess, *parts: bytes) -> tuple[int, bytes]:
    """Send bytes, and read until the server closes the connection: the status and the body."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        for part in parts:
            connection.sendall(part)
        data = b""
        while received := connection.recv(65536):
            data += received
    headers, _, body = data.partition(b"\r\n\r\n")
    return int(headers.split()[1]), body


def test_a_body_is_refused_before_it_is_read(start: Start, tenant: Tenant) -> None:
    server = start()
    issued = issue_device(tenant, make_user(tenant), "d")
    bearer, wrong = f"Bearer {issued.token}", "Bearer moat_" + "x" * 43
    json_type = {"Content_Type": "application/json"}

    def refused(path: str, size: int, **headers: str) -> tuple[int, bytes]:
        return talk(server, head("POST", path, Content_Length=str(size), **headers))  # the body is never sent

    for authorization in (bearer, wrong):  # too large, whoever asks
        status, body = refused("/api/records/jobs/bulk/", 60 * MEGABYTE, Authorization=authorization, **json_type)
        assert (status, json.loads(body)["code"]) == (413, "too_large")
        status, body = refused("/v1/push", 60 * MEGABYTE, Authorization=authorization)
        assert status == 413 and cbor2.loads(body)["code"] == 1
    assert refused("/admin/login/", 60 * MEGABYTE)[0] == 413
    # Within the limit, from nobody.
    assert json.loads(refused("/api/records/jobs/", MEGABYTE, Authorization=wrong)[1])["code"] == "bad_token"
    status, body = refused("/api/records/jobs/", MEGABYTE)
    assert (status, json.loads(body)["code"]) == (401, "unauthenticated")
    assert refused("/api/login", MEGABYTE)[0] == refused("/v1/push", MEGABYTE)[0] == 401
    assert refused("/v1/push", MEGABYTE, Authorization=wrong)[0] == 401
    assert refused("/admin/login/", MEGABYTE, Cookie="sessionid=" + "x" * 32)[0] == 401


def test_a_body_without_a_length_is_counted_as_it_comes(start: Start, tenant: Tenant) -> None:
    server = start()
    issued = issue_device(tenant, make_user(tenant), "d")
    part = b"10000\r\n" + b" " * 65536 + b"\r\n"
    chunked = {"Transfer_Encoding": "chunked", "Content_Type": "application/json"}
    bearer = f"Bearer {issued.token}"
    status, body = talk(server, head("POST", "/api/records/jobs/", **chunked), part, part)
    assert (status, json.loads(body)["code"]) == (413, "too_large")
    status, _ = talk(server, head("POST", "/api/records/jobs/", Authorization=bearer, **chunked), *[part] * 90)
    assert status == 413
    # What a device may send arrives, in pieces or whole.
    value = json.dumps({"title": "a", "notes": "n" * 100_000}).encode()
    close = {"Connection": "close"}
    message = cbor2.dumps({"dbId": tenant.slug, "deviceId": issued.device.pk, "ops": "n" * 100_000})
    framed = b"%x\r\n%b\r\n0\r\n\r\n" % (len(message), message)
    encoded = {"Transfer_Encoding": "chunked", "Content_Type": "application/cbor", **close}
    status, body = talk(server, head("POST", "/v1/push", Authorization=bearer, **encoded), framed)
    assert (status, cbor2.loads(body)["field"]) == (400, "ops")
    assert talk(server, head("POST", "/v1/push", **encoded), framed)[0] == 413
    sized = {"Content_Length": str(len(value)), "Content_Type": "application/json"}
    assert talk(server, head("POST", "/api/records/jobs/", Authorization=bearer, **sized, **close), value)[0] == 201


def test_half_a_request_times_out(start: Start, tenant: Tenant) -> None:
    server = start(BODY_SECONDS="1")
    late = {"Content_Type": "application/json", "Content_Length": "100"}
    status, body = talk(server, head("POST", "/api/login", **late), b'{"tenant":')
    assert (status, json.loads(body)["code"]) == (408, "timeout")
    assert talk(server, head("POST", "/v1/push", Content_Length="100"))[0] == 408
    assert talk(server, head("POST", "/admin/login/", Content_Length="100"))[0] == 408
    # Half the headers, none, and half of a second request on the same connection.
    assert talk(server, b"GET / HTTP/1.1\r\nHost: loc")[0] == 408
    assert talk(server)[0] == 408
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(head("GET", "/health"))
        answer = b""
        while not answer.endswith(b"}"):
            answer += connection.recv(65536)
        connection.sendall(b"GET /health HTTP/1.1\r\n")
        assert b"408" in connection.recv(65536)
        assert connection.recv(65536) == b""


def attempts(server: ServerProcess, count: int) -> list[int]:
    """Sign in with wrong passwords, each time as if from another address."""
    statuses = []
    body = json.dumps({"tenant": "acme", "user": "olga", "password": "wrong"}).encode()
    for number in range(count):
        headers = {"Content-Type": "application/json", "X-Forwarded-For": f"203.0.113.{number}"}
        try:
            urllib.request.urlopen(urllib.request.Request(f"{server.url}/api/login", body, headers), timeout=60)
        except urllib.error.HTTPError as error:
            statuses.append(error.code)
    return statuses


def test_a_false_address_from_this_machine_does_not_beat_the_throttle(start: Start) -> None:
    server = start(LOGIN_RATE="3/min", LOGIN_ADDRESS_RATE="100/min", NUM_PROXIES="0")
    assert attempts(server, 5) == [401, 401, 401, 429, 429]


def test_behind_a_proxy_that_is_trusted_each_client_has_its_own_attempts(start: Start) -> None:
    server = start(LOGIN_RATE="3/min", LOGIN_ADDRESS_RATE="100/min", NUM_PROXIES="1")
    assert attempts(server, 5) == [401] * 5


def test_make_serve_starts_what_these_tests_start() -> None:
    script = (ROOT / "config/scripts/serve.sh").read_text()
    assert script.rstrip().endswith("exec .venv/bin/python -m config.serve")
