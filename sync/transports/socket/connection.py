"""One connection: what arrives goes through the session (pure), what that says to do is done here, on the event loop.

Pushes go straight to the writer, several at a time, and are acked in the order they came. Everything else that must read
the database is done one after the other by a task that lives only while there is something to do.
"""

import asyncio
import time
from collections import Counter, deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, get_args

import structlog
from django.db import DatabaseError

from sync import metrics
from sync.errors import SyncError
from sync.settle.writer import PushJob, get_writer
from sync.transports.errors import INTERNAL, code_of
from sync.transports.runtime import Runtime
from sync.transports.socket.client import Client
from sync.transports.socket.hello import greet
from sync.transports.socket.send_buffer import Send, SendBuffer
from sync.transports.socket.session import Action, Close, Do, Reply, Session, State
from sync.wire import frames
from sync.wire.codes import Code
from sync.wire.lines import wire_time
from sync.wire.ops import OpResult, Status
from sync.wire.protocol import Hello, Message, Ping, Pong, Push

logger = structlog.get_logger(__name__)
Results = asyncio.Future[list[OpResult]]
_ops = {status: metrics.ops.labels(status) for status in get_args(Status)}


@dataclass(slots=True)
class _Push:
    """A push that was not acked yet; `mark`: when its ack may leave, where it must not tell by its time."""

    ref: int | None
    begun: float
    results: Results
    answered: bool = False
    mark: "asyncio.Future[None] | None" = None

    def may_leave(self) -> bool:
        """Whether the writer answered and, if there is a mark, it has come."""
        return self.answered and (self.mark is None or self.mark.done())


