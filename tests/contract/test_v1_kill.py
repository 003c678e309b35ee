"""SyncProtocol v1 with killed processes: the client at every step, the server during pushes and streams."""

import itertools
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from moat_client.v1 import Config, EntityStore, SyncEngine
from sync.models import Change
from tenants.models import Tenant
from tenants.tokens import IssuedDevice, issue_device
from tests.builders import make_user
from tests.contract.servers import ROOT, ServerProcess
from tests.contract.storms import assert_log_whole, storm_until_killed
from tests.contract.v1_peer import V1Peer

pytestmark = [pytest.mark.contract, pytest.mark.slow]
CLIENT_FOLDER = str(ROOT / "clients" / "python")
Open = Callable[[Tenant, ServerProcess], V1Peer]


def device_of(tenant: Tenant) -> IssuedDevice:
    return issue_device(tenant, make_user(tenant), "v1")


@pytest.fixture
def peer_of() -> Iterator[Open]:
    """A function that opens a peer on a new device."""
    with ExitStack() as stack:

        def opened(tenant: Tenant, server: ServerProcess) -> V1Peer:
            issued = device_of(tenant)
            peer = V1Peer(server.port, tenant.slug, issued.device.pk, issued.token)
            stack.callback(peer.close)
            return peer

        yield opened


def synced(path: Path, tenant: Tenant, server: ServerProcess, issued: IssuedDevice) -> dict[str, Any]:
    """Sync a store in this process and return its jobs."""
    with EntityStore(path) as store:
        SyncEngine(store, Config(server.url, tenant.slug, issued.device.pk, lambda: issued.token)).sync()
        assert store.counts().pending == 0
        assert store.query("PRAGMA integrity_check") == [("ok",)]
        return dict(store.collection("jobs").items())


MOMENTS = ["apply:1", "apply:3", "cursor:1", "pushed:1", "settle:1", "settle:2", "cursor:2", "never"]


def test_a_client_killed_at_any_step_loses_nothing_and_sends_nothing_twice(
    peer_of: Open, tenant: Tenant, server: ServerProcess, tmp_path: Path
) -> None:
    """Kill between apply and cursor, and between push and ack, each time with remote changes and local edits."""
    issued, path = device_of(tenant), tmp_path / "victim.db"
    other = peer_of(tenant, server)
    mine, theirs = set[str](), set[str]()
    for round_, moment in enumerate(MOMENTS):
        with EntityStore(path) as store:
            store.enable_outbox()
            for n in range(3):
                mine.add(f"mine-{round_}-{n}")
                store.collection("jobs").put(f"mine-{round_}-{n}", {"title": moment, "more": n})
            store.collection("jobs").put("shared", {"title": "mine", "round": round_})
        other.push(*(other.op("jobs", f"theirs-{round_}-{n}", 1, {"title": moment}) for n in range(5)))
        theirs |= {f"theirs-{round_}-{n}" for n in range(5)}
        before = _state(path)
        arguments = [str(path), server.url, tenant.slug, issued.device.pk, issued.token, moment]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{CLIENT_FOLDER}"}
        done = subprocess.run(
            [sys.executable, "-m", "tests.contract.v1_victim", *arguments],
            cwd=ROOT,
            env=environment,
            timeout=60,
            capture_output=True,
        )
        assert done.returncode == (0 if moment == "never" else -signal.SIGKILL), done.stderr[-2000:]
        if moment in ("apply:1", "apply:3", "cursor:1"):
            assert _state(path) == before, "a page was half applied"
    jobs = synced(path, tenant, server, issued)
    assert jobs.keys() == mine | theirs | {"shared"}
    sources = list(Change.objects.filter(tenant=tenant, device_id=issued.device.pk).values_list("record_id", flat=True))
    assert sorted(each for each in sources if each != "shared") == sorted(mine), "an op was lost, or applied twice"
    assert jobs["shared"] == {"title": "mine", "round": len(MOMENTS) - 1}


def _state(path: Path) -> tuple[Any, ...]:
    with closing(sqlite3.connect(path)) as con:
        cursor = con.execute('SELECT "value" FROM "meta" WHERE "key" = \'cursor\'').fetchall()
        return (
            cursor,
            con.execute('SELECT * FROM "entities"').fetchall(),
            con.execute('SELECT "op_id" FROM "feed"').fetchall(),
        )


