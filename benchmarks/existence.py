"""Whether time tells that a hidden record exists: the same questions about hidden and about absent ids, interleaved, compared by rank.

A figure is the chance that an answer about a hidden id takes longer than one about an absent id: 0.5 tells nothing, 1 everything.
Two figures show that the measure is honest: absent beside other absent ids (the noise), and visible beside absent ones asked by somebody who sees
everything, whose answers no mark holds back (a difference it must find). tests/sync/test_same_work.py compares the statements themselves. The data is
the demo's; the caller is its technician tom, and for the control olga of its office.
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
"""How many ids of each sort a question takes turns with."""
MOST = 0.05
_op_ids = itertools.count(1)
Ask = Callable[[str, str], Awaitable[float]]


def longer(ones: Sequence[float], others: Sequence[float]) -> float:
    """Return the chance that one of `ones` is larger than one of `others`: Mann and Whitney's U over its range."""
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
    """A caller of the REST API on one connection."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def call(self, method: str, path: str, body: bytes | None = None) -> tuple[float, bytes]:
        """Return how long an answer took, in µs, and the answer."""
        started = time.perf_counter()
        self._connection.request(method, f"/api/records/{path}", body, self._headers)
        answer = self._connection.getresponse().read()
        return (time.perf_counter() - started) * 1e6, answer

    def ids(self, table: str) -> set[str]:
        """Return the ids of the records the caller sees."""
        found: set[str] = set()
        cursor = ""
        while True:
            page = orjson.loads(self.call("GET", f"{table}/?limit=100{cursor}")[1])
            found.update(record["id"] for record in page["results"])
            if not page["next"]:
                return found
            cursor = f"&cursor={page['next']}"

    def question(self, method: str, tail: str = "", body: bytes | None = None) -> Ask:
        """Return a question about one record."""

        async def ask(table: str, record: str) -> float:
            return self.call(method, f"{table}/{record}/{tail}", body)[0]

        return ask


async def socket_of(server: Server, device: dict[str, str]) -> wire.Connection:
    """Return a live connection; the snapshot it is offered is taken for installed."""
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
    """Return a question on the socket that is answered by a frame of this type."""

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
    """Return everything one can ask about an id over REST."""
    return {
        "REST get": rest.question("GET"),
        "REST history": rest.question("GET", "history/"),
        "REST patch": rest.question("PATCH", body=b'{"notes": "x"}'),
        "REST delete": rest.question("DELETE"),
    }


def questions_on(connection: wire.Connection, state: dict[str, Any]) -> dict[str, Ask]:
    """Return everything one can ask about an id on a socket."""
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
    """Return a line item that refers to a record; whatever is no job is no job's id either."""
    return {"job": record, "description": table, "quantity": "1.00", "unit_price": "1.00"}


async def existence(samples: int) -> list[Figure]:
    """Ask, compare, report the worst table of each question."""
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
        told = await _compare(at_once, "jobs", seen["jobs"][:POOL], _absent(hidden["jobs"], "x"), samples)
        frank.close()
        for name, ask in on_socket.items():
            figures.append(
                await _figure(name, ask, TABLES[:1] if name == "push reference" else TABLES, hidden, samples)
            )
        connection.close()
    figures.append(at_most("noise: repair, absent beside absent, off 0.5 by", abs(longer(*noise) - 0.5), "", MOST))
    figures.append(
        at_least(
            "control (is it quiet here?): repair, visible beside absent, off 0.5 by", abs(longer(*told) - 0.5), "", 0.2
        )
    )
    return figures


async def _figure(name: str, ask: Ask, tables: Sequence[str], hidden: dict[str, list[str]], samples: int) -> Figure:
    """Return the worst table of a question."""
    found = []
    for table in tables:
        slow, none = await _compare(ask, table, hidden[table], _absent(hidden[table], "x"), samples)
        found.append((abs(longer(slow, none) - 0.5), table, median(slow) - median(none), median(none)))
    off, table, gap, usual = max(found)
    return at_most(f"{name}: hidden beside absent {table} ({gap:+.0f} of {usual:.0f} µs), off 0.5 by", off, "", MOST)


def _absent(like: Sequence[str], last: str) -> list[str]:
    """Return ids of the same look that nothing has."""
    return [f"{record[:-1]}{last}" for record in like]


async def _compare(
    ask: Ask, table: str, ones: Sequence[str], others: Sequence[str], samples: int
) -> tuple[list[float], list[float]]:
    """Ask about both sorts in random order; the first answers, which fill caches, do not count."""
    times: tuple[list[float], list[float]] = ([], [])
    turns = [(0, ones[n % len(ones)]) for n in range(samples)] + [(1, others[n % len(others)]) for n in range(samples)]
    random.Random(7).shuffle(turns)
    for record in (*ones, *others):
        await ask(table, record)
    for sort, record in turns:
        times[sort].append(await ask(table, record))
    return times
