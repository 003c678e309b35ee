"""Live queries: queries that run again when a table they read changes."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from moat_client.replica.ddl import SYSTEM_TABLES

Rows = list[dict[str, Any]]
_PREFIX = "_patched_"


def tables_read(con: sqlite3.Connection, sql: str, params: Any) -> frozenset[str]:
    """Return the names of the synced tables a query reads; raise sqlite3.Error when it is invalid."""
    seen: set[str] = set()

    def note(action: int, table: str | None, _column: str | None, _database: str | None, _view: str | None) -> int:
        if action == sqlite3.SQLITE_READ and table:
            seen.add(table.removeprefix(_PREFIX))
        return sqlite3.SQLITE_OK

    con.set_authorizer(note)
    try:
        con.execute(f"EXPLAIN {sql}", params).fetchall()
    finally:
        con.set_authorizer(None)
    # Every live view reads the overlays; a change to them always names the record's own table too.
    direct = seen - {name for name in SYSTEM_TABLES if name not in ("object_metadata", "layout_definition")}
    return frozenset(direct or seen)


class Watch:
    """One live query. Iterate it with `async for`, or pass a callback; `close()` ends it.

    The first result is immediate; later ones come only when they differ. A callback runs in the thread that made the
    change.
    """

    def __init__(
        self, run: Callable[[], Rows], tables: frozenset[str], callback: Callable[[Rows], None] | None
    ) -> None:
        self.tables = tables
        self._run = run
        self._callback = callback
        self._last: Rows | None = None
        self._lock = threading.Lock()
        self._closed = False
        self._wake: Callable[[], None] = lambda: None
        self.on_close: Callable[[Watch], None] = lambda watch: None
        if callback is not None:
            self._refresh()

    def poke(self, changed: Sequence[str] | set[str]) -> None:
        """Rerun the query if it reads a changed table; `*` stands for any."""
        if self._closed or ("*" not in changed and self.tables.isdisjoint(changed)):
            return
        if self._callback is not None:
            self._refresh()
        self._wake()

    def _refresh(self) -> None:
        with self._lock:
            rows = self._run()
            if rows == self._last or self._closed:
                return
            self._last = rows
        if self._callback is not None:
            self._callback(rows)

    def close(self) -> None:
        """End the query; an iteration in progress stops."""
        self._closed = True
        self._wake()
        self.on_close(self)

    async def __aiter__(self) -> AsyncIterator[Rows]:
        loop, changed = asyncio.get_running_loop(), asyncio.Event()
        changed.set()

        def wake() -> None:
            loop.call_soon_threadsafe(changed.set)

        self._wake = wake
        try:
            while True:
                await changed.wait()
                changed.clear()
                if self._closed:
                    return
                rows = await asyncio.to_thread(self._run)
                if rows != self._last:
                    self._last = rows
                    yield rows
        finally:
            self._wake = lambda: None