def test_a_command_killed_at_random_moments_ends_up_to_date(
    peer_of: Open, tenant: Tenant, server: ServerProcess, tmp_path: Path
) -> None:
    """`moat v1 watch` is killed repeatedly while others write and `moat v1 put` adds documents to the same file."""
    issued, path, stop = device_of(tenant), tmp_path / "watched.db", threading.Event()
    other = peer_of(tenant, server)
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{CLIENT_FOLDER}",
        "MOAT_V1_TOKEN": issued.token,
        "MOAT_V1_DB": str(path),
    }
    where = ["--url", server.url, "--db-id", tenant.slug, "--device", issued.device.pk]

    def moat(*arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "moat_client", "v1", *arguments]
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def pour() -> None:
        for n in itertools.count():
            if stop.is_set():
                return
            other.push(*(other.op("jobs", f"o{n}-{k}", 1, {"title": "t" * 300}) for k in range(50)))

    thread = threading.Thread(target=pour)
    thread.start()
    added = set()
    try:
        for round_ in range(4):
            watcher = moat("watch", *where)
            for n in range(2):
                added.add(f"local-{round_}-{n}")
                process = moat("put", "jobs", f"local-{round_}-{n}", "title=local")
                _, errors = process.communicate(timeout=60)
                assert process.returncode == 0, errors
            time.sleep(random.uniform(0.3, 1.2))
            watcher.kill()
            watcher.communicate(timeout=10)
    finally:
        stop.set()
        thread.join()
    jobs = synced(path, tenant, server, issued)
    stored = list(Change.objects.filter(tenant=tenant, table_name="jobs").values_list("record_id", flat=True))
    assert jobs.keys() == set(stored)
    mine = [record for record in stored if record.startswith("local")]
    assert sorted(mine) == sorted(added), "an op was lost, or applied twice"


def test_pushes_are_atomic_when_the_server_is_killed(peer_of: Open, tenant: Tenant, own_server: ServerProcess) -> None:
    """20 devices push 7 ops at a time. A push is in the log as a whole or not at all, and once if sent again."""
    acked: set[str] = set()
    lots: dict[str, tuple[V1Peer, list[dict[str, Any]]]] = {}
    for round_ in range(3):
        peers = [peer_of(tenant, own_server) for _ in range(20)]

        def storm(peer: V1Peer, name: str) -> None:
            for n in itertools.count():
                lot = f"{name}-{n}"
                lots[lot] = (peer, [peer.op("jobs", f"{lot}-{k}", 1, {"title": "t"}) for k in range(7)])
                try:
                    peer.push(*lots[lot][1])
                except (OSError, HTTPException):
                    return
                acked.add(lot)

        storms = [partial(storm, peer, f"r{round_}p{n}") for n, peer in enumerate(peers)]
        wanted = 60 * (round_ + 1)
        storm_until_killed(own_server, storms, lambda wanted=wanted: len(acked) >= wanted)
    found = _lots(tenant)
    assert set(found.values()) == {7}, "a push was applied in part"
    assert acked <= found.keys(), "an acked push is gone"
    pending = lots.keys() - acked
    for lot in pending:  # the response was lost, so a client sends the push again
        peer, ops = lots[lot]
        assert peer.push(*ops) == {"acknowledgedUpToOpId": ops[-1]["opId"], "conflicts": []}
    assert _lots(tenant) == dict.fromkeys(lots, 7), "an op was lost or doubled"
    assert_log_whole(tenant)


def _lots(tenant: Tenant) -> dict[str, int]:
    """The number of ops of each push in the log. A push's changes must be adjacent there."""
    found: dict[str, int] = {}
    records = (
        Change.objects.filter(tenant=tenant, table_name="jobs").order_by("cursor").values_list("record_id", flat=True)
    )
    for lot, group in itertools.groupby(records, key=lambda record: record.rsplit("-", 1)[0]):
        assert lot not in found, "another push is in the middle of one"
        found[lot] = len(list(group))
    return found


