"""Group commit: one thread per process writes waiting pushes, tenant by tenant, and responds once they are durable.

There is no timer. While one batch commits, the next one collects. So a single push is written at once, and many
pushes share commits. Measurements and reasons are in docs/adr/0003-settle-in-memory.md.

Tenants take turns. A turn ends after some time or work, between two txs. The rest of its ops wait behind the other
tenants, and the tenant's next turn takes fewer. A batch that fails is rolled back, and its ops are retried in smaller
pieces in the same way. No error ends the thread.
"""

import asyncio
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence

from django.db import InterfaceError, OperationalError, connection

from sync.conf import engine_settings
from sync.errors import PushRejected
from sync.records import sql
from sync.settle import BatchResult, PushResult, push, settle
from sync.settle.gc_tuning import reduce_gc
from sync.settle.quiet_log import QuietLog, described
from sync.settle.turn import Turn
from sync.settle.waiting import PushJob, Queue, Waiting, deliver, reject, same_tx
from sync.wire.codes import Code
from sync.wire.ops import Actor, Op, OpResult
from tenants.errors import MoatError
from tenants.locks import tenant_transaction

__all__ = ["PushJob", "Writer", "get_writer"]

_IDLE_CHECK = 10.0
"""Seconds without work after which the connection is checked before the next use."""
_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 1.0


