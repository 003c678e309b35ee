"""Wake-ups between processes: whoever commits says how far a tenant's log reaches, and everybody reads the log for themselves.

With `REDIS_URL` the word goes through one Redis channel. With or without it a slow poll looks for what was missed, so a
lost message or a Redis that is down costs half a second, never a change.
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
        self._unsaid: dict[str, int] = {}
        self._something = asyncio.Event()

    async def start(self) -> None:
        """Begin to listen and to poll."""
        self._loop = asyncio.get_running_loop()
        self._tasks.append(self._loop.create_task(self._poll()))
        if settings.REDIS_URL:
            self._redis = Redis.from_url(settings.REDIS_URL, socket_connect_timeout=2, health_check_interval=15)
            for work in (self._listen, self._say):
                self._tasks.append(self._loop.create_task(self._forever(partial(work, self._redis))))

    async def stop(self) -> None:
        """End it."""
        self._loop = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._redis is not None:
            with contextlib.suppress(RedisError, OSError):
                await self._redis.aclose()

    def tell_commit(self, tenant_id: int, cursor: int) -> None:
        """Tell other processes of a commit. From any thread; never blocks, never fails."""
        loop = self._loop
        if self._redis is not None and loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._put, str(tenant_id), cursor)

    def tell_connected(self, device_id: str) -> None:
        """Tell other processes that a device is connected here now."""
        if self._redis is not None:
            self._put(f"device {device_id}", 0)

    def _put(self, subject: str, cursor: int) -> None:
        self._unsaid[subject] = max(cursor, self._unsaid.get(subject, 0))
        self._something.set()

    async def _say(self, redis: Redis) -> None:
        """Publish what is to be said; what gathers meanwhile goes out together."""
        while True:
            await self._something.wait()
            self._something.clear()
            unsaid, self._unsaid = self._unsaid, {}
            async with redis.pipeline(transaction=False) as pipe:
                for subject, cursor in unsaid.items():
                    pipe.publish(TOPIC, f"{self._me} {cursor} {subject}")
                await pipe.execute()

    async def _listen(self, redis: Redis) -> None:
        async with redis.pubsub() as listener:
            await listener.subscribe(TOPIC)
            async for message in listener.listen():
                if message["type"] == "message":
                    self._heard(message["data"])

    def _heard(self, data: Any) -> None:
        """Take a message: who says it, a cursor, and a tenant id or `device <id>`. Whatever else is on the topic is skipped."""
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
        """Do a job again whenever Redis fails it, less and less often."""
        wait = RETRY_SECONDS
        while True:
            begun = asyncio.get_running_loop().time()
            try:
                await work()
            except (RedisError, OSError) as error:
                wait = (
                    RETRY_SECONDS
                    if asyncio.get_running_loop().time() - begun > MAX_RETRY_SECONDS
                    else min(wait * 2, MAX_RETRY_SECONDS)
                )
                logger.warning("redis_down", error=str(error), retry_seconds=wait)
                await asyncio.sleep(wait)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._settings.poll_seconds)
            heads = self._hub.heads
            if not heads:
                continue
            try:
                found = await self._pool.run(_cursors, list(heads))
            except Exception as error:
                logger.warning("poll_failed", error=str(error))
                await asyncio.sleep(RETRY_SECONDS)
                continue
            for tenant_id, cursor, access_version in found:
                self._hub.rights_at(tenant_id, access_version)
                if cursor > self._hub.heads.get(tenant_id, cursor):
                    metrics.wakeups.labels("poll").inc()
                    self._hub.wake(tenant_id, cursor)


def _cursors(tenant_ids: list[int]) -> list[tuple[int, int, int]]:
    found = sql.fetch_in("SELECT id, cursor, access_version FROM tenants_tenant WHERE id IN", tenant_ids)
    return [(pk, cursor, access_version) for pk, cursor, access_version in found]
