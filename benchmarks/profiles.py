"""Filtered channels: what a change costs beside many profiles, parameter values and subscribers, and catch-up of a channel that sees 1 %.

Runs in this process, without sockets and server: here the projection, the hub's index and the log's index count.
"""

import os
import sqlite3
import time
from collections.abc import Iterator

from benchmarks.report import Figure, at_least, at_most, median
from metadata.access import ObjectAccess, Rules, resolve
from metadata.schema import FieldSpec, ObjectSpec, TenantSchema
from sync.channels import Channel
from sync.commits import Commit
from sync.flows import Flow, Flows
from sync.framing import SharedFrame
from sync.lines import encode_change
from sync.projection import Side, project
from sync.routing import build_plan, change_routes, channel_routes, own_routing

JOB = ObjectSpec("job", "jobs", fields=tuple(FieldSpec(name, "text") for name in ("title", "technician", "price", "notes")))
SCHEMA = TenantSchema(1, 1, (JOB,))
STATE = b"\x00" * 32
Sub = list[SharedFrame]


def rules_for(name: str) -> Rules:
    """Return the rules of a technician."""
    access = ObjectAccess("job", update=True, readable=("title", "technician", "notes"), row_filter={"technician": "$user.username"})
    return resolve([access], SCHEMA, {"user.username": name}).rules


def hub(channels: int) -> Flows:
    """Return the flows of so many channels, each for another technician."""
    flows = Flows()
    for n in range(channels):
        flow = Flow(Channel(1, "acme", f"c{n}", rules_for(f"t{n}")), 0)
        flow.begin(STATE, 1)
        flows.add(flow)
    return flows


def change(cursor: int, technician: str) -> tuple[bytes, Side]:
    """Return a change of a job, and its side."""
    plan = build_plan([rules_for("x")])
    if plan is None:
        raise RuntimeError("The rules filter nothing.")
    line = encode_change(
        cursor,
        1,
        "jobs",
        f"job-{cursor}",
        "update",
        2,
        [{"op": "replace", "path": "/notes", "value": "n" * 150}],
        "2026-11-21T09:00:00.000000Z",
        "olga",
    )
    routing = own_routing(plan.by_table["jobs"], {"technician": technician})
    return line, Side(routing, routing)


def commits(count: int, technicians: int) -> Iterator[Commit]:
    """Yield commits of one change each, spread over the technicians."""
    for n in range(count):
        line, side = change(n + 1, f"t{n % technicians}")
        yield Commit(1, n, n + 1, [(1, line)], STATE, {n + 1: side})


def change_cost(channels: int, subscribers: int, count: int) -> float:
    """Return the median µs to find, project, encode and hand over a change, with so many channels and subscribers of each."""
    flows, samples = hub(channels), []
    heard: list[Sub] = [[] for _ in range(subscribers)]
    for commit in commits(count, channels):
        started = time.perf_counter()
        for flow in flows.take([commit]):
            for frame in flow.emit(commit.to_cursor):
                for sub in heard:
                    sub.append(frame)
        samples.append((time.perf_counter() - started) * 1e6)
        for sub in heard:
            sub.clear()
    return median(samples)


def catch_up(changes: int) -> tuple[float, float]:
    """Return the changes per second a channel of 1 % passes over by routes, and how many times a full read of the log takes longer."""
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE changes (cursor INTEGER PRIMARY KEY, line BLOB, side TEXT)")
    database.execute("CREATE TABLE change_route (route INTEGER, cursor INTEGER, PRIMARY KEY (route, cursor)) WITHOUT ROWID")
    plan = build_plan([rules_for("x")])
    if plan is None:
        raise RuntimeError("The rules filter nothing.")
    for commit in commits(changes, 100):
        cursor = commit.to_cursor
        side = commit.sides[cursor]
        database.execute("INSERT INTO changes VALUES (?, ?, ?)", [cursor, commit.lines[0][1], side.encode()])
        database.executemany(
            "INSERT INTO change_route VALUES (?, ?)",
            [(route, cursor) for route in change_routes(plan.by_table["jobs"], side.before, side.after)],
        )
    rules = rules_for("t7")
    routes = sorted(channel_routes(rules))
    marks = ", ".join("?" * len(routes))
    started = time.perf_counter()
    found = database.execute(
        f"SELECT c.line, c.side FROM change_route r JOIN changes c ON c.cursor = r.cursor WHERE r.route IN ({marks}) ORDER BY r.cursor",
        routes,
    ).fetchall()
    seen = [line for line in (project(raw, Side.decode(side), rules) for raw, side in found) if line is not None]
    routed = time.perf_counter() - started
    started = time.perf_counter()
    every = [project(raw, Side.decode(side), rules) for raw, side in database.execute("SELECT line, side FROM changes ORDER BY cursor")]
    full = time.perf_counter() - started
    if len(seen) != sum(line is not None for line in every):
        raise RuntimeError("The two ways differ.")
    return changes / routed, full / routed


def profiles(count: int, changes: int) -> list[Figure]:
    """Measure all rows."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.dev")  # for the limits of values
    base = change_cost(1, 1, count)
    figures = [Figure("a change in a filtered channel: found, projected, encoded", base, "µs")]
    figures += [
        at_most(f"the same beside {channels} profiles or parameter values", change_cost(channels, 1, count) / base, "×", 1.5)
        for channels in (10, 100, 500, 1000)
    ]
    figures += [
        Figure(f"the same handed to {subscribers} subscribers of the channel", change_cost(1, subscribers, count), "µs")
        for subscribers in (100, 1000)
    ]
    speed, ratio = catch_up(changes)
    figures.append(at_least(f"catch-up over {changes:,} changes of which the channel sees 1 %", speed, "changes/s", 500_000))
    figures.append(at_least("reading all of them would take", ratio, "×", 20))
    return figures
