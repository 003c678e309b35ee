"""Pushes that wait for the writer, what each turn takes of them, and how their callers are answered."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from sync.errors import PushRejected
from sync.settle import PushResult
from sync.wire.ops import Actor, Op, OpResult


# Not frozen, as `Op` is not: one is made per push.
@dataclass(slots=True)
class PushJob:
    """A push to write. Its ops were made under `schema_version`."""

    actor: Actor
    ops: Sequence[Op]
    schema_version: int | None = None


@dataclass(slots=True, eq=False)
class Waiting:
    """A push that waits. `results` are those of its first ops; `taken` of the others are in the current turn."""

    job: PushJob
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[list[OpResult]]"
    since: float = field(default_factory=time.monotonic)
    attempts: int = 0
    results: list[OpResult] = field(default_factory=list)
    taken: int = 0

    @property
    def left(self) -> int:
        """How many of its ops have no result."""
        return len(self.job.ops) - len(self.results)

    def next_ops(self) -> Sequence[Op]:
        """Return the ops of the turn that is under way."""
        start = len(self.results)
        return self.job.ops[start : start + self.taken]

    def take(self, room: int) -> int:
        """Take as many ops as there is room for, at least one tx, and only whole ones. Returns their number."""
        ops, start = self.job.ops, len(self.results)
        end = len(ops)
        if end - start > room:
            end = start + max(room, 1)
            while end > start + 1 and same_tx(ops[end - 1], ops[end]):
                end -= 1
            while end < len(ops) and same_tx(ops[end - 1], ops[end]):  # the first tx alone is longer than the room
                end += 1
        self.taken = end - start
        return self.taken


@dataclass(slots=True)
class Queue:
    """The waiting pushes of one tenant. After a failure, none is tried before `not_before` (monotonic seconds)."""

    waiting: deque[Waiting] = field(default_factory=deque)
    not_before: float = 0.0


def same_tx(op: Op, other: Op) -> bool:
    """Return whether two neighbouring ops belong to one tx."""
    return op.tx is not None and op.tx == other.tx


def deliver(results: Sequence[tuple[Waiting, PushResult]]) -> None:
    """Pass results to their event loops, with one wake-up per loop."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[Waiting, PushResult]]] = {}
    for waiting, result in results:
        loops.setdefault(waiting.loop, []).append((waiting, result))
    for loop, own_results in loops.items():
        try:
            loop.call_soon_threadsafe(_set_results, own_results)
        except RuntimeError:
            # The loop is closed, so the caller is gone. Its client will send the ops again.
            continue


def _set_results(results: Sequence[tuple[Waiting, PushResult]]) -> None:
    for waiting, result in results:
        if waiting.future.done():
            continue
        if isinstance(result, PushRejected):
            reject(waiting.future, result)
        else:
            waiting.future.set_result(result)


def reject(future: "asyncio.Future[list[OpResult]]", rejection: PushRejected) -> None:
    """Reject a push, on its event loop."""
    future.set_exception(rejection)
    # The caller may have disconnected. Retrieve the exception so that asyncio does not log it.
    future.exception()
