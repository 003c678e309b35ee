"""Send mutated messages to the endpoints of a real server. Each response must be a success or a coded error."""

import gzip
import http.client
import itertools
import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import cbor2
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from tests.fuzz import messages
from tests.fuzz.mutate import ODD, damaged, json_bytes, mutated

RESPONSE_SECONDS = 60
QUIET_SECONDS = 0.05
FRAMES_PER_CONNECTION = 25
BAD_CLOSE_CODES = {1006, 1011}


@dataclass(frozen=True)
class Target:
    """A server, and a device of the hostile tenant. `state` is a position in that tenant's log."""

    port: int
    tenant: str
    device: str
    token: str
    state: dict[str, Any]


class Finding(AssertionError):
    """The server did what it must not; `sent` is the message before it."""

    def __init__(self, what: str, sent: Any) -> None:
        super().__init__(f"{what}\n  after: {repr(sent)[:1500]}")


class SocketAttacker:
    """Fuzzes `/ws/sync`: mostly after a valid hello, sometimes the hello itself."""

    name = "socket"

    def __init__(self, target: Target, rnd: random.Random) -> None:
        self.target, self.rnd = target, rnd
        self.op_ids = itertools.count(1)
        self.answers: Counter[str] = Counter()
        self.sent: Any = None

    def close(self) -> None:
        """Do nothing: each step closes its connection."""

    def step(self) -> int:
        """Open a connection, send frames, and read the responses. Return the number of messages sent."""
        count = 0
        try:
            with connect(
                f"ws://127.0.0.1:{self.target.port}/ws/sync", max_size=64 << 20, ping_interval=None, compression=None,
                open_timeout=RESPONSE_SECONDS, close_timeout=10,
            ) as socket:  # fmt: skip
                count += self._hello(socket)
                for _ in range(FRAMES_PER_CONNECTION):
                    self._send(socket, self._frame())
                    count += 1
                    self._read(socket)
        except ConnectionClosed as closed:
            if closed.rcvd is None or closed.rcvd.code in BAD_CLOSE_CODES:
                raise Finding(f"the socket ended with {closed}", self.sent) from None
        except (InvalidStatus, WebSocketException, OSError) as error:
            raise Finding(f"the socket failed: {error!r}", self.sent) from None
        return count

    def _hello(self, socket: ClientConnection) -> int:
        message = messages.hello(self.target.token, self.target.device, self.target.state)
        if self.rnd.random() < 0.1:
            self._send(socket, json_bytes(mutated(message, self.rnd), self.rnd))
            self._read(socket)
            return 1
        self._send(socket, json.dumps(message).encode())
        self._read(socket)
        if self.rnd.random() < 0.3:  # updates need records that exist
            push = {"type": "push", "ref": 0, **self.target.state}
            inserts = [
                {"op_id": next(self.op_ids), "table": "jobs", "id": f"job-{n}", "op": "insert", "base_version": 0,
                 "payload": messages.FIELDS}
                for n in range(messages.RECORDS)
            ]  # fmt: skip
            self._send(socket, b"\n".join(json.dumps(line).encode() for line in [push, *inserts]))
            self._read(socket)
        return 1

    def _frame(self) -> bytes:
        first = next(self.op_ids)
        count = self.rnd.choice((1, 1, 2, 5))
        for _ in range(count - 1):
            next(self.op_ids)
        lines = messages.socket_messages(self.rnd, self.target.state, range(first, first + count))
        at = self.rnd.randrange(min(1, len(lines) - 1) if self.rnd.random() < 0.8 else 0, len(lines))
        if self.rnd.random() < 0.9:
            lines[at] = mutated(lines[at], self.rnd)
        encoded = [json.dumps(line).encode() for line in lines]
        if self.rnd.random() < 0.25:
            encoded[at] = json_bytes(lines[at], self.rnd)
        return b"\n".join(encoded)

    def _send(self, socket: ClientConnection, data: bytes) -> None:
        self.sent = data
        try:
            text: str | bytes = data.decode()
        except UnicodeDecodeError:
            text = data  # a binary frame
        socket.send(text)

    def _read(self, socket: ClientConnection) -> None:
        """Read what arrives until the socket is quiet for a moment."""
        while True:
            try:
                got = socket.recv(QUIET_SECONDS)
            except TimeoutError:
                return
            if isinstance(got, bytes):
                continue
            envelope = json.loads(got.split("\n", 1)[0])
            if envelope["type"] == "ping":
                socket.send(json.dumps({"type": "pong", "ref": envelope.get("ref"), "cursor": 0}))
            if envelope["type"] == "error":
                self._check(envelope)
            self.answers[envelope["type"] if envelope["type"] != "error" else str(envelope.get("code"))] += 1
            for result in envelope.get("results", ()):
                self.answers[str(result.get("code") or result["status"])] += 1
                if result["status"] == "rejected":
                    self._check(result)

    def _check(self, error: dict[str, Any]) -> None:
        if not isinstance(error.get("code"), str) or not error.get("message") or error["code"] == "internal":
            raise Finding(f"an error without a code or with an internal one: {error}", self.sent)