def test_twenty_devices_push_at_once_while_pages_of_every_limit_are_read(
    peer_of: Open, tenant: Tenant, server: ServerProcess, own_server: ServerProcess
) -> None:
    """Each reader's pages, concatenated, are the log: complete and in order. Two server processes serve them."""
    writers = [peer_of(tenant, server if n % 2 else own_server) for n in range(20)]
    readers = [(limit, peer_of(tenant, own_server)) for limit in (1, 2, 7, 50, 1000)]
    seen: dict[int, list[int]] = {limit: [] for limit, _ in readers}
    start, done = tenant.cursor, threading.Event()

    def write(peer: V1Peer, name: str) -> None:
        for n in range(3):
            ops = [peer.op("jobs", f"{name}-{n}-{k}", 1, {"title": name}) for k in range(4)]
            for _ in range(2):  # sent twice, as after a lost response
                assert peer.push(*ops)["conflicts"] == []

    def read(limit: int, peer: V1Peer) -> None:
        peer.cursor = start
        while not done.is_set():
            seen[limit] += [op["opId"] for op in peer.pull(limit)]
        seen[limit] += [op["opId"] for op in peer.pull(limit)]

    reading = [threading.Thread(target=read, args=each) for each in readers]
    writing = [threading.Thread(target=write, args=(peer, f"w{n}")) for n, peer in enumerate(writers)]
    for thread in (*reading, *writing):
        thread.start()
    for thread in writing:
        thread.join(300)
    done.set()
    for thread in reading:
        thread.join(300)
    wanted = list(range(start + 1, start + 20 * 3 * 4 + 1))
    for limit in seen:
        assert seen[limit] == wanted, f"pages of {limit}"
    stored = Change.objects.filter(tenant=tenant, table_name="jobs").values_list("device_id", "op_id")
    assert len(stored) == len(set(stored)) == 240


def test_a_stream_loses_nothing_when_the_server_is_killed_and_restarts(
    peer_of: Open, tenant: Tenant, own_server: ServerProcess
) -> None:
    reader, start = peer_of(tenant, own_server), tenant.cursor
    seen: list[int] = []
    state = {"last": None, "head": 0}
    done = threading.Event()

    def listen() -> None:
        last: str | None = str(start)
        while not done.is_set():
            try:
                with reader.stream(last) as events:
                    for kind, data, event_id in events:
                        if kind == "operations":
                            seen.extend(op["opId"] for op in data["operations"])
                            assert data["count"] == len(data["operations"])
                            last = event_id
                        if state["head"] and seen and seen[-1] >= state["head"]:
                            return
            except (OSError, HTTPException):
                time.sleep(0.05)

    listener = threading.Thread(target=listen)
    listener.start()
    pushed = 0
    for round_ in range(4):
        writer = peer_of(tenant, own_server)
        for n in range(8):
            writer.push(*(writer.op("jobs", f"r{round_}-{n}-{k}", 1, {"title": "t"}) for k in range(4)))
            pushed += 4
        own_server.kill()
        own_server.start()
    state["head"] = start + pushed
    last = peer_of(tenant, own_server)
    last.push(last.op("jobs", "last", 1, {"title": "t"}))
    listener.join(60)
    done.set()
    assert not listener.is_alive()
    assert seen[: pushed + 1] == list(range(start + 1, start + pushed + 1)) + seen[pushed : pushed + 1]
    assert pushed == 4 * 8 * 4


def test_a_slow_reader_of_a_stream_uses_bounded_memory_and_receives_everything(
    peer_of: Open, tenant: Tenant, own_server: ServerProcess
) -> None:
    """20 MB of documents twice, then 20 MB that one stream does not read: these may use little more memory."""
    writer, slow = peer_of(tenant, own_server), peer_of(tenant, own_server)

    def storm(name: str) -> None:
        writer.close()  # the server may have closed a connection that was idle for long
        for n in range(40):
            writer.push(
                *(writer.op("jobs", f"{name}-{n}-{k}", 1, {"title": "t", "data": os.urandom(5000)}) for k in range(100))
            )

    storm("warm")
    for _ in range(2):  # reading uses memory too: let it do so before measuring
        with slow.stream(str(tenant.cursor), "?bodies=1") as events:
            for kind, data, _ in events:
                if kind == "operations" and data["cursor"] >= tenant.cursor + 4000:
                    break
    before = own_server.memory_kib()
    storm("alone")
    alone = own_server.memory_kib() - before
    with slow.stream(query="?bodies=1") as events:
        kind, data, _ = next(events)
        assert kind == "connected"
        before = own_server.memory_kib()
        storm("job")
        time.sleep(1)
        grown = own_server.memory_kib() - before
        assert grown - max(alone, 0) < 16 * 1024, (
            f"{grown} KiB more for a reader that did not read, {alone} KiB without it"
        )
        seen: list[str] = []
        while len(seen) < 4000:
            kind, data, _ = next(events)
            if kind == "operations":
                seen += [op["entityId"] for op in data["operations"]]
        assert len(set(seen)) == 4000
