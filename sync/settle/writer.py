"""Group commit: one thread per process writes whatever waits, tenant by tenant, and answers when it is durable.

There is no timer. While one batch is committed the next one gathers by itself, so a lone push is written at once and a
storm shares its commits. Measured figures and the reasons are in docs/adr/0003-settle-in-memory.md.
"""

import asyncio
import os
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog
from django.db import InterfaceError, OperationalError, connection

from sync.conf import engine_settings
from sync.errors import PushRejected
from sync.records import sql
from sync.settle import BatchResult, PushResult, push, settle
from sync.settle.gc_tuning import reduce_gc
from sync.wire.codes import Code
from sync.wire.ops import Actor, Op, OpResult
from tenants.errors import MoatError
from tenants.locks import tenant_transaction

logger = structlog.get_logger(__name__)

_IDLE_CHECK = 10.0
"""Seconds without work after which the connection is looked at before it is used again."""
_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 1.0


# Not frozen, as `Op` is not: one is made per push.
@dataclass(slots=True)
class PushJob:
    """A push to write. `schema_version` is the one its ops were made under."""

    actor: Actor
    ops: Sequence[Op]
    schema_version: int | None = None


@dataclass(slots=True)
class _Waiting:
    job: PushJob
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[list[OpResult]]"
    since: float = field(default_factory=time.monotonic)
    attempts: int = 0


@dataclass(slots=True)
class _Queue:
    """What waits of one tenant; not before `not_before` (monotonic seconds) when the database was busy."""

    waiting: deque[_Waiting] = field(default_factory=deque)
    not_before: float = 0.0


