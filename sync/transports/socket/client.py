"""An authenticated client: its channel, its stream, and how its requests are handled."""

import time
from collections.abc import Awaitable, Callable
from typing import ParamSpec, Protocol, TypeVar

from sync import metrics
from sync.catchup.plan import Position
from sync.channels.channel import Channel
from sync.errors import SyncError
from sync.records.turns import Asker
from sync.transports.errors import code_of
from sync.transports.runtime import Runtime
from sync.transports.socket import requests
from sync.transports.socket.hello import Greeting, mark_channel
from sync.transports.socket.send_buffer import SendBuffer
from sync.transports.socket.stream import Stream
from sync.wire import frames
from sync.wire.codes import Code
from sync.wire.limits import Limits
from sync.wire.ops import Actor
from sync.wire.protocol import (
    Hello,
    Message,
    PartRequest,
    Repair,
    SchemaRequest,
    Subscribe,
    Verify,
    VerifyRanges,
)
from tenants.genesis import genesis

P = ParamSpec("P")
T = TypeVar("T")


class Failing(Protocol):
    """Responds with an error."""

    def __call__(self, code: Code, message: str) -> None:
        """Respond."""


class Client:
    """One client. Lives on the event loop, as long as its connection."""

    def __init__(self, greeting: Greeting, hello: Hello, runtime: Runtime, buffer: SendBuffer, fail: Failing) -> None:
        self.greeting = greeting
        self.identity = greeting.identity
        channel = greeting.channel
        self._asker = Asker(self.identity.tenant_id, self.identity.device_id)
        self._runtime, self._buffer, self._fail = runtime, buffer, fail
        self.stream = Stream(
            channel,
            buffer,
            runtime.hub,
            self._read,
            runtime.settings,
            user_id=self.identity.user_id,
            on_pruned=self._restart,
            on_access_changed=self._access_changed,
        )
        who = greeting.identity
        self.actor = Actor(who.tenant_id, who.username, who.device_id, channel.key, who.user_id)
        self._held = greeting.held
        self.confirmed_cursor = 0
        self._schema_version = hello.schema_version
        self._epoch = hello.server_epoch

    @property
    def channel(self) -> Channel:
        """The channel, with the access it was last checked against."""
        return self.stream.channel

    def welcome(self, limits: Limits, ref: int | None) -> str:
        """Return the response to hello."""
        who, state = self.identity, self.greeting.state
        return frames.message(
            "welcome",
            ref,
            tenant=who.tenant_slug,
            user=who.username,
            device=who.device_id,
            profile=self.greeting.profile,
            channel=self.channel.key,
            schema_version=state.schema_version,
            cursor=state.cursor,
            server_epoch=state.server_epoch,
            limits=limits.wire(),
            chain=self.greeting.chain,
            settled=self.greeting.settled,
            access={"rules": self.greeting.access},
        )

    def confirmed(self, cursor: int | None) -> None:
        """Record that the client has applied everything up to a cursor."""
        if cursor is not None:
            self.confirmed_cursor = max(self.confirmed_cursor, min(cursor, self.stream.cursor))

    async def carry_out(self, message: Message) -> None:
        """Respond to a request. Raises SyncError for errors the client must receive."""
        channel = self.channel
        match message:
            case Subscribe():
                await self._subscribe(message)
            case SchemaRequest():
                self._buffer.put(await self._read(requests.schema_commands, channel, message))
            case Verify():
                await self._verify(message)
            case VerifyRanges():
                await self._put_on_grid(self._scan(requests.verify_ranges, channel, message))
            case Repair():
                await self._put_on_grid(self._scan(requests.repair, channel, message))
            case PartRequest():
                await self._part(message)

    async def _read(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function that reads little."""
        return await self._runtime.pool.run_for(self._asker, function, *args, **kwargs)

    async def _scan(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function that may read a whole table."""
        return await self._runtime.scans.run_for(self._asker, function, *args, **kwargs)

    async def _put_on_grid(self, answer: Awaitable[str]) -> None:
        """Send a response, on the grid in filtered channels: a range of one ID asks whether it exists."""
        started = time.perf_counter()
        try:
            frame = await answer
        finally:
            if self.channel.filtered:
                await self._runtime.grid.after(started)
        self._buffer.put(frame)

    async def _subscribe(self, message: Subscribe) -> None:
        await self.stream.pause()
        if message.cursor == 0:
            self._epoch = self.greeting.state.server_epoch
        self._schema_version = message.schema_version
        self.confirmed_cursor = max(self.confirmed_cursor, message.cursor)
        held = message.channel or self._held
        await self._begin(
            Position(message.schema_version, message.cursor, message.state_hash, self._epoch, held), message.ref
        )

    async def _restart(self) -> None:
        """Choose another catch-up mode after the log was pruned while the client was reading it."""
        where = Position(self._schema_version, self.stream.cursor, self.stream.state_hash, None, self.channel.key)
        try:
            await self._begin(where, None)
        except SyncError as error:
            self._fail(code_of(error.code), error.message)

    async def _begin(self, position: Position, ref: int | None) -> None:
        """Send the client its catch-up mode, and start."""
        chosen = await self._read(requests.begin, self.channel, position, may_scan=False)
        if chosen is None:
            chosen = await self._scan(requests.begin, self.channel, position, may_scan=True)
        if chosen is None:
            raise RuntimeError("a scan decides how to catch up")
        state, mode = chosen.plan.state, chosen.plan.mode
        metrics.catch_ups.labels(mode).inc()
        span = {"from": position.cursor, "to": state.cursor}
        match mode:
            case "log":
                self._buffer.put(frames.message("catch_up", ref, mode=mode, **span))
                await self._holds()
                self.stream.start(
                    position.cursor,
                    position.state_hash
                    if position.cursor and position.state_hash
                    else genesis(state.server_epoch, state.slug),
                )
            case "rows":
                stamp = {"schema_version": state.schema_version, "state_hash": state.state_hash.hex()}
                self._buffer.put(frames.message("catch_up", ref, mode=mode, **span, **stamp, total=chosen.plan.total))
                await self._send_rows(chosen)
                self._buffer.put(frames.message("rows_end", **span, **stamp))
                await self._holds()
                self.stream.start(state.cursor, state.state_hash)
            case "snapshot":
                manifest = await self._runtime.snapshot(self.channel, self._asker, self._tell_building)
                self._held = None  # the next subscribe either continues from this snapshot or names another position
                self._buffer.put(frames.message("catch_up", ref, mode=mode, manifest=manifest))
            case "repair":
                self._buffer.put(
                    frames.message("catch_up", ref, mode=mode, cursor=state.cursor, state_hash=state.state_hash.hex())
                )

    async def _holds(self) -> None:
        """Record that the client's replica holds this channel, as its chain proves."""
        if self._held != self.channel.key:
            self._held = self.channel.key
            await self._read(mark_channel, self.identity.device_id, self.channel.key)

    def _access_changed(self) -> None:
        self._fail(Code.ACCESS_CHANGED, Code.ACCESS_CHANGED.meaning)

    def _tell_building(self) -> None:
        self._buffer.put(frames.message("progress", what="snapshot"))

    async def _send_rows(self, chosen: requests.Begin) -> None:
        if (spool := chosen.spool) is None:
            return
        try:
            while (frame := await self._read(spool.next_frame)) is not None:
                await self._buffer.room()
                self._buffer.put(frame)
        finally:
            spool.close()

    async def _verify(self, message: Verify) -> None:
        """Respond at exactly one point of the stream: after everything up to the cursor, before the rest."""
        streaming = await self.stream.pause()
        try:
            found = await self._scan(requests.verify, self.channel, message)
            state = found.state
            if streaming:
                await self.stream.send_until(state.cursor)
            notified = {"cursor": state.cursor, "state_hash": state.state_hash.hex(), "tables": found.tables}
            self._buffer.put(frames.message("verify", message.ref, **notified))
        finally:
            if streaming:
                self.stream.resume()

    async def _part(self, message: PartRequest) -> None:
        data = await self._read(requests.part, self.channel, message)
        self._epoch = self.greeting.state.server_epoch  # its replica will come from this server
        metrics.snapshot_parts.labels("socket").inc()
        self._buffer.put(frames.part(message.snapshot, message.part, data))