class Writer:
    """Writes pushes in one thread. Can be used from any event loop and thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queues: OrderedDict[int, Queue] = OrderedDict()
        self._waiting_ops = 0
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._raw: object = None
        self._log = QuietLog()
        #: Ops of a tenant's next turn, for tenants whose last turn was over too late or failed.
        self._rooms: dict[int, int] = {}
        self._last_used = 0.0

    def submit(self, job: PushJob) -> "asyncio.Future[list[OpResult]]":
        """Queue a push. The future, on the running loop, receives the durable results or raises `PushRejected`."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[OpResult]] = loop.create_future()
        with self._changed:
            if self._stopping:
                reject(future, PushRejected(Code.SHUTTING_DOWN, "The server is shutting down.", retry_after=1))
            elif self._waiting_ops + len(job.ops) > engine_settings().queue_ops and self._waiting_ops:
                message = "The write queue is full. Try again shortly."
                reject(future, PushRejected(Code.OVERLOADED, message, retry_after=1))
            else:
                self._queues.setdefault(job.actor.tenant_id, Queue()).waiting.append(Waiting(job, loop, future))
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
        if self._thread is None or not self._thread.is_alive():
            reduce_gc()
            self._thread = threading.Thread(target=self._run, name="moat-writer", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        try:
            while True:
                try:
                    turn = self._next()
                except Exception as error:
                    self._log.failed("writer_failed", error)
                    time.sleep(_LONGEST_PAUSE)
                    continue
                if turn is None:
                    return
                self._take_turn(*turn)
        finally:
            with self._changed:
                # The thread was made to exit. Waiting pushes must not depend on the next one.
                if self._queues and threading.current_thread() is self._thread:
                    self._thread = None
                    self._start()
            connection.close()

    def _take_turn(self, tenant_id: int, batch: list[Waiting]) -> None:
        """Write a batch. Whatever happens, each of its pushes is answered or waits again."""
        try:
            self._write(tenant_id, batch)
        except BaseException as error:
            # Whether the batch was committed is unknown. If it was, its ops are duplicates when they are sent again.
            self._log.failed("writer_failed", error, tenant_id=tenant_id, pushes=len(batch))
            unavailable = PushRejected(
                Code.UNAVAILABLE, "The server failed on this push. Send it again.", retry_after=5
            )
            self._forget(tenant_id, batch)
            deliver([(each, unavailable) for each in batch])
            if not isinstance(error, Exception):
                raise

    def _forget(self, tenant_id: int, batch: list[Waiting]) -> None:
        """Remove pushes from their queue, if they were put back."""
        with self._changed:
            queue = self._queues.get(tenant_id)
            for each in batch:
                if queue is not None and each in queue.waiting:
                    queue.waiting.remove(each)
                    self._waiting_ops -= each.left
            if queue is not None and not queue.waiting:
                del self._queues[tenant_id]

    def _next(self) -> tuple[int, list[Waiting]] | None:
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

    def _next_batch(self, tenant_id: int, queue: Queue) -> list[Waiting]:
        """Remove a batch from a tenant's queue and move the tenant behind the others."""
        room = self._rooms.get(tenant_id, engine_settings().batch_ops)
        taken = [queue.waiting.popleft()]
        room -= taken[0].take(room)
        # A push that failed repeatedly is tried alone, so that it does not delay others.
        while (
            queue.waiting
            and taken[-1].taken == taken[-1].left
            and taken[0].attempts < 2
            and queue.waiting[0].attempts < 2  # a push that got on since is before one that was only tried
            and queue.waiting[0].left <= room
        ):
            taken.append(queue.waiting.popleft())
            room -= taken[-1].take(room)
        if queue.waiting:
            self._queues.move_to_end(tenant_id)
        else:
            del self._queues[tenant_id]
        self._waiting_ops -= sum(each.left for each in taken)
        return taken

    def _write(self, tenant_id: int, batch: list[Waiting]) -> None:
        try:
            written = self._settle(tenant_id, [(each.job.actor, each.next_ops()) for each in batch])
        except (OperationalError, InterfaceError) as error:
            self._retry_later(tenant_id, batch, error)
        except MoatError as error:
            rejection = PushRejected(Code.UNAVAILABLE, error.message)
            deliver([(each, rejection) for each in batch])
        except Exception as error:
            self._retry_smaller(tenant_id, batch, error)
        else:
            self._settled(tenant_id, batch, written.results)
            push.announce(written)
            for failure in written.failures:
                self._log.failed("op_failed", failure.error, device=failure.device_id, op_id=failure.op_id)

    def _settle(self, tenant_id: int, pushes: list[tuple[Actor, Sequence[Op]]]) -> BatchResult:
        self._prepare_connection()
        with tenant_transaction(tenant_id) as locked:
            return settle(locked, pushes, Turn(engine_settings()))

    def _settled(self, tenant_id: int, batch: list[Waiting], results: Sequence[PushResult]) -> None:
        """Deliver the pushes that are done, and put the others back. Fewer or more ops are taken in the next turn."""
        answers: list[tuple[Waiting, PushResult]] = []
        rest: list[Waiting] = []
        asked = sum(each.taken for each in batch)
        done = 0
        for each, result in zip(batch, results, strict=True):
            if isinstance(result, PushRejected):
                done += each.taken
                answers.append((each, result))
                continue
            done += len(result)
            each.results += result
            each.attempts, each.since = 0, time.monotonic()
            if each.left:
                rest.append(each)
            else:
                answers.append((each, each.results))
        deliver(answers)
        if done < asked:
            self._rooms[tenant_id] = max(done, 1)
        elif (room := self._rooms.get(tenant_id)) is not None:
            self._set_room(tenant_id, room * 2)
        self._put_back(tenant_id, rest)

    def _set_room(self, tenant_id: int, room: int) -> None:
        if room < engine_settings().batch_ops:
            self._rooms[tenant_id] = room
        else:
            self._rooms.pop(tenant_id, None)

    def _put_back(self, tenant_id: int, batch: list[Waiting], not_before: float = 0.0) -> None:
        """Put pushes back at the head of their tenant's queue, and the tenant behind the others."""
        if not batch:
            return
        with self._changed:
            queue = self._queues.setdefault(tenant_id, Queue())
            queue.not_before = not_before
            for each in reversed(batch):
                queue.waiting.appendleft(each)
                self._waiting_ops += each.left
            self._queues.move_to_end(tenant_id)

    def _retry_smaller(self, tenant_id: int, batch: list[Waiting], error: Exception) -> None:
        """Retry a batch that failed unexpectedly with half of its ops.

        A tx that fails alone is rejected with `internal`.
        """
        asked = sum(each.taken for each in batch)
        first = batch[0]
        ops = first.next_ops()
        if len(batch) > 1 or not all(same_tx(ops[0], op) for op in ops[1:]):
            self._rooms[tenant_id] = max(asked // 2, 1)
            self._put_back(tenant_id, batch)
            return
        self._log.failed("ops_failed", error, tenant_id=tenant_id, device=first.job.actor.device_id, ops=len(ops))
        message = "The server couldn't process this edit. Details are in the server log."
        results = [OpResult(op.op_id, "rejected", code=Code.INTERNAL, message=message) for op in ops]
        self._settled(tenant_id, batch, [results])

    def _retry_later(self, tenant_id: int, batch: list[Waiting], error: Exception) -> None:
        """Return a batch to the head of its tenant's queue. Reject pushes that waited too long as `unavailable`."""
        # The state of the connection is unknown. If the COMMIT succeeded after all, the ops are duplicates next time.
        connection.close()
        now, limit = time.monotonic(), engine_settings().give_up_after
        late = [each for each in batch if now - each.since > limit]
        rest = [each for each in batch if now - each.since <= limit]
        attempts = max(each.attempts for each in batch)
        self._log.warning(
            "write_postponed", tenant_id=tenant_id, attempts=attempts + 1, error=described(error), given_up=len(late)
        )
        unavailable = PushRejected(Code.UNAVAILABLE, "The database timed out. Try again.", retry_after=5)
        deliver([(each, unavailable) for each in late])
        for each in rest:
            each.attempts += 1
        self._put_back(tenant_id, rest, now + min(_FIRST_PAUSE * 2**attempts, _LONGEST_PAUSE))

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


_writer: tuple[int, Writer] | None = None
_making = threading.Lock()


def get_writer() -> Writer:
    """Return this process's writer; a forked process gets its own."""
    global _writer
    with _making:
        if _writer is None or _writer[0] != os.getpid():
            _writer = (os.getpid(), Writer())
        return _writer[1]
