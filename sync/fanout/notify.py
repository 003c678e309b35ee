"""Wake-ups between processes. A process that commits publishes how far a tenant's log reaches; the others read the log.

With `REDIS_URL` set, messages use one Redis channel. A slow poll always runs too and finds what was missed, so a lost
message or a Redis outage delays changes by half a second but never loses any.
"""

import asyncio
import contextlib
import os
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import structlog
from django.conf import settings
from redis.asyncio import Redis
from redis.exceptions import RedisError

from sync import metrics
from sync.conf import StreamSettings
from sync.fanout.hub import Hub
from sync.records import sql
from sync.records.read_pool import ReadPool
from tenants.rows import TenantRow, read_tenants

logger = structlog.get_logger(__name__)
RETRY_SECONDS = 1.0
MAX_RETRY_SECONDS = 30.0
TOPIC = "moat:wake"


class Notifier:
    """The wake-ups of one process."""

    def __init__(
        self, hub: Hub, pool: ReadPool, settings: StreamSettings, *, on_connected: Callable[[str], None]
    ) -> None:
        self._hub, self._pool, self._settings, self._on_connected = hub, pool, settings, on_connected
        self._me = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._redis: Redis | None = None
        self._unsent: dict[str, int] = {}
        self._has_unsent = asyncio.Event()

    async def start(self) -> None:
        """Start listening and polling."""
        self._loop = asyncio.get_running_loop()
        self._tasks.append(self._loop.create_task(self._poll()))
        if settings.REDIS_URL:
            self._redis = Redis.from_url(settings.REDIS_URL, socket_connect_timeout=2, health_check_interval=15)
            for work in (self._listen, self._publish):
                self._tasks.append(self._loop.create_task(self._forever(partial(work, self._redis))))

    async def stop(self) -> None:
        """Stop listening and polling."""
        self._loop = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._redis is not None:
            with contextlib.suppress(RedisError, OSError):
                await self._redis.aclose()

    def notify_commit(self, tenant_id: int, cursor: int) -> None:
        """Notify other processes of a commit. Can be called from any thread; never blocks, never fails."""
        loop = self._loop
        if self._redis is not None and loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._put, str(tenant_id), cursor)

    def notify_connected(self, device_id: str) -> None:
        """Notify other processes that a device is now connected here."""
        if self._redis is not None:
            self._put(f"device {device_id}", 0)

    def _put(self, subject: str, cursor: int) -> None:
        self._unsent[subject] = max(cursor, self._unsent.get(subject, 0))
        self._has_unsent.set()

    async def _publish(self, redis: Redis) -> None:
        """Publish messages. Those that collect meanwhile are sent together."""
        while True:
            await self._has_unsent.wait()
            self._has_unsent.clear()
            unsent, self._unsent = self._unsent, {}
            async with redis.pipeline(transaction=False) as pipe:
                for subject, cursor in unsent.items():
                    pipe.publish(TOPIC, f"{self._me} {cursor} {subject}")
                await pipe.execute()

    async def _listen(self, redis: Redis) -> None:
        async with redis.pubsub() as listener:
            await listener.subscribe(TOPIC)
            async for message in listener.listen():
                if message["type"] == "message":
                    self._on_message(message["data"])

    def _on_message(self, data: Any) -> None:
        """Handle a message: its sender, a cursor, and a tenant ID or `device <id>`. Other messages are ignored."""
        sender, _, rest = bytes(data).decode("utf-8", "replace").partition(" ")
        cursor, _, subject = rest.partition(" ")
        if sender == self._me:
            return
        if subject.startswith("device "):
            self._on_connected(subject.removeprefix("device "))
        elif subject.isdecimal() and cursor.isdecimal():
            metrics.wakeups.labels("redis").inc()
            self._hub.wake(int(subject), int(cursor))

    async def _forever(self, work: Callable[[], Awaitable[None]]) -> None:
        """Restart work whenever Redis fails, with increasing pauses."""
        wait = RETRY_SECONDS
        while True:
            started = asyncio.get_running_loop().time()
            try:
                await work()
            except (RedisError, OSError) as error:
                wait = (
                    RETRY_SECONDS
                    if asyncio.get_running_loop().time() - started > MAX_RETRY_SECONDS
                    else min(wait * 2, MAX_RETRY_SECONDS)
                )
                logger.warning("redis_down", error=error, retry_seconds=wait)
                await asyncio.sleep(wait)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._settings.poll_seconds)
            heads = self._hub.heads
            if not heads:
                continue
            try:
                tenants = await self._pool.run(_read_tenants, list(heads))
            except Exception as error:
                logger.warning("poll_failed", error=error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            for tenant in tenants:
                self._hub.access_version_at(tenant.id, tenant.access_version)
                if tenant.cursor > self._hub.heads.get(tenant.id, tenant.cursor):
                    metrics.wakeups.labels("poll").inc()
                    self._hub.wake(tenant.id, tenant.cursor)


def _read_tenants(tenant_ids: list[int]) -> list[TenantRow]:
    return list(read_tenants(tenant_ids, sql.fetch_in).values())
