"""Killed processes: the server under load, a client while it applies changes."""

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Collection
from functools import partial
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from moat_client.replica import Replica
from sync.models import Change
from tenants.models import Tenant
from tests.contract.conftest import Connect
from tests.contract.peer import Peer, replace
from tests.contract.replicas import Client, verify_replica
from tests.contract.servers import ROOT, ServerProcess
from tests.contract.storms import assert_log_whole, storm_until_killed

CLIENT_FOLDER = str(ROOT / "clients" / "python")
pytestmark = [pytest.mark.contract, pytest.mark.slow]


def _push_until_cut_off(peer: Peer, name: str, acked: dict[str, int]) -> None:
    """Push without pause and record what was acked, until the connection breaks."""
    n = 0
    try:
        while True:
            ops = [peer.op("jobs", f"{name}-{n + k}", "insert", {"title": "t"}) for k in range(3)]
            for op, result in zip(ops, peer.push(*ops), strict=True):
                if result["status"] == "applied":
                    acked[op["id"]] = op["op_id"]
            n += 3
    except (ConnectionClosed, TimeoutError, OSError):
        return


def _enough(acked: dict[str, int], wanted: int, names: Collection[str]) -> bool:
    """Whether enough ops were acked, including some of every pusher."""
    on_commit = list(acked)
    return len(on_commit) >= wanted and {record.partition("-")[0] for record in on_commit} >= set(names)


def test_i1_nothing_acked_is_lost_when_the_server_is_killed_under_load(
    own_server: ServerProcess, open_peer: Connect, tenant: Tenant
) -> None:
    server, acked = own_server, dict[str, int]()
    sent: dict[str, Peer] = {}
    for round_ in range(3):
        pushers = [open_peer(tenant, server.port).live() for _ in range(4)]
        named = {f"r{round_}p{n}": pusher for n, pusher in enumerate(pushers)}
        sent |= named
        storms = [partial(_push_until_cut_off, pusher, name, acked) for name, pusher in named.items()]
        storm_until_killed(server, storms, partial(_enough, acked, 40 * (round_ + 1), named.keys()))
    stored = list(Change.objects.filter(tenant=tenant, table_name="jobs").values_list("record_id", flat=True))
    assert len(stored) == len(set(stored)), "an op was applied twice"
    assert set(acked) <= set(stored), "an acked op is gone"
    assert_log_whole(tenant)
    for name, old in sent.items():
        with Peer(server.port, old.device, old.token) as again:
            again.at(tenant).hello()
            mine = sorted((i for i in stored if i.startswith(f"{name}-")), key=lambda i: int(i.split("-")[1]))
            repeat = [
                {"op_id": n + 1, "table": "jobs", "id": i, "op": "insert", "base_version": 0, "payload": {"title": "t"}}
                for n, i in enumerate(mine)
            ]
            assert {r["status"] for r in again.push(*repeat[-50:])} == {"duplicate"}


def _moat(client: Client, *arguments: str) -> subprocess.Popen[bytes]:
    """The command line `moat` in a separate process."""
    command = [sys.executable, "-m", "moat_client", *arguments, "--db", str(client.path)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, "PYTHONPATH": CLIENT_FOLDER}
    )


def test_i6_a_client_killed_while_applying_reopens_in_a_consistent_state(
    server: ServerProcess, open_peer: Connect, tenant: Tenant, tmp_path: Path
) -> None:
    """`moat sync --follow` is killed repeatedly while changes arrive and another process edits the same replica."""
    writer = open_peer(tenant, server.port).live()
    client = Client(tenant, server.url, tmp_path / "replica.db")
    client.log_in_as_itself()
    client.sync()
    client.replica.close()
    stop = threading.Event()

    def pour() -> None:
        n = 0
        while not stop.is_set():
            writer.push(
                *(
                    writer.op("jobs", f"srv-{n + k}", "insert", {"title": "t" * 200, "attrs": {"k": k}})
                    for k in range(100)
                )
            )
            writer.push(
                *(writer.op("jobs", f"srv-{n + k}", "update", replace("crew", k), base=1) for k in range(0, 100, 3))
            )
            n += 100

    thread = threading.Thread(target=pour)
    thread.start()
    added = []
    try:
        for round_ in range(6):
            follower = _moat(client, "sync", "--follow")
            for n in range(2):
                process = _moat(client, "add", "jobs", f"title=local {round_}-{n}", "--json")
                out, _ = process.communicate(timeout=60)
                assert process.returncode == 0, out
                added.append(json.loads(out)["id"])
            time.sleep(random.uniform(0.2, 1.2))
            follower.kill()
            follower.wait(10)
            follower.stdout.close()  # type: ignore[union-attr]
    finally:
        stop.set()
        thread.join()
    client.replica = Replica.open(client.path)
    assert {record["id"] for record in client.replica.find("jobs") if record["title"].startswith("local")} == set(added)
    client.sync()
    verify_replica(client, tmp_path)
    mine = Change.objects.filter(tenant=tenant, device_id=client.device).values_list("record_id", flat=True)
    assert sorted(mine) == sorted(added), "an op was lost or applied twice"
    client.replica.close()
