"""State shared by all connections of a process: hub, read threads, wake-ups, builds, devices.

Created on the event loop by the first connection, or earlier by the server's lifespan startup. uvicorn supports
lifespan, daphne does not.
"""

import asyncio
import signal
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, Protocol

import structlog

from metadata.limits import value_limits
from sync import metrics
from sync.catchup.plan import read_log
from sync.catchup.snapshots import service
from sync.channels import channel_log
from sync.channels.channel import ChainPosition, Channel, ChannelAssignments
from sync.conf import engine_settings, limits_given, stream_settings
from sync.fanout.hub import Hub
from sync.fanout.notify import Notifier
from sync.log import commit as commits
from sync.log.commit import Commit
from sync.records.read_pool import ReadPool
from sync.records.turns import Asker
from sync.settle.signals import Settled, conflict_settled
from sync.settle.writer import get_writer
from sync.transports import device_state
from sync.transports.errors import RESTARTING
from sync.transports.response_grid import ResponseGrid
from sync.wire.codes import Code
from sync.wire.limits import limits_from
from tenants.signals import access_changed, device_revoked

logger = structlog.get_logger(__name__)
PING_EVERY = 12
"""Housekeeping rounds between two pings that ask every client for its cursor."""
BUILD_THREADS = 1


class Member(Protocol):
    """What the runtime needs of a connection."""

    @property
    def confirmed_cursor(self) -> int:
        """The cursor the client last confirmed."""

    @property
    def device_id(self) -> str | None:
        """The connected device."""

    def fail(self, code: Code, message: str) -> None:
        """Respond with an error."""

    def ping(self) -> None:
        """Ask the client to show that it is alive."""

    def settled(self, notifications: list[dict[str, Any]]) -> None:
        """Notify the client of resolved conflicts."""

    def take_notified(self) -> list[str]:
        """Return the conflicts whose notification the client has received since the last call."""

    async def drain(self, retry_after: float, close_code: int) -> None:
        """Say goodbye and close."""


