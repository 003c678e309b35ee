"""A client that was let in: its channel, its stream, and how each of its requests is carried out."""

import time
from collections.abc import Awaitable
from typing import Protocol

from sync import metrics
from sync.catchup.plan import Position
from sync.channels.channel import Channel
from sync.errors import SyncError
from sync.transports.errors import code_of
from sync.transports.runtime import Runtime
from sync.transports.socket import requests
from sync.transports.socket.hello import Greeting, mark_channel
from sync.transports.socket.send_buffer import SendBuffer
from sync.transports.socket.stream import Stream
from sync.wire import frames
from sync.wire.codes import Code
from sync.wire.ops import Actor
from sync.wire.protocol import (
    Hello,
    Limits,
    Message,
    PartRequest,
    Repair,
    SchemaRequest,
    Subscribe,
    Verify,
    VerifyRanges,
)


class Failing(Protocol):
    """Answers with an error."""

    def __call__(self, code: Code, message: str) -> None:
        """Answer."""


class Client:
    """Lives on the event loop, for as long as its connection."""

    def __init__(self, greeting: Greeting, hello: Hello, runtime: Runtime, outbox: SendBuffer, fail: Failing) -> None:
        self.greeting = greeting
        self.identity = greeting.identity
        channel = greeting.channel
        self.stream = Stream(
            channel,
            outbox,
            runtime.hub,
            runtime.pool,
            runtime.settings,
            user_id=self.identity.user_id,
            on_pruned=self._begin_again,
            on_moved=self._moved,
        )
        who = greeting.identity
        self.actor = Actor(who.tenant_id, who.username, who.device_id, channel.key, who.user_id)
        self._held = greeting.held
        self.confirmed_cursor = 0
        self._runtime, self._outbox, self._fail = runtime, outbox, fail
        self._schema_version = hello.schema_version
        self._epoch = hello.server_epoch

    @property
    def channel(self) -> Channel:
        """The channel, with the rights it was last checked against."""
        return self.stream.channel

    def welcome(self, limits: Limits, ref: int | None) -> str:
        """Return the answer to hello."""
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
        """The client says that it has applied everything up to a cursor."""
        if cursor is not None:
            self.confirmed_cursor = max(self.confirmed_cursor, min(cursor, self.stream.cursor))

    async def carry_out(self, message: Message) -> None:
        """Answer a request. Raises SyncError for what the client must be told."""
        run, channel = self._runtime.pool.run, self.channel
        match message:
            case Subscribe():
                await self._subscribe(message)
            case SchemaRequest():
                self._outbox.put(await run(requests.schema_commands, channel, message))
            case Verify():
                await self._verify(message)
            case VerifyRanges():
                await self._evenly(run(requests.verify_ranges, channel, message))
            case Repair():
                await self._evenly(run(requests.repair, channel, message))
            case PartRequest():
                await self._part(message)

    async def _evenly(self, answer: Awaitable[str]) -> None:
        """Send an answer, to whom something can be hidden at a mark: a range of one id asks whether it exists."""
        begun = time.perf_counter()
        try:
            frame = await answer
        finally:
            if self.channel.filtered:
                await self._runtime.marks.after(begun)
        self._outbox.put(frame)

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

    async def _begin_again(self) -> None:
        """The log was pruned under a client that was reading it: choose another way."""
        where = Position(self._schema_version, self.stream.cursor, self.stream.state_hash, None, self.channel.key)
        try:
            await self._begin(where, None)
        except SyncError as refused:
            self._fail(code_of(refused.code), refused.message)

    async def _begin(self, position: Position, ref: int | None) -> None:
        """Tell the client how it catches up, and begin to."""
        chosen = await self._runtime.pool.run(requests.begin, self.channel, position)
        state, mode = chosen.plan.state, chosen.plan.mode
        metrics.catch_ups.labels(mode).inc()
        span = {"from": position.cursor, "to": state.cursor}
        match mode:
            case "log":
                self._outbox.put(frames.message("catch_up", ref, mode=mode, **span))
                await self._holds()
                self.stream.start(
                    position.cursor, position.state_hash if position.cursor and position.state_hash else state.genesis
                )
            case "rows":
                stamp = {"schema_version": state.schema_version, "state_hash": state.state_hash.hex()}
                self._outbox.put(frames.message("catch_up", ref, mode=mode, **span, **stamp, total=chosen.plan.total))
                await self._send_rows(chosen)
                self._outbox.put(frames.message("rows_end", **span, **stamp))
                await self._holds()
                self.stream.start(state.cursor, state.state_hash)
            case "snapshot":
                manifest = await self._runtime.snapshot(self.channel, self._tell_building)
                self._held = None  # what it subscribes with next stems from this snapshot, or says otherwise
                self._outbox.put(frames.message("catch_up", ref, mode=mode, manifest=manifest))
            case "repair":
                self._outbox.put(
                    frames.message("catch_up", ref, mode=mode, cursor=state.cursor, state_hash=state.state_hash.hex())
                )

    async def _holds(self) -> None:
        """The client's replica is of this channel: its chain says so."""
        if self._held != self.channel.key:
            self._held = self.channel.key
            await self._runtime.pool.run(mark_channel, self.identity.device_id, self.channel.key)

    def _moved(self) -> None:
        self._fail(Code.ACCESS_CHANGED, Code.ACCESS_CHANGED.meaning)

    def _tell_building(self) -> None:
        self._outbox.put(frames.message("progress", what="snapshot"))

    async def _send_rows(self, chosen: requests.Begin) -> None:
        if (spool := chosen.spool) is None:
            return
        try:
            while (frame := await self._runtime.pool.run(spool.take)) is not None:
                await self._outbox.room()
                self._outbox.put(frame)
        finally:
            spool.close()

    async def _verify(self, message: Verify) -> None:
        """Answer at exactly one place of the stream: everything up to the cursor goes before, nothing after."""
        streaming = await self.stream.pause()
        try:
            found = await self._runtime.pool.run(requests.verify, self.channel, message)
            state = found.state
            if streaming:
                await self.stream.send_until(state.cursor)
            told = {"cursor": state.cursor, "state_hash": state.state_hash.hex(), "tables": found.tables}
            self._outbox.put(frames.message("verify", message.ref, **told))
        finally:
            if streaming:
                self.stream.resume()

    async def _part(self, message: PartRequest) -> None:
        data = await self._runtime.pool.run(requests.part, self.channel, message)
        self._epoch = self.greeting.state.server_epoch  # its replica will stem from this server
        metrics.snapshot_parts.labels("socket").inc()
        self._outbox.put(frames.part(message.snapshot, message.part, data))
