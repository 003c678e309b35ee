"""Measure whether timing reveals that a hidden record exists.

The benchmark asks the same questions about hidden and about absent IDs, interleaved, and compares the response times by
rank. A figure is the probability that a response about a hidden ID takes longer than one about an absent ID: 0.5
reveals nothing, 1 everything. Two figures check the method itself. The noise compares absent IDs with other absent IDs.
The control compares visible IDs with absent ones for a user who sees everything, whose responses are not delayed to the
grid; it must find a difference. tests/sync/test_same_work.py compares the statements themselves. The data is the
demo's; the caller is its technician tom, and for the control olga from its office.
"""

import http.client
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson

from benchmarks import wire
from benchmarks.report import Figure, at_least, at_most, median
from benchmarks.server import Server, demo

TABLES = ("jobs", "line_items", "customers")
POOL = 24
"""Number of IDs of each kind that a question cycles through."""
MOST = 0.05
_op_ids = itertools.count(1)
Ask = Callable[[str, str], Awaitable[float]]


def longer(ones: Sequence[float], others: Sequence[float]) -> float:
    """Return the probability that one of `ones` is larger than one of `others`: the normalized Mann–Whitney U."""
    ranked = sorted([(value, True) for value in ones] + [(value, False) for value in others])
    total, start = 0.0, 0
    while start < len(ranked):
        end = start
        while end < len(ranked) and ranked[end][0] == ranked[start][0]:
            end += 1
        total += sum(mine for _, mine in ranked[start:end]) * (start + end + 1) / 2
        start = end
    return (total - len(ones) * (len(ones) + 1) / 2) / (len(ones) * len(others))


class Rest:
    """A REST API client on one connection."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def call(self, method: str, path: str, body: bytes | None = None) -> tuple[float, bytes]:
        """Return how long the response took, in µs, and the response."""
        started = time.perf_counter()
        self._connection.request(method, f"/api/records/{path}", body, self._headers)
        answer = self._connection.getresponse().read()
        return (time.perf_counter() - started) * 1e6, answer

    def ids(self, table: str) -> set[str]:
        """Return the IDs of the records the caller sees."""
        found: set[str] = set()
        cursor = ""
        while True:
            page = orjson.loads(self.call("GET", f"{table}/?limit=100{cursor}")[1])
            found.update(record["id"] for record in page["results"])
            if not page["next"]:
                return found
            cursor = f"&cursor={page['next']}"

    def question(self, method: str, tail: str = "", body: bytes | None = None) -> Ask:
        """Return a function that asks about one record."""

        async def ask(table: str, record: str) -> float:
            return self.call(method, f"{table}/{record}/{tail}", body)[0]

        return ask


async def socket_of(server: Server, device: dict[str, str]) -> wire.Connection:
    """Return a live connection; it acts as if it had installed the snapshot it is offered."""
    connection = await wire.connect(server.port)
    connection.send({"type": "hello", "protocol": "moat.v1", **device, "schema_version": 0, "cursor": 0})
    await connection.until("welcome")
    state: dict[str, Any] = {"schema_version": 0, "cursor": 0, "state_hash": ""}
    while True:
        connection.send({"type": "subscribe", **state})
        begin = await connection.until("catch_up")
        if begin["mode"] != "snapshot":
            break
        state = {name: begin["manifest"][name] for name in ("schema_version", "cursor", "state_hash", "channel")}
    await connection.until("live")
    connection.on_text = lambda frame: _pong(connection, frame)
    return connection


def _pong(connection: wire.Connection, frame: bytes) -> None:
    if frame.startswith(b'{"type":"ping"'):
        connection.send({"type": "pong", "ref": orjson.loads(frame).get("ref"), "cursor": 0})


def over(
    connection: wire.Connection, answer: str, message: Callable[[str, str], tuple[dict[str, Any], list[dict[str, Any]]]]
) -> Ask:
    """Return a function that asks over the socket and waits for a response frame of this type."""

    async def ask(table: str, record: str) -> float:
        envelope, lines = message(table, record)
        started = time.perf_counter()
        connection.send({**envelope, "ref": 1}, lines)
        await connection.until(answer)
        return (time.perf_counter() - started) * 1e6

    return ask


def _op(table: str, record: str, verb: str, payload: Any) -> dict[str, Any]:
    return {"op_id": next(_op_ids), "table": table, "id": record, "op": verb, "base_version": 1, "payload": payload}


def questions_of(rest: Rest) -> dict[str, Ask]:
    """Return every question about an ID over REST."""
    return {
        "REST get": rest.question("GET"),
        "REST history": rest.question("GET", "history/"),
        "REST patch": rest.question("PATCH", body=b'{"notes": "x"}'),
        "REST delete": rest.question("DELETE"),
    }


def questions_on(connection: wire.Connection, state: dict[str, Any]) -> dict[str, Ask]:
    """Return every question about an ID over a socket."""
    note = [{"op": "replace", "path": "/notes", "value": "x"}]
    push = {"type": "push", **state}
    return {
        "push update": over(connection, "ack", lambda table, record: (push, [_op(table, record, "update", note)])),
        "push delete": over(connection, "ack", lambda table, record: (push, [_op(table, record, "delete", None)])),
        "push reference": over(
            connection,
            "ack",
            lambda table, record: (
                push,
                [_op("line_items", f"new-{next(_op_ids)}", "insert", _naming(table, record)) | {"base_version": 0}],
            ),
        ),
        "verify": over(
            connection,
            "verify",
            lambda table, record: ({"type": "verify", "table": table, "ranges": [[record, record]]}, []),
        ),
        "repair": over(
            connection,
            "rows",
            lambda table, record: ({"type": "repair", "table": table, "low": record, "high": record}, []),
        ),
    }


def _naming(table: str, record: str) -> dict[str, str]:
    """Return a line item that refers to a record. An ID that is not a job's acts as an absent one."""
    return {"job": record, "description": table, "quantity": "1.00", "unit_price": "1.00"}