class Runtime:
    """Shared state of one process and its event loop."""

    def __init__(self) -> None:
        self.settings = stream_settings()
        values = value_limits()
        engine = engine_settings()
        patches = {name: getattr(engine, name) for name in ("patch_ops", "patch_bytes", "op_work", "tx_work")}
        self.limits = limits_from({"text": values.text, "json": values.json, **patches, **limits_given()})
        settings = self.settings
        self.pool = ReadPool(settings.read_threads, most_per_device=settings.device_reads)
        self.hellos = ReadPool(settings.hello_threads, name="hello")
        self.scans = ReadPool(settings.scan_threads, name="scan", per_device=1, most_per_device=settings.device_scans)
        self.hub = Hub(self._read, self)
        self.grid = ResponseGrid()
        self.draining = False
        self.members: dict[str, Member] = {}
        self.aborts: dict[Member, Callable[[], object]] = {}
        self._builders = ReadPool(BUILD_THREADS, name="build")
        self._builds: dict[Channel, asyncio.Task[dict[str, Any]]] = {}
        self._notifier = Notifier(self.hub, self.pool, self.settings, on_connected=self._connected_elsewhere)
        self._housekeeping: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._unlisten: Callable[[], None] | None = None
        self._seen: dict[str, int] = {}

    @property
    def running(self) -> bool:
        """Whether connections are served."""
        return self.hub.running and not self.draining

    async def start(self) -> None:
        """Start serving on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self.hub.start()
        self._unlisten = commits.subscribe(self._on_commit)
        device_revoked.connect(self._revoked, dispatch_uid=id(self))
        conflict_settled.connect(self._settled, dispatch_uid=id(self))
        access_changed.connect(self._access_changed, dispatch_uid=id(self))
        await self._notifier.start()
        self._housekeeping = self._loop.create_task(self._run_housekeeping())

    async def stop(self) -> None:
        """Stop everything. Connections must be gone, or no longer matter."""
        if self._unlisten is not None:
            self._unlisten()
        device_revoked.disconnect(dispatch_uid=id(self))
        conflict_settled.disconnect(dispatch_uid=id(self))
        access_changed.disconnect(dispatch_uid=id(self))
        self._loop = None
        self.hub.stop()
        tasks = [task for task in (self._housekeeping, *self._builds.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await self._notifier.stop()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(self._stop_threads)

    async def drain(self) -> None:
        """Stop accepting connections, finish accepted pushes, and say goodbye to all clients."""
        if self.draining:
            return
        self.draining = True
        logger.info("draining", connections=len(self.aborts))
        async with asyncio.timeout(self.settings.drain_timeout):
            await asyncio.gather(
                *(member.drain(self.settings.drain_seconds, RESTARTING) for member in list(self.aborts)),
                return_exceptions=True,
            )

    # Connections

    def opened(self, member: Member, abort: Callable[[], object]) -> None:
        """Add an accepted socket. `abort` ends its receive loop at once."""
        self.aborts[member] = abort
        metrics.connections.inc()

    def register(self, member: Member, device_id: str) -> None:
        """Register the connection of a device that said hello, replacing its older connection."""
        older = self.members.get(device_id)
        self.members[device_id] = member
        if older is not None and older is not member:
            older.fail(Code.REPLACED, "A newer connection from this device has replaced this one.")
        self._notifier.notify_connected(device_id)

    def forget(self, member: Member) -> None:
        """Remove a closed connection."""
        if self.aborts.pop(member, None) is not None:
            metrics.connections.dec()
        device = member.device_id
        if device is not None:
            self._seen[device] = max(self._seen.get(device, 0), member.confirmed_cursor)
            if self.members.get(device) is member:
                del self.members[device]

    def abort(self, member: Member, code: Code | None) -> None:
        """End a connection that can no longer be written to."""
        if code is not None:
            metrics.protocol_errors.labels(code).inc()
        if (abort := self.aborts.get(member)) is not None:
            abort()

    # Work for connections

    async def snapshot(self, channel: Channel, asker: Asker, on_build: Callable[[], None]) -> dict[str, Any]:
        """Return the manifest of a fresh snapshot. Concurrent callers share one build per channel."""
        build = self._builds.get(channel)
        if build is None:
            found = await self.pool.run_for(asker, service.fresh, channel)
            if found is not None:
                return dict(found.manifest)
            build = self._builds.get(channel)
        if build is None:
            build = self._builds[channel] = asyncio.get_running_loop().create_task(self._build(channel))
        on_build()
        return await asyncio.shield(build)

    async def _build(self, channel: Channel) -> dict[str, Any]:
        try:
            return dict((await self._builders.run_for(Asker(channel.tenant_id), service.make, channel)).manifest)
        finally:
            del self._builds[channel]

    async def _read(self, tenant_id: int, cursor: int) -> list[Commit]:
        return await self.pool.run_for(Asker(tenant_id), read_log, tenant_id, cursor, self.settings.chunk_lines)

    async def chain_at(self, channel: Channel, cursor: int) -> ChainPosition | None:
        """Return where a channel's feed starts at a cursor."""
        return await self.pool.run_for(Asker(channel.tenant_id), channel_log.chain_at, channel, cursor)

    async def current_channels(self, tenant_id: int, user_ids: Sequence[int]) -> ChannelAssignments:
        """Return each member's current channel."""
        return await self.pool.run_for(Asker(tenant_id), channel_log.current_channels, tenant_id, user_ids)

    async def remember(self, channel: Channel, cursor: int, state_hash: bytes) -> None:
        """Store a checkpoint of a filtered channel's chain."""
        await self.pool.run_for(Asker(channel.tenant_id), channel_log.remember, channel, cursor, state_hash)

    # Notifications from other threads and processes

    def _on_commit(self, commit: Commit) -> None:
        metrics.commits.inc()
        metrics.commit_changes.observe(len(commit.lines))
        self.hub.on_commit(commit)
        self._notifier.notify_commit(commit.tenant_id, commit.to_cursor)

    def _revoked(self, sender: object, device_id: str, **_: object) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._disconnect, device_id, Code.REVOKED)

    def _access_changed(self, sender: object, tenant_id: int, **_: object) -> None:
        self.hub.access_changed(tenant_id)

    def _settled(self, sender: object, settled: Settled, **_: object) -> None:
        if (
            settled.device_id is not None
            and not settled.device_notified
            and self._loop is not None
            and not self._loop.is_closed()
        ):
            notification = {
                "conflict": settled.conflict,
                "resolution": settled.resolution,
                "by": settled.by,
                "at": settled.at,
            }
            self._loop.call_soon_threadsafe(self._send_settled, settled.device_id, notification)

    def _send_settled(self, device_id: str, notification: dict[str, Any]) -> None:
        if (member := self.members.get(device_id)) is not None:
            member.settled([notification])

    def _connected_elsewhere(self, device_id: str) -> None:
        self._disconnect(device_id, Code.REPLACED)

    def _disconnect(self, device_id: str, code: Code) -> None:
        member = self.members.get(device_id)
        if member is not None:
            member.fail(code, code.meaning)

    async def _run_housekeeping(self) -> None:
        """Periodically drop revoked devices, send conflict notifications, and store cursors."""
        rounds = 0
        while True:
            await asyncio.sleep(self.settings.revocation_seconds)
            rounds += 1
            try:
                await self._one_round(ask=rounds % PING_EVERY == 0)
            except Exception:
                logger.exception("housekeeping_failed")

    async def _one_round(self, *, ask: bool) -> None:
        devices = list(self.members)
        for device_id in await self.pool.run(device_state.without_access, devices):
            self._disconnect(device_id, Code.REVOKED)
        self.hub.advance()
        notified = [conflict for member in self.members.values() for conflict in member.take_notified()]
        if notified:
            await self.pool.run(device_state.mark_notified, notified)
        for device_id, notifications in (await self.pool.run(device_state.unnotified, devices)).items():
            if (member := self.members.get(device_id)) is not None:
                member.settled(notifications)
        if ask:
            self._seen.update((device, member.confirmed_cursor) for device, member in self.members.items())
            for member in list(self.members.values()):
                member.ping()
        if self._seen:
            seen, self._seen = self._seen, {}
            await self.pool.run(device_state.mark_seen, seen)

    def _stop_threads(self) -> None:
        for pool in (self.pool, self.hellos, self.scans, self._builders):
            pool.stop()
        self.grid.stop()