class Writer:
    """Writes pushes in one thread. Safe to use from any event loop and thread."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._queues: OrderedDict[int, _Queue] = OrderedDict()
        self._waiting_ops = 0
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._raw: object = None
        self._last_used = 0.0

    def submit(self, job: PushJob) -> "asyncio.Future[list[OpResult]]":
        """Queue a push; the future, of the running loop, has its results once they are durable, or `PushRefused`."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[OpResult]] = loop.create_future()
        with self._news:
            if self._stopping:
                _refuse(future, PushRejected(Code.SHUTTING_DOWN, "The server is going down.", retry_after=1))
            elif self._waiting_ops + len(job.ops) > engine_settings().queue_ops and self._waiting_ops:
                _refuse(future, PushRejected(Code.OVERLOADED, "Too much is waiting to be written.", retry_after=1))
            else:
                self._queues.setdefault(job.actor.tenant_id, _Queue()).waiting.append(_Waiting(job, loop, future))
                self._waiting_ops += len(job.ops)
                self._start()
                self._news.notify()
        return future

    @property
    def healthy(self) -> bool:
        """Whether pushes are written: the thread lives, or starts with the first push."""
        return not self._stopping and (self._thread is None or self._thread.is_alive())

    def stop(self) -> None:
        """Take nothing more, write what waits, and end the thread. Blocks; a writer that was stopped can be used again."""
        with self._news:
            self._stopping = True
            self._news.notify()
        if self._thread is not None:
            self._thread.join()
        with self._news:
            self._thread, self._stopping = None, False

    def _start(self) -> None:
        if self._thread is None:
            reduce_gc()
            self._thread = threading.Thread(target=self._run, name="moat-writer", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        try:
            while (turn := self._next()) is not None:
                self._write(*turn)
        finally:
            connection.close()

    def _next(self) -> tuple[int, list[_Waiting]] | None:
        """Wait for work and return the next tenant's pushes; None when stopped and nothing is left."""
        with self._news:
            while True:
                now = time.monotonic()
                for tenant_id, queue in self._queues.items():
                    if queue.not_before <= now:
                        return tenant_id, self._take(tenant_id, queue)
                if self._stopping and not self._queues:
                    return None
                soonest = min((queue.not_before for queue in self._queues.values()), default=None)
                self._news.wait(None if soonest is None else max(soonest - now, 0.001))

    def _take(self, tenant_id: int, queue: _Queue) -> list[_Waiting]:
        """Take a batch from a tenant's queue and send the tenant to the end of the line."""
        room, taken = engine_settings().batch_ops, [queue.waiting.popleft()]
        room -= len(taken[0].job.ops)
        # What failed repeatedly is tried alone, so that it holds nobody else up.
        while (
            queue.waiting
            and taken[0].attempts < 2
            and queue.waiting[0].attempts < 2
            and len(queue.waiting[0].job.ops) <= room
        ):
            taken.append(queue.waiting.popleft())
            room -= len(taken[-1].job.ops)
        if queue.waiting:
            self._queues.move_to_end(tenant_id)
        else:
            del self._queues[tenant_id]
        self._waiting_ops -= sum(len(each.job.ops) for each in taken)
        return taken

    def _write(self, tenant_id: int, batch: list[_Waiting]) -> None:
        try:
            outcome = self._settle(tenant_id, [(each.job.actor, each.job.ops) for each in batch])
        except (OperationalError, InterfaceError) as error:
            self._retry_later(tenant_id, batch, error)
        except MoatError as error:
            refused = PushRejected(Code.UNAVAILABLE, error.message)
            _deliver([(each, refused) for each in batch])
        except Exception:
            if len(batch) > 1:
                for each in batch:
                    self._write(tenant_id, [each])
            else:
                self._write_by_tx(tenant_id, batch[0])
        else:
            _deliver(list(zip(batch, outcome.results, strict=True)))
            push.announce(outcome)

    def _settle(self, tenant_id: int, pushes: list[tuple[Actor, Sequence[Op]]]) -> BatchResult:
        self._prepare_connection()
        with tenant_transaction(tenant_id) as locked:
            return settle(locked, pushes)

    def _write_by_tx(self, tenant_id: int, waiting: _Waiting) -> None:
        """Write a push that failed unexpectedly tx by tx, so that only what is really bad is answered `internal`."""
        results: list[OpResult] = []
        actor = waiting.job.actor
        for ops in _by_tx(waiting.job.ops):
            try:
                outcome = self._settle(tenant_id, [(actor, ops)])
            except Exception:
                logger.exception(
                    "ops_failed", tenant_id=tenant_id, device=actor.device_id, op_ids=[op.op_id for op in ops]
                )
                message = "The server failed on this op; its log has the details."
                results += [OpResult(op.op_id, "rejected", code=Code.INTERNAL, message=message) for op in ops]
                continue
            push.announce(outcome)
            result = outcome.results[0]
            if isinstance(result, PushRejected):
                _deliver([(waiting, result)])
                return
            results += result
        _deliver([(waiting, results)])

    def _retry_later(self, tenant_id: int, batch: list[_Waiting], error: Exception) -> None:
        """Put a batch back at the head of its tenant's queue; what waited too long is answered `unavailable`."""
        # Nothing is known about the connection any more. Should the COMMIT have succeeded, the ops are duplicates next time.
        connection.close()
        now, limit = time.monotonic(), engine_settings().give_up_after
        late = [each for each in batch if now - each.since > limit]
        rest = [each for each in batch if now - each.since <= limit]
        attempts = max(each.attempts for each in batch)
        logger.warning(
            "write_postponed", tenant_id=tenant_id, attempts=attempts + 1, error=str(error), given_up=len(late)
        )
        unavailable = PushRejected(Code.UNAVAILABLE, "The database did not answer in time.", retry_after=5)
        _deliver([(each, unavailable) for each in late])
        with self._news:
            queue = self._queues.setdefault(tenant_id, _Queue())
            queue.not_before = now + min(_FIRST_PAUSE * 2**attempts, _LONGEST_PAUSE)
            for each in reversed(rest):
                each.attempts += 1
                queue.waiting.appendleft(each)
                self._waiting_ops += len(each.job.ops)
            if not queue.waiting:
                del self._queues[tenant_id]

    def _prepare_connection(self) -> None:
        now = time.monotonic()
        if now - self._last_used > _IDLE_CHECK:
            connection.close_if_unusable_or_obsolete()
        self._last_used = now
        connection.ensure_connection()
        if connection.connection is not self._raw:
            self._raw = connection.connection
            if sql.postgresql():
                # A tenant that is busy elsewhere (a publish) must not hold the others up.
                sql.run(
                    "SELECT set_config('lock_timeout', %s, false)", [f"{int(engine_settings().lock_seconds * 1000)}ms"]
                )


def _by_tx(ops: Sequence[Op]) -> list[list[Op]]:
    groups: list[list[Op]] = []
    for op in ops:
        if groups and op.tx is not None and groups[-1][0].tx == op.tx:
            groups[-1].append(op)
        else:
            groups.append([op])
    return groups


def _deliver(answers: Sequence[tuple[_Waiting, PushResult]]) -> None:
    """Hand results to their event loops, with one wake-up per loop."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[_Waiting, PushResult]]] = {}
    for waiting, result in answers:
        loops.setdefault(waiting.loop, []).append((waiting, result))
    for loop, its in loops.items():
        try:
            loop.call_soon_threadsafe(_set_results, its)
        except RuntimeError:
            # The loop is closed: whoever asked is gone, and will send the ops again.
            logger.info("answers_not_delivered", pushes=len(its))


def _set_results(answers: Sequence[tuple[_Waiting, PushResult]]) -> None:
    for waiting, result in answers:
        if waiting.future.done():
            continue
        if isinstance(result, PushRejected):
            _refuse(waiting.future, result)
        else:
            waiting.future.set_result(result)


def _refuse(future: "asyncio.Future[list[OpResult]]", refused: PushRejected) -> None:
    future.set_exception(refused)
    # Whoever asked may be gone by now; then nobody misses the refusal. Looked at once, asyncio does not warn of it.
    future.exception()


_writer: tuple[int, Writer] | None = None
_making = threading.Lock()


def get_writer() -> Writer:
    """Return this process's writer; a forked process gets its own."""
    global _writer
    with _making:
        if _writer is None or _writer[0] != os.getpid():
            _writer = (os.getpid(), Writer())
        return _writer[1]