class Connection:
    """Owns one connection's session, outbox and client. Made and used on the event loop only."""

    def __init__(self, runtime: Runtime, send: Send) -> None:
        self.session = Session(runtime.limits)
        self.client: Client | None = None
        self._runtime = runtime
        self._outbox = SendBuffer(send, runtime.settings, on_broken=self._broken)
        self._requests: deque[Message] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._acks: deque[_Push] = deque()
        self._untold: list[str] = []
        self._told: list[str] = []
        self._hello_timer = asyncio.get_running_loop().call_later(runtime.limits.hello_seconds, self._hello_timed_out)

    @property
    def device_id(self) -> str | None:
        """The device at the other end, once it said hello."""
        return None if self.client is None else self.client.identity.device_id

    @property
    def confirmed_cursor(self) -> int:
        """How far the client says it is."""
        return 0 if self.client is None else self.client.confirmed_cursor

    def receive(self, event: dict[str, Any]) -> None:
        """Take an ASGI `websocket.receive` event."""
        text = event.get("text")
        self._perform(self.session.receive_binary() if text is None else self.session.receive(text))

    def fail(self, code: Code, message: str, *, ref: int | None = None, retry_after: float | None = None) -> None:
        """Answer with an error."""
        self._perform(self.session.fail(code, message, ref=ref, retry_after=retry_after))

    def ping(self) -> None:
        """Ask the client for a sign of life and for its cursor."""
        self._outbox.put(frames.message("ping"))

    def settled(self, news: list[dict[str, Any]]) -> None:
        """Tell the device of conflicts that were settled elsewhere, each once."""
        known = {*self._untold, *self._told}
        for item in news:
            if item["conflict"] not in known:
                self._outbox.put(frames.message("settled", **item))
                self._untold.append(item["conflict"])

    def take_told(self) -> list[str]:
        """Return the conflicts the client has surely been told of, since the last call."""
        told, self._told = self._told, []
        return told

    async def drain(self, retry_after: float, close_code: int) -> None:
        """Answer what was pushed, say bye, close."""
        while self._acks:
            first = self._acks[0]
            await asyncio.wait([first.mark or first.results])
            await asyncio.sleep(0)  # its callback sends the ack, and looks at the push behind it
        self._perform(self.session.bye("drain", retry_after, close_code))
        await self._outbox.flushed()

    def closed(self) -> None:
        """The socket is gone: let go of everything. Ops that were pushed are written all the same."""
        self.session.state = State.CLOSED
        self._hello_timer.cancel()
        self._runtime.forget(self)
        if self.client is not None:
            self.client.stream.stop()
        self._outbox.discard()
        if self._worker is not None:
            self._worker.cancel()

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Reply(text, code):
                    if code is not None:
                        metrics.protocol_errors.labels(code).inc()
                    self._outbox.put(text)
                case Do(message):
                    self._do(message)
                case Close(code):
                    if self.client is not None:
                        self.client.stream.stop()
                    self._outbox.close(code)

    def _do(self, message: Message) -> None:
        client = self.client
        if isinstance(message, Push) and client is not None:
            self._push(message, client)
        elif isinstance(message, Ping):
            cursor = None if client is None else client.stream.cursor
            self._outbox.put(frames.message("pong", message.ref, cursor=cursor, at=wire_time(datetime.now(UTC))))
        elif isinstance(message, Pong):
            self.session.request_answered()
            self._outbox.confirm(message.ref)
            self._has_read()
            if client is not None:
                client.confirmed(message.cursor)
        else:
            self._requests.append(message)
            if self._worker is None:
                self._worker = asyncio.get_running_loop().create_task(self._work())

    def _has_read(self) -> None:
        """The client answered, so it has read what it was told before."""
        if self._untold:
            self._told, self._untold = self._told + self._untold, []

    def _broken(self, slow: bool) -> None:
        """The outbox gave up: the client does not read, or the socket is gone."""
        if self.client is not None:
            self.client.stream.stop()
        self._runtime.abort(self, Code.TOO_SLOW if slow else None)

    def _hello_timed_out(self) -> None:
        self._perform(self.session.hello_timed_out())

    def _push(self, message: Push, client: Client) -> None:
        client.confirmed(message.cursor)
        metrics.pushes.inc()
        future = get_writer().submit(PushJob(client.actor, message.ops, message.schema_version))
        push = _Push(message.ref, time.perf_counter(), future)
        self._acks.append(push)
        future.add_done_callback(lambda _: self._answered(push))

    def _answered(self, push: _Push) -> None:
        """The writer is done with a push; an op that it refused to somebody who does not see everything waits for a mark."""
        if self._refuses(push.results):
            push.mark = self._runtime.marks.after(push.begun)
            push.mark.add_done_callback(self._send_acks)
        push.answered = True
        self._send_acks()

    def _send_acks(self, _: object = None) -> None:
        """Send the acks that may leave, in the order of the pushes."""
        while self._acks and self._acks[0].may_leave():
            push = self._acks.popleft()
            ref, future = push.ref, push.results
            self.session.push_answered()
            if future.cancelled():
                continue
            error = future.exception()
            if error is None:
                self._ack(ref, push.begun, future.result())
            elif isinstance(error, SyncError):
                self.fail(code_of(error.code), error.message, ref=ref, retry_after=error.retry_after)
            else:
                logger.error("push_failed", device=self.device_id, exc_info=error)
                self.fail(Code.INTERNAL, "The server failed on this push. Try again later.", ref=ref, retry_after=5)

    def _refuses(self, results: Results) -> bool:
        if (
            self.client is None
            or not self.client.channel.filtered
            or results.cancelled()
            or results.exception() is not None
        ):
            return False
        return any(result.status == "rejected" for result in results.result())

    def _ack(self, ref: int | None, begun: float, results: list[OpResult]) -> None:
        self._outbox.put(frames.ack([result.wire() for result in results], ref=ref))
        metrics.push_seconds.observe(time.perf_counter() - begun)
        for status, count in Counter(result.status for result in results).items():
            _ops[status].inc(count)

    async def _work(self) -> None:
        """Carry out the requests, one after the other."""
        try:
            while self._requests:
                message = self._requests.popleft()
                await self._answer(message)
                if not isinstance(message, Hello):
                    self.session.request_answered()
        finally:
            self._worker = None

    async def _answer(self, message: Message) -> None:
        ref = message.ref
        try:
            await self._outbox.room()
            if isinstance(message, Hello):
                await self._greet(message)
            elif self.client is not None:
                self._has_read()
                await self.client.carry_out(message)
        except SyncError as refused:
            self.fail(code_of(refused.code), refused.message, ref=ref, retry_after=refused.retry_after)
        except DatabaseError:
            logger.exception("request_failed", request=type(message).__name__, device=self.device_id)
            self.fail(Code.UNAVAILABLE, "The database did not answer. Try again.", ref=ref, retry_after=2)
        except Exception:
            logger.exception("request_failed", request=type(message).__name__, device=self.device_id)
            self.fail(Code.INTERNAL, "The server failed on this request.", ref=ref, retry_after=5)
        if self.session.state is State.GREETING:  # a hello that failed for no fault of the client's
            self._perform(self.session.bye("unavailable", self._runtime.settings.drain_seconds, INTERNAL))

    async def _greet(self, hello: Hello) -> None:
        self._hello_timer.cancel()
        if self._runtime.draining:
            raise SyncError(
                Code.SHUTTING_DOWN, "The server is going down.", retry_after=self._runtime.settings.drain_seconds
            )
        try:
            greeting = await self._runtime.pool.run(greet, hello)
        except SyncError as refused:
            metrics.hellos.labels(refused.code).inc()
            raise
        if self.session.state is not State.GREETING:
            return
        metrics.hellos.labels("welcome").inc()
        self.client = Client(greeting, hello, self._runtime, self._outbox, self.fail)
        self._untold = [item["conflict"] for item in greeting.settled]
        self.session.greeted()
        self._outbox.put(self.client.welcome(self.session.limits, hello.ref))
        self._runtime.register(self, greeting.identity.device_id)
