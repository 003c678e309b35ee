"""Replicas of the Python client against a real server, and `verify_replica`, the check after every scenario."""

import asyncio
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from moat_client.login import remember_login
from moat_client.replica import Replica
from moat_client.sync import Sync
from tenants.models import Tenant
from tenants.tokens import issue_device
from tests.builders import make_user

SYSTEM = {"object_metadata", "layout_definition", "sync_state"}
LOCAL = {"overlays", "device_state"}


class Client:
    """A replica on its own device."""

    def __init__(self, tenant: Tenant, url: str, path: Path) -> None:
        issued = issue_device(tenant, make_user(tenant), path.stem)
        self.tenant, self.url, self.path = tenant, url, path
        self.device, self.token = issued.device.pk, issued.token
        self.replica = Replica.open(path)

    def _sync(self) -> Sync:
        return Sync(self.replica, self.url, token=self.token, device=self.device)

    def sync(self, *, reset: bool = False) -> "Client":
        """Catch up and push until nothing is pending."""
        status = asyncio.run(self._sync().once(within=90, reset=reset))
        assert status.pending == 0, status
        return self

    @contextmanager
    def in_step(self) -> Iterator["Client"]:
        """Sync continuously in a separate thread while the block runs, as a following program does."""
        sync, loops = self._sync(), SimpleQueue[asyncio.AbstractEventLoop]()

        async def follow() -> None:
            loops.put(asyncio.get_running_loop())
            await sync.run()

        with ThreadPoolExecutor(1) as threads:
            following = threads.submit(asyncio.run, follow())
            loop = loops.get(timeout=20)
            try:
                yield self
            finally:
                if not following.done():
                    loop.call_soon_threadsafe(sync.stop)
                following.result(20)

    def verify(self) -> None:
        """Count and digest of every table equal the server's."""
        verified = asyncio.run(self._sync().verify(within=90))
        assert not verified.differing, verified

    def log_in_as_itself(self) -> None:
        """Store server, device, and token in the replica, as `moat login` does."""
        remember_login(
            self.replica, url=self.url, tenant=self.tenant.slug, user="", device=self.device, token=self.token
        )

    def reopen(self) -> None:
        """Abandon the replica, as a crash of the process would."""
        self.replica.close()
        self.replica = Replica.open(self.path)


def content(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Everything synced in a replica file: table definitions and rows, byte for byte."""
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        listing = db.execute(
            "SELECT name, type FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' "
            "AND name NOT LIKE '\\_%' ESCAPE '\\'"
        )
        found: dict[str, list[tuple[Any, ...]]] = {}
        for name in sorted(name for name, _ in listing if name not in LOCAL):
            found[f"{name} columns"] = db.execute(f'SELECT name, type FROM pragma_table_info("{name}")').fetchall()
            found[name] = db.execute(f'SELECT *, {typeof_all(db, name)} FROM "{name}" ORDER BY 1').fetchall()
    db.close()
    return found


def typeof_all(db: sqlite3.Connection, table: str) -> str:
    names = [row[0] for row in db.execute(f'SELECT name FROM pragma_table_info("{table}")')]
    return ", ".join(f'typeof("{name}")' for name in names)


def verify_replica(client: Client, tmp_path: Path) -> None:
    """A synced client has the contents that a new client gets, and the server's digests."""
    client.verify()
    fresh = Client(client.tenant, client.url, tmp_path / f"fresh-{client.path.stem}-{len(list(tmp_path.iterdir()))}.db")
    try:
        fresh.sync()
        mine, theirs = content(client.path), content(fresh.path)
        assert mine.keys() == theirs.keys()
        for name in mine:
            assert mine[name] == theirs[name], name
    finally:
        fresh.replica.close()
