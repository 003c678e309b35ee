"""Group commit: one thread per process writes waiting pushes, tenant by tenant, and responds once they are durable.

There is no timer. While one batch commits, the next one collects. So a single push is written at once, and many
pushes share commits. Measurements and reasons are in docs/adr/0003-settle-in-memory.md.
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
from sync.settle.tx import group_by_tx
from sync.wire.codes import Code
from sync.wire.ops import Actor, Op, OpResult
from tenants.errors import MoatError
from tenants.locks import tenant_transaction

logger = structlog.get_logger(__name__)

_IDLE_CHECK = 10.0
"""Seconds without work after which the connection is checked before the next use."""
_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 1.0


# Not frozen, as `Op` is not: one is made per push.
@dataclass(slots=True)
class PushJob:
    """A push to write. Its ops were made under `schema_version`."""

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
    """The waiting pushes of one tenant. After a failure, none is tried before `not_before` (monotonic seconds)."""

    waiting: deque[_Waiting] = field(default_factory=deque)
    not_before: float = 0.0


class Writer:
    """Writes pushes in one thread. Can be used from any event loop and thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queues: OrderedDict[int, _Queue] = OrderedDict()
        self._waiting_ops = 0
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._raw: object = None
        self._last_used = 0.0

    def submit(self, job: PushJob) -> "asyncio.Future[list[OpResult]]":
        """Queue a push. The future, on the running loop, receives the durable results or raises `PushRejected`."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[OpResult]] = loop.create_future()
        with self._changed:
            if self._stopping:
                _reject(future, PushRejected(Code.SHUTTING_DOWN, "The server is shutting down.", retry_after=1))
            elif self._waiting_ops + len(job.ops) > engine_settings().queue_ops and self._waiting_ops:
                message = "The write queue is full. Try again shortly."
                _reject(future, PushRejected(Code.OVERLOADED, message, retry_after=1))
            else:
                self._queues.setdefault(job.actor.tenant_id, _Queue()).waiting.append(_Waiting(job, loop, future))
                self._waiting_ops += len(job.ops)
                self._start()
                self._changed.notify()
        return future

    @property
    def healthy(self) -> bool:
        """Whether pushes are written: the thread is alive, or will start with the first push."""
        return not self._stopping and (self._thread is None or self._thread.is_alive())

    def stop(self) -> None:
        """Accept no more pushes, write the waiting ones, and end the thread. Blocks. The writer can be used again."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
        with self._changed:
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
        """Wait for work and return the next tenant's pushes; None if the writer is stopped and nothing is left."""
        with self._changed:
            while True:
                now = time.monotonic()
                for tenant_id, queue in self._queues.items():
                    if queue.not_before <= now:
                        return tenant_id, self._next_batch(tenant_id, queue)
                if self._stopping and not self._queues:
                    return None
                soonest = min((queue.not_before for queue in self._queues.values()), default=None)
                self._changed.wait(None if soonest is None else max(soonest - now, 0.001))

    def _next_batch(self, tenant_id: int, queue: _Queue) -> list[_Waiting]:
        """Remove a batch from a tenant's queue and move the tenant behind the others."""
        room, batch = engine_settings().batch_ops, [queue.waiting.popleft()]
        room -= len(batch[0].job.ops)
        # A push that failed repeatedly is tried alone, so that it does not delay others.
        while (
            queue.waiting
            and batch[0].attempts < 2  # those behind it were tried no more often: a failed push returns to the head
            and len(queue.waiting[0].job.ops) <= room
        ):
            batch.append(queue.waiting.popleft())
            room -= len(batch[-1].job.ops)
        if queue.waiting:
            self._queues.move_to_end(tenant_id)
        else:
            del self._queues[tenant_id]
        self._waiting_ops -= sum(len(each.job.ops) for each in batch)
        return batch

    def _write(self, tenant_id: int, batch: list[_Waiting]) -> None:
        try:
            written = self._settle(tenant_id, [(each.job.actor, each.job.ops) for each in batch])
        except (OperationalError, InterfaceError) as error:
            self._retry_later(tenant_id, batch, error)
        except MoatError as error:
            rejection = PushRejected(Code.UNAVAILABLE, error.message)
            _deliver([(each, rejection) for each in batch])
        except Exception:
            if len(batch) > 1:
                for each in batch:
                    self._write(tenant_id, [each])
            else:
                self._write_by_tx(tenant_id, batch[0])
        else:
            _deliver(list(zip(batch, written.results, strict=True)))
            push.announce(written)

    def _settle(self, tenant_id: int, pushes: list[tuple[Actor, Sequence[Op]]]) -> BatchResult:
        self._prepare_connection()
        with tenant_transaction(tenant_id) as locked:
            return settle(locked, pushes)

    def _write_by_tx(self, tenant_id: int, waiting: _Waiting) -> None:
        """Write a push that failed unexpectedly one tx at a time, so that only the failing ops are rejected."""
        results: list[OpResult] = []
        actor = waiting.job.actor
        for ops in group_by_tx(waiting.job.ops):
            try:
                written = self._settle(tenant_id, [(actor, ops)])
            except Exception:
                logger.exception(
                    "ops_failed", tenant_id=tenant_id, device=actor.device_id, op_ids=[op.op_id for op in ops]
                )
                message = "The server couldn't process this edit. Details are in the server log."
                results += [OpResult(op.op_id, "rejected", code=Code.INTERNAL, message=message) for op in ops]
                continue
            push.announce(written)
            result = written.results[0]
            if isinstance(result, PushRejected):
                _deliver([(waiting, result)])
                return
            results += result
        _deliver([(waiting, results)])

    def _retry_later(self, tenant_id: int, batch: list[_Waiting], error: Exception) -> None:
        """Return a batch to the head of its tenant's queue. Reject pushes that waited too long as `unavailable`."""
        # The state of the connection is unknown. If the COMMIT succeeded after all, the ops are duplicates next time.
        connection.close()
        now, limit = time.monotonic(), engine_settings().give_up_after
        late = [each for each in batch if now - each.since > limit]
        rest = [each for each in batch if now - each.since <= limit]
        attempts = max(each.attempts for each in batch)
        logger.warning(
            "write_postponed", tenant_id=tenant_id, attempts=attempts + 1, error=str(error), given_up=len(late)
        )
        unavailable = PushRejected(Code.UNAVAILABLE, "The database timed out. Try again.", retry_after=5)
        _deliver([(each, unavailable) for each in late])
        with self._changed:
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
                # A tenant that is locked elsewhere (by a publish) must not delay the others.
                sql.run(
                    "SELECT set_config('lock_timeout', %s, false)", [f"{int(engine_settings().lock_seconds * 1000)}ms"]
                )


def _deliver(results: Sequence[tuple[_Waiting, PushResult]]) -> None:
    """Pass results to their event loops, with one wake-up per loop."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[_Waiting, PushResult]]] = {}
    for waiting, result in results:
        loops.setdefault(waiting.loop, []).append((waiting, result))
    for loop, own_results in loops.items():
        try:
            loop.call_soon_threadsafe(_set_results, own_results)
        except RuntimeError:
            # The loop is closed, so the caller is gone. Its client will send the ops again.
            logger.info("answers_not_delivered", pushes=len(own_results))


def _set_results(results: Sequence[tuple[_Waiting, PushResult]]) -> None:
    for waiting, result in results:
        if waiting.future.done():
            continue
        if isinstance(result, PushRejected):
            _reject(waiting.future, result)
        else:
            waiting.future.set_result(result)


def _reject(future: "asyncio.Future[list[OpResult]]", rejection: PushRejected) -> None:
    future.set_exception(rejection)
    # The caller may have disconnected. Retrieve the exception so that asyncio does not log it.
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