class HttpAttacker:
    """Shared by REST and v1: one keep-alive connection, and the check of a response."""

    name = "http"

    def __init__(self, target: Target, rnd: random.Random) -> None:
        self.target, self.rnd = target, rnd
        self.op_ids = itertools.count(1)
        self.answers: Counter[str] = Counter()
        self.connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=RESPONSE_SECONDS)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def request(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> None:
        """Send a request; raise Finding unless the response is a success or a coded error."""
        sent = (method, path, headers.get("Content-Type"), headers.get("Content-Encoding"), body)
        try:
            self.connection.request(method, path, body, {"Authorization": f"Bearer {self.target.token}", **headers})
            response = self.connection.getresponse()
            data = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            raise Finding(f"no response: {error!r}", sent) from None
        self.answers[str(response.status)] += 1
        if response.status < 400:
            return
        if response.status >= 500 and response.status != 503:
            raise Finding(f"status {response.status}: {data[:300]!r}", sent)
        kind = response.headers.get("Content-Type", "")
        try:
            answer = cbor2.loads(data) if "cbor" in kind else json.loads(data)
        except (ValueError, cbor2.CBORDecodeError):
            answer = None
        if method != "HEAD" and not _is_coded(answer):
            raise Finding(f"status {response.status} without a code: {data[:300]!r}", sent)


def _is_coded(answer: Any) -> bool:
    """Whether it is an error with a code, or the results of a bulk request, each failed one with a code."""
    if not isinstance(answer, dict):
        return False
    if isinstance(answer.get("results"), list):
        return all(_is_coded(result) for result in answer["results"] if result["status"] == "rejected")
    return answer.get("code") is not None and bool(answer.get("message"))


class RestAttacker(HttpAttacker):
    """Fuzzes `/api/`."""

    name = "rest"

    def step(self) -> int:
        """Send one request."""
        rnd = self.rnd
        method, path, query, body = messages.rest_requests(rnd)
        kind = rnd.choice(("application/json",) * 9 + ("text/plain",))
        headers = {"Content-Type": kind} if body is not None else {}
        if rnd.random() < 0.3:
            query = {name: rnd.choice(ODD) if rnd.random() < 0.5 else value for name, value in query.items()}
            query |= rnd.choice(({}, {str(rnd.choice(ODD)): "1"}, {"cursor": "zz"}, {"crew__in": "1," * 300}))
        if rnd.random() < 0.2:
            path = path.replace("jobs", quote(str(rnd.choice(ODD))[:200], safe="") or "-")
        if rnd.random() < 0.2:
            headers["If-Match"] = rnd.choice(('"1"', '"x"', "*", '"99999999999999999999"'))
        data = None if body is None else json_bytes(mutated(body, rnd), rnd)
        if data is not None and rnd.random() < 0.1:
            data, headers["Content-Encoding"] = gzip.compress(data), "gzip"
        if rnd.random() < 0.05:
            method = rnd.choice(("GET", "PUT", "DELETE", "OPTIONS", "HEAD"))
        address = f"{path}?{urlencode(query, errors='replace')}" if query else path
        self.request(method, address[:6000], data, headers)
        return 1


class V1Attacker(HttpAttacker):
    """Fuzzes `/v1/` in CBOR and JSON, packed and not."""

    name = "v1"

    def step(self) -> int:
        """Send one request."""
        rnd = self.rnd
        document = cbor2.dumps(mutated({"title": "t", "crew": 1, "attrs": {"a": [1, 2]}}, rnd))
        document = damaged(document, rnd) if rnd.random() < 0.2 else document
        path, body = messages.v1_requests(rnd, self.target.tenant, self.target.device, next(self.op_ids), document)
        body = mutated(body, rnd) if rnd.random() < 0.9 else body
        if rnd.random() < 0.5:
            data, kind = cbor2.dumps(body), "application/cbor"
            data = damaged(data, rnd) if rnd.random() < 0.2 else data
        else:
            data, kind = json_bytes(_as_json(body), rnd), "application/json"
        headers = {"Content-Type": kind, "Accept": rnd.choice(("application/cbor", "application/json"))}
        if rnd.random() < 0.3:
            headers["Content-Encoding"] = "gzip"
            data = _packed(data, rnd)
        if rnd.random() < 0.03:
            path = rnd.choice(("", "nothing", "push/", "pull//", "%00"))
        self.request("POST", f"/v1/{path}", data, headers)
        return 1


def _as_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(key): _as_json(inner) for key, inner in value.items()}
    return [_as_json(inner) for inner in value] if isinstance(value, list) else value


def _packed(data: bytes, rnd: random.Random) -> bytes:
    match rnd.randrange(6):
        case 0:
            return damaged(gzip.compress(data), rnd)
        case 1:
            return gzip.compress(gzip.compress(data))
        case 2:
            return gzip.compress(b"\x80" * 2_000_000)
        case 3:
            return gzip.compress(b"\x9a\x00\x0f\x42\x40" + b"\x80" * 1_000_000)  # an array of a million empty ones
        case 4:
            return gzip.compress(data) + gzip.compress(data)
        case _:
            return gzip.compress(data)


ATTACKERS: tuple[Callable[[Target, random.Random], Any], ...] = (SocketAttacker, RestAttacker, V1Attacker)
