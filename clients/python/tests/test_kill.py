"""Kill real processes at random moments: the file opens again with base, overlays, and cursor consistent (I6)."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_server import FakeServer
from rig import Rig, strip

from moat_client import Replica, remember_login
from moat_client.replica.catalog import read_records
from moat_client.replica.overlays import active_ops
from moat_client.replica.patched import patched

pytestmark = pytest.mark.slow

WRITER = """
import asyncio, sys, threading, time
from moat_client import Replica, Sync

replica = Replica.open(sys.argv[1])
name = sys.argv[2]

def write():
    n = 0
    while True:
        n += 1
        record = f"{name}-{n}"
        try:
            with replica.transaction() as tx:
                tx.insert("jobs", {"title": record, "price": "1.00"}, record_id=record)
                tx.update("jobs", record, {"title": record + "!"})
        except Exception:
            time.sleep(0.05)
            continue
        print(record, flush=True)

async def main():
    threading.Thread(target=write, daemon=True).start()
    await Sync(replica).run()

asyncio.run(main())
"""


def assert_consistent(path: Path, tenant) -> None:
    """Base equals the log at the cursor, and every patched row is its base row with its overlays on top."""
    with Replica.open(path) as replica, replica.store.read() as (con, catalog):
        at = replica.position()
        assert at.cursor == 0 or at.state_hash == tenant.hashes[at.cursor].hex()
        assert con.execute("PRAGMA main.quick_check").fetchone() == ("ok",)
        for table in catalog.tables.values():
            keys = {
                i
                for (i,) in con.execute(
                    "SELECT record_id FROM main.overlays WHERE table_name = ? AND state IN ('pending','acked')",
                    [table.name],
                )
            }
            base = read_records(con, table, keys)
            want = {i: patched(i, base.get(i), active_ops(con, table.name, i), table.columns) for i in keys}
            rows = con.execute(f'SELECT {table.column_list} FROM main."_patched_{table.name}"')
            assert {r["id"]: strip(r) for r in map(table.record, rows)} == {
                i: strip(r) for i, r in want.items() if r is not None
            }
        assert con.execute(
            "SELECT count(*) FROM main.overlays WHERE state = 'acked' AND acked_cursor <= ?", [at.cursor]
        ).fetchone() == (0,)


def test_i6_a_client_killed_again_and_again_loses_and_doubles_nothing(server: FakeServer, tmp_path: Path) -> None:
    tenant, dice = server.tenant, random.Random(5)
    tenant.prefer_snapshot = True
    path = tmp_path / "k.db"
    with Replica.open(path) as replica:
        remember_login(replica, url=server.url, tenant="acme", user="u", device="d1", token="token-d1")
    told: set[str] = set()
    for round_ in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), f"r{round_}"], stdout=subprocess.PIPE, text=True
        )
        if round_ % 3:  # else it is killed while it starts and catches up, however long that takes here
            told.add(process.stdout.readline().strip())
        end = time.monotonic() + 0.2 + dice.random()
        while time.monotonic() < end:
            server.do(
                tenant.change,
                "jobs",
                "job-1",
                "update",
                [{"op": "replace", "path": "/title", "value": f"{round_} {time.monotonic()}"}],
            )
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        out, _ = process.communicate(timeout=20)
        told |= {line for line in out.split("\n")[:-1] if line}
        server.do(assert_consistent, path, tenant)
    assert len(told) > 20, "too little happened to prove anything"
    time.sleep(0.3)
    rig = Rig(tenant, tmp_path, name="k")
    rig.local = True
    rig.settle(100_000)
    rig.assert_in_step()
    assert rig.replica.status().pending == 0
    assert [(p.code, p.id) for p in rig.replica.conflicts()] == []
    assert len(tenant.applied_ops) == len(set(tenant.applied_ops))
    assert {f"{name}!" for name in told} <= {r["title"] for r in tenant.records["jobs"].values()}
    half = [i for i, r in tenant.records["jobs"].items() if i.startswith("r") and not r["title"].endswith("!")]
    assert half == [], "half of a transaction was applied"
    rig.backend.close()
    rig.replica.close()
