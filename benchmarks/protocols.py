"""SyncProtocol v1 compared with the socket: push the same ops and read the same log over both protocols, in one run."""

import asyncio
import http.client
import time
from collections.abc import Iterator
from typing import Any

import orjson

from benchmarks import wire
from benchmarks.records import values
from benchmarks.report import Figure, at_least
from benchmarks.server import Server, moat
from sync.entities.cbor import decode, encode

PER_PUSH = 100
PAGE = 1000


class V1Client:
    """One device on one keep-alive connection, using CBOR."""

    def __init__(self, server: Server, device: dict[str, str]) -> None:
        self._me = {"dbId": server.tenant["slug"], "deviceId": device["device"]}
        self._headers = {"Content-Type": "application/cbor", "Authorization": f"Bearer {device['token']}"}
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)

    def call(self, path: str, message: dict[str, Any]) -> dict[str, Any]:
        """Send a message and return the response."""
        data = self.post(path, encode({**self._me, **message}))
        return dict(decode(data))

    def post(self, path: str, body: bytes) -> bytes:
        """Send bytes and return the response's bytes, undecoded: decoding is not the server's work."""
        self._connection.request("POST", f"/v1/{path}", body, self._headers)
        response = self._connection.getresponse()
        data = response.read()
        if response.status != 200:
            raise RuntimeError(data)
        return data

    def pushes(self, count: int) -> Iterator[bytes]:
        """Yield complete push requests, already encoded."""
        for start in range(0, count, PER_PUSH):
            ops = [
                {"opId": n + 1, "collection": "jobs", "entityId": f"http-{n}", "opType": "upsert", "entityVersion": 1}
                | {"entityCbor": encode(values(n)), "timestampMs": 1}
                for n in range(start, start + PER_PUSH)
            ]
            yield encode({**self._me, "ops": ops})


def _push_http(server: Server, device: dict[str, str], count: int) -> float:
    client = V1Client(server, device)
    requests = list(client.pushes(count))
    started = time.perf_counter()
    for request in requests:
        answer = decode(client.post("push", request))
        if answer["conflicts"]:
            raise RuntimeError(answer["conflicts"][0])
    return count / (time.perf_counter() - started)


async def _push_socket(server: Server, device: dict[str, str], count: int) -> float:
    state = server.tenant["state"]
    connection = await wire.connect(server.port)
    connection.send({"type": "hello", "protocol": "moat.v1", **device, **state, "client": {"name": "benchmark"}})
    await connection.until("welcome")
    frames = []
    for start in range(0, count, PER_PUSH):
        ops = [
            {"op_id": n + 1, "table": "jobs", "id": f"ws-{n}", "op": "insert", "base_version": 0, "payload": values(n)}
            for n in range(start, start + PER_PUSH)
        ]
        head = orjson.dumps({"type": "push", "ref": start + 1, **state})
        frames.append(b"\n".join([head, *(orjson.dumps(op) for op in ops)]))
    started = time.perf_counter()
    for frame in frames:
        connection.send_raw(frame)
        ack = await connection.until("ack")
        rejected = [result for result in ack["results"] if result["status"] != "applied"]
        if rejected:
            raise RuntimeError(rejected[0])
    elapsed = time.perf_counter() - started
    connection.close()
    return count / elapsed


def _pull_http(server: Server, device: dict[str, str], since: int, head: int) -> float:
    client, cursor = V1Client(server, device), since
    started = time.perf_counter()
    while cursor < head:
        page = client.call("pull", {"sinceCursor": cursor, "limit": PAGE})
        cursor = page["nextCursor"]
    return (head - since) / (time.perf_counter() - started)


async def _read_socket(server: Server, device: dict[str, str], head: int) -> float:
    state = server.tenant["state"]
    start = at = int(state["cursor"])
    connection = await wire.connect(server.port)
    connection.send({"type": "hello", "protocol": "moat.v1", **device, **state, "client": {"name": "benchmark"}})
    await connection.until("welcome")
    started = time.perf_counter()
    connection.send({"type": "subscribe", **state})
    while at < head:
        envelope, *lines = (await connection.receive()).split(b"\n")
        if orjson.loads(envelope)["type"] == "changes":
            at = [orjson.loads(line) for line in lines][-1]["cursor"]
    elapsed = time.perf_counter() - started
    connection.close()
    return (head - start) / elapsed


async def protocols(count: int) -> list[Figure]:
    """Push `count` inserts over each protocol, 100 per request, one in flight; then read everything over each."""
    async with moat(devices=4) as server:
        devices, start = server.tenant["devices"], server.tenant["state"]["cursor"]
        socket_push = await _push_socket(server, devices[0], count)
        http_push = await asyncio.to_thread(_push_http, server, devices[1], count)
        head = start + 2 * count
        socket_read = await _read_socket(server, devices[2], head)
        http_read = await asyncio.to_thread(_pull_http, server, devices[3], start, head)
    return [
        at_least(
            f"SyncProtocol v1: push, {PER_PUSH} ops a request",
            http_push,
            "ops/s",
            3_000,
            bare=("socket, 100 a frame", socket_push),
        ),
        at_least(
            f"SyncProtocol v1: pull, {PAGE} ops a page",
            http_read,
            "ops/s",
            20_000,
            bare=("socket, catch-up", socket_read),
        ),
    ]