async def existence(samples: int) -> list[Figure]:
    """Ask, compare, and report the worst table for each question."""
    async with demo() as server:
        tom, olga = server.tenant["devices"]
        rest, office = Rest(server.port, tom["token"]), Rest(server.port, olga["token"])
        seen = {table: sorted(rest.ids(table)) for table in TABLES}
        hidden = {table: sorted(office.ids(table) - set(seen[table]))[:POOL] for table in TABLES}
        figures = []
        for name, ask in questions_of(rest).items():
            figures.append(await _figure(name, ask, TABLES, hidden, samples))
        connection = await socket_of(server, tom)
        on_socket = questions_on(connection, {"schema_version": 1, "cursor": 0})
        repair = on_socket["repair"]
        noise = await _compare(repair, "jobs", _absent(hidden["jobs"], "y"), _absent(hidden["jobs"], "x"), samples)
        frank = await socket_of(server, olga)
        at_once = questions_on(frank, {"schema_version": 1, "cursor": 0})["repair"]
        visible = await _compare(at_once, "jobs", seen["jobs"][:POOL], _absent(hidden["jobs"], "x"), samples)
        frank.close()
        for name, ask in on_socket.items():
            figures.append(
                await _figure(name, ask, TABLES[:1] if name == "push reference" else TABLES, hidden, samples)
            )
        connection.close()
    figures.append(at_most("noise: repair, absent vs. absent, offset from 0.5", abs(longer(*noise) - 0.5), "", MOST))
    figures.append(
        at_least(
            "control (finds a difference on a quiet machine): repair, visible vs. absent, offset from 0.5",
            abs(longer(*visible) - 0.5),
            "",
            0.2,
        )
    )
    return figures


async def _figure(name: str, ask: Ask, tables: Sequence[str], hidden: dict[str, list[str]], samples: int) -> Figure:
    """Return the worst table's figure for a question."""
    found = []
    for table in tables:
        slow, none = await _compare(ask, table, hidden[table], _absent(hidden[table], "x"), samples)
        found.append((abs(longer(slow, none) - 0.5), table, median(slow) - median(none), median(none)))
    off, table, gap, usual = max(found)
    label = f"{name}: hidden vs. absent {table} ({gap:+.0f} of {usual:.0f} µs), offset from 0.5"
    return at_most(label, off, "", MOST)


def _absent(like: Sequence[str], last: str) -> list[str]:
    """Return similar IDs that do not exist."""
    return [f"{record[:-1]}{last}" for record in like]


async def _compare(
    ask: Ask, table: str, ones: Sequence[str], others: Sequence[str], samples: int
) -> tuple[list[float], list[float]]:
    """Ask about both kinds in random order. The first responses, which fill caches, do not count."""
    times: tuple[list[float], list[float]] = ([], [])
    turns = [(0, ones[n % len(ones)]) for n in range(samples)] + [(1, others[n % len(others)]) for n in range(samples)]
    random.Random(7).shuffle(turns)
    for record in (*ones, *others):
        await ask(table, record)
    for sort, record in turns:
        times[sort].append(await ask(table, record))
    return times
