"""One connection: feed what arrives to the pure session and carry out its actions.

Pushes go straight to the writer, several at a time, and are acknowledged in order of arrival. All other requests that
read the database are handled one at a time, by a task that lives only while there are any.
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
from sync.records.turns import Asker
from sync.settle.writer import PushJob, get_writer
from sync.transports.errors import CLOSE_CODES, INTERNAL, code_of
from sync.transports.runtime import Runtime
from sync.transports.socket.client import Client
from sync.transports.socket.hello import greet
from sync.transports.socket.send_buffer import Send, SendBuffer
from sync.transports.socket.session import Action, Close, Do, Reply, Session, State
from sync.wire import frames
from sync.wire.codes import Code
from sync.wire.limits import OFF_LOOP_BYTES
from sync.wire.lines import wire_time
from sync.wire.ops import OpResult, Status
from sync.wire.protocol import Hello, Message, Ping, Pong, Push

logger = structlog.get_logger(__name__)
Results = asyncio.Future[list[OpResult]]
_ops = {status: metrics.ops.labels(status) for status in get_args(Status)}


@dataclass(slots=True)
class _Push:
    """A push awaiting its ack. `tick`: when the ack may leave, if its timing is sensitive."""

    ref: int | None
    started: float
    results: Results
    answered: bool = False
    tick: "asyncio.Future[None] | None" = None

    def may_leave(self) -> bool:
        """Whether the writer has responded and the tick, if any, has passed."""
        return self.answered and (self.tick is None or self.tick.done())


class Connection:
    """One connection's session, send buffer, and client. Created and used on the event loop only."""

    def __init__(self, runtime: Runtime, send: Send) -> None:
        self.session = Session(runtime.limits)
        self.client: Client | None = None
        self.close_code = INTERNAL  # for a connection that is aborted
        self._runtime = runtime
        self._buffer = SendBuffer(send, runtime.settings, on_broken=self._broken)
        self._requests: deque[Message] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._acks: deque[_Push] = deque()
        self._unconfirmed: list[str] = []
        self._notified: list[str] = []
        self._hello_timer = asyncio.get_running_loop().call_later(runtime.limits.hello_seconds, self._hello_timed_out)

    @property
    def device_id(self) -> str | None:
        """The connected device, after its hello."""
        return None if self.client is None else self.client.identity.device_id

    @property
    def confirmed_cursor(self) -> int:
        """The cursor the client last confirmed."""
        return 0 if self.client is None else self.client.confirmed_cursor

    async def receive(self, event: dict[str, Any]) -> None:
        """Handle an ASGI `websocket.receive` event.

        A large frame is parsed in a thread, and the next one waits for it.
        """
        text = event.get("text")
        if text is None:
            self._perform(self.session.receive_binary())
        elif len(text) <= OFF_LOOP_BYTES:
            self._perform(self.session.receive(text))
        else:
            self._perform(self.session.act_on(await asyncio.to_thread(self.session.read, text)))

    def fail(self, code: Code, message: str, *, ref: int | None = None, retry_after: float | None = None) -> None:
        """Respond with an error."""
        self._perform(self.session.fail(code, message, ref=ref, retry_after=retry_after))

    def ping(self) -> None:
        """Ask the client to show that it is alive and to report its cursor."""
        self._buffer.put(frames.message("ping"))

    def settled(self, notifications: list[dict[str, Any]]) -> None:
        """Notify the device once of each conflict that was resolved elsewhere."""
        known = {*self._unconfirmed, *self._notified}
        for item in notifications:
            if item["conflict"] not in known:
                self._buffer.put(frames.message("settled", **item))
                self._unconfirmed.append(item["conflict"])

    def take_notified(self) -> list[str]:
        """Return the conflicts whose notification the client has received since the last call."""
        notified, self._notified = self._notified, []
        return notified

    async def drain(self, retry_after: float, close_code: int) -> None:
        """Finish accepted pushes, say goodbye, and close."""
        while self._acks:
            first = self._acks[0]
            await asyncio.wait([first.tick or first.results])
            await asyncio.sleep(0)  # its callback sends the ack and checks the push behind it
        self._perform(self.session.bye("drain", retry_after, close_code))
        await self._buffer.flushed()

    def closed(self) -> None:
        """Release everything after the socket is gone. Accepted pushes are still written."""
        self.session.state = State.CLOSED
        self._hello_timer.cancel()
        self._runtime.forget(self)
        if self.client is not None:
            self.client.stream.stop()
        self._buffer.discard()
        if self._worker is not None:
            self._worker.cancel()

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Reply(text, code, limit):
                    if code is not None:
                        metrics.protocol_errors.labels(code).inc()
                    if limit is not None:
                        metrics.limit_rejections.labels(limit).inc()
                    self._buffer.put(text)
                case Do(message):
                    self._do(message)
                case Close(code):
                    if self.client is not None:
                        self.client.stream.stop()
                    self._buffer.close(code)

    def _do(self, message: Message) -> None:
        client = self.client
        if isinstance(message, Push) and client is not None:
            self._push(message, client)
        elif isinstance(message, Ping):
            cursor = None if client is None else client.stream.cursor
            self._buffer.put(frames.message("pong", message.ref, cursor=cursor, at=wire_time(datetime.now(UTC))))
        elif isinstance(message, Pong):
            self.session.request_answered()
            self._buffer.confirm(message.ref)
            self._has_read()
            if client is not None:
                client.confirmed(message.cursor)
        else:
            self._requests.append(message)
            if self._worker is None:
                self._worker = asyncio.get_running_loop().create_task(self._work())

    def _has_read(self) -> None:
        """Note that the client responded, so it has received all earlier notifications."""
        if self._unconfirmed:
            self._notified, self._unconfirmed = self._notified + self._unconfirmed, []

    def _broken(self, slow: bool) -> None:
        """Handle a failed send buffer: the client does not read, or the socket is gone."""
        if self.client is not None:
            self.client.stream.stop()
        if slow:
            self.close_code = CLOSE_CODES[Code.TOO_SLOW]
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
        """Handle the writer's result. In a filtered channel, a push with a rejected op waits for a tick."""
        if self._has_rejection(push.results):
            push.tick = self._runtime.grid.after(push.started)
            push.tick.add_done_callback(self._send_acks)
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
                self._ack(ref, push.started, future.result())
            elif isinstance(error, SyncError):
                self.fail(code_of(error.code), error.message, ref=ref, retry_after=error.retry_after)
            else:
                logger.error("push_failed", device=self.device_id, exc_info=error)
                self.fail(
                    Code.INTERNAL, "The server couldn't process this push. Try again later.", ref=ref, retry_after=5
                )

    def _has_rejection(self, results: Results) -> bool:
        if (
            self.client is None
            or not self.client.channel.filtered
            or results.cancelled()
            or results.exception() is not None
        ):
            return False
        return any(result.status == "rejected" for result in results.result())

    def _ack(self, ref: int | None, started: float, results: list[OpResult]) -> None:
        self._buffer.put(frames.ack([result.wire() for result in results], ref=ref))
        metrics.push_seconds.observe(time.perf_counter() - started)
        for status, count in Counter(result.status for result in results).items():
            _ops[status].inc(count)

    async def _work(self) -> None:
        """Handle the queued requests one at a time."""
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
            await self._buffer.room()
            if isinstance(message, Hello):
                await self._greet(message)
            elif self.client is not None:
                self._has_read()
                await self.client.carry_out(message)
        except SyncError as error:
            self.fail(code_of(error.code), error.message, ref=ref, retry_after=error.retry_after)
        except DatabaseError:
            logger.exception("request_failed", request=type(message).__name__, device=self.device_id)
            self.fail(Code.UNAVAILABLE, "The database didn't respond. Try again.", ref=ref, retry_after=2)
        except Exception:
            logger.exception("request_failed", request=type(message).__name__, device=self.device_id)
            self.fail(Code.INTERNAL, "The server couldn't process this request.", ref=ref, retry_after=5)
        if self.session.state is State.GREETING:  # a hello that failed through no fault of the client
            self._perform(self.session.bye("unavailable", self._runtime.settings.drain_seconds, INTERNAL))

    async def _greet(self, hello: Hello) -> None:
        self._hello_timer.cancel()
        if self._runtime.draining:
            raise SyncError(
                Code.SHUTTING_DOWN, "The server is shutting down.", retry_after=self._runtime.settings.drain_seconds
            )
        try:
            # The tenant is not known yet. A device that claims to be another one only queues behind it.
            greeting = await self._runtime.hellos.run_for(Asker(device=hello.device), greet, hello)
        except SyncError as error:
            metrics.hellos.labels(error.code).inc()
            raise
        if self.session.state is not State.GREETING:
            return
        metrics.hellos.labels("welcome").inc()
        self.client = Client(greeting, hello, self._runtime, self._buffer, self.fail)
        self._unconfirmed = [item["conflict"] for item in greeting.settled]
        self.session.greeted()
        self._buffer.put(self.client.welcome(self.session.limits, hello.ref))
        self._runtime.register(self, greeting.identity.device_id)
