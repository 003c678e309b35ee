"""A token over plain `ws://` is refused in production, with a code and words, unless it stays on this machine."""

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from sync.transports import runtime
from sync.transports.secure import is_local, socket_allowed
from sync.transports.socket.websocket import SyncConsumer
from tests.contract.servers import ServerProcess

FAR, NEAR = ("203.0.113.9", 40000), ("127.0.0.1", 40000)
PROXIED = ("HTTP_X_FORWARDED_PROTO", "https")


@pytest.fixture(autouse=True)
def _in_production(settings: Any) -> None:
    settings.DEBUG, settings.HTTPS, settings.SECURE_PROXY_SSL_HEADER = False, True, None


def scope(client: tuple[str, int] | None, scheme: str = "ws", **headers: str) -> dict[str, Any]:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "websocket", "scheme": scheme, "client": client, "headers": named, "subprotocols": ["moat.v1"]}


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        (scope(FAR), False),
        (scope(None), False),
        (scope(("a-name", 1)), False),
        (scope(FAR, "wss"), True),
        (scope(NEAR), True),
        (scope(("::1", 1)), True),
        # A proxy on this machine that says nothing of TLS, or whose word is not trusted.
        (scope(NEAR, x_forwarded_for="203.0.113.9"), False),
        (scope(NEAR, forwarded="for=203.0.113.9"), False),
        (scope(FAR, x_forwarded_proto="https"), False),
        (scope(NEAR, x_forwarded_proto="https"), False),
    ],
)
def test_only_tls_and_this_machine_may_carry_a_token(given: dict[str, Any], allowed: bool) -> None:
    assert socket_allowed(given) is allowed


@pytest.mark.parametrize(
    ("value", "allowed"), [("https", True), ("https, http", True), ("http", False), ("http, https", False)]
)
def test_behind_a_trusted_proxy_its_word_counts(settings: Any, value: str, allowed: bool) -> None:
    settings.SECURE_PROXY_SSL_HEADER = PROXIED
    assert socket_allowed(scope(NEAR, x_forwarded_proto=value, x_forwarded_for="203.0.113.9")) is allowed
    assert socket_allowed(scope(FAR)) is False


def test_debug_and_https_0_expect_plain_http(settings: Any) -> None:
    settings.HTTPS = False
    assert socket_allowed(scope(FAR))
    settings.DEBUG, settings.HTTPS = True, True
    assert socket_allowed(scope(FAR))


def test_the_rule_for_requests_is_the_same() -> None:
    assert is_local("127.0.0.1", ["Host"]) and not is_local("127.0.0.1", ["X-Forwarded-For"])
    assert not is_local("203.0.113.9", []) and not is_local("", []) and not is_local(None, [])


async def test_it_is_refused_with_words_and_a_close_code_before_anything_is_read() -> None:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    await SyncConsumer()(scope(FAR), receive, send)
    accepted, error, closed = sent
    assert accepted == {"type": "websocket.accept", "subprotocol": "moat.v1"}
    message = json.loads(error["text"])
    assert (message["type"], message["code"]) == ("error", "insecure") and "https://" in message["message"]
    assert (closed["type"], closed["code"]) == ("websocket.close", 4427)
    assert runtime.current_runtime() is None


@pytest.mark.contract
@pytest.mark.parametrize("kind", ["uvicorn", "daphne"])
def test_a_real_server_refuses_it_where_pages_redirect(transactional_db: None, kind: str) -> None:
    server = ServerProcess(kind=kind, environment={"HTTPS": "1"}).start()

    async def talk(**headers: str) -> tuple[dict[str, Any], int]:
        async with connect(f"ws://127.0.0.1:{server.port}/ws/sync", additional_headers=headers) as socket:
            message = json.loads(await socket.recv())
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            return message, closed.value.rcvd.code

    try:
        message, code = asyncio.run(talk(**{"X-Forwarded-For": "203.0.113.9"}))
        assert (message["code"], code) == ("insecure", 4427)
    finally:
        server.stop()
