"""Wake event streams: own commits at once, those of other processes within `poll_seconds`.

A wake-up carries no data; streams read the log.
"""

import asyncio
import contextlib
from collections.abc import Iterator

import structlog

from sync.log import commit as commits
from sync.log.commit import Commit
from sync.records import sql
from sync.transports.runtime import Runtime

logger = structlog.get_logger(__name__)


class Wakes:
    """The waiting streams of one process, by tenant."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._waiting: dict[int, set[asyncio.Event]] = {}
        self._heads: dict[int, int] = {}
        self._loop = asyncio.get_running_loop()
        self._unlisten = commits.subscribe(self._on_commit)
        self._poll: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def waiting(self, tenant_id: int) -> Iterator[asyncio.Event]:
        """Provide an event that is set whenever the tenant's log may have grown."""
        event = asyncio.Event()
        self._waiting.setdefault(tenant_id, set()).add(event)
        if self._poll is None:
            self._poll = self._loop.create_task(self._check_access())
        try:
            yield event
        finally:
            self._waiting[tenant_id].discard(event)
            if not self._waiting[tenant_id]:
                del self._waiting[tenant_id]
                self._heads.pop(tenant_id, None)

    def stop(self) -> None:
        """Stop all wake-ups."""
        self._unlisten()
        if self._poll is not None:
            self._poll.cancel()

    def _on_commit(self, commit: Commit) -> None:
        """Handle a commit, from any thread."""
        if commit.tenant_id in self._waiting and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake, commit.tenant_id, commit.to_cursor)

    def _wake(self, tenant_id: int, cursor: int) -> None:
        self._heads[tenant_id] = max(cursor, self._heads.get(tenant_id, 0))
        for event in self._waiting.get(tenant_id, ()):
            event.set()

    async def _check_access(self) -> None:
        """Poll for commits of other processes while any stream is waiting."""
        while self._waiting:
            await asyncio.sleep(self.runtime.settings.poll_seconds)
            try:
                found = await self.runtime.pool.run(_cursors, list(self._waiting))
            except Exception as error:
                logger.warning("poll_failed", error=error)
                continue
            for tenant_id, cursor in found:
                if tenant_id in self._waiting and cursor > self._heads.get(tenant_id, -1):
                    self._wake(tenant_id, cursor)
        self._poll = None


def _cursors(tenant_ids: list[int]) -> list[tuple[int, int]]:
    return [
        (pk, cursor) for pk, cursor in sql.fetch_in("SELECT id, cursor FROM tenants_tenant WHERE id IN", tenant_ids)
    ]


_wakes: Wakes | None = None


def wakes_of(runtime: Runtime) -> Wakes:
    """Return the wake-ups of this process's runtime."""
    global _wakes
    if _wakes is None or _wakes.runtime is not runtime:
        if _wakes is not None:
            _wakes.stop()
        _wakes = Wakes(runtime)
    return _wakes