_runtime: Runtime | None = None
_starting: asyncio.Lock | None = None


async def get_runtime() -> Runtime:
    """Return this process's runtime. The first call starts it on the running event loop."""
    global _runtime, _starting
    if _starting is None:
        _starting = asyncio.Lock()
    async with _starting:
        if _runtime is None:
            _runtime = Runtime()
            await _runtime.start()
            _drain_on_sigterm(_runtime)
    return _runtime


def current_runtime() -> Runtime | None:
    """Return the runtime, or None if it was not started."""
    return _runtime


async def stop_runtime() -> None:
    """Drain and stop the runtime if it was started."""
    global _runtime, _starting
    runtime, _runtime, _starting = _runtime, None, None
    if runtime is not None:
        await runtime.drain()
        await asyncio.to_thread(get_writer().stop)
        await runtime.stop()


def _drain_on_sigterm(runtime: Runtime) -> None:
    """On SIGTERM, drain before the server's own handler closes the sockets.

    Python allows signal handlers only in the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    loop, before = asyncio.get_running_loop(), signal.getsignal(signal.SIGTERM)
    if not callable(before):
        return

    async def drain_then(number: int, frame: FrameType | None) -> None:
        try:
            await runtime.drain()
        finally:
            before(number, frame)

    def handle(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, before)
        loop.call_soon_threadsafe(lambda: loop.create_task(drain_then(number, frame)))

    signal.signal(signal.SIGTERM, handle)
