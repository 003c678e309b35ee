"""Run a coroutine at once as far as it goes without waiting; a task is needed only for the rest, and mostly there is none.

Handing a frame to a socket that takes it never waits, and a task for each of a thousand subscribers costs as much as the sending.
"""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any


class _Rest:
    """What is left of a coroutine that was started and waits for something."""

    def __init__(self, started: Coroutine[Any, Any, None], awaited: Any) -> None:
        self._started, self._awaited = started, awaited

    def __await__(self) -> Generator[Any, Any, None]:
        awaited = self._awaited
        while True:
            try:
                answer = yield awaited
            except BaseException as error:
                done, awaited = self._throw(error)
            else:
                done, awaited = self._send(answer)
            if done:
                return

    def _send(self, answer: Any) -> tuple[bool, Any]:
        try:
            return False, self._started.send(answer)
        except StopIteration:
            return True, None

    def _throw(self, error: BaseException) -> tuple[bool, Any]:
        try:
            return False, self._started.throw(error)
        except StopIteration:
            return True, None


async def _finish(rest: _Rest) -> None:
    await rest


def run_eagerly(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
    """Start a coroutine; return None when it has finished, or a task that finishes it. Raises what it raises at once.

    It must not look at the current task before it first waits.
    """
    try:
        awaited = coroutine.send(None)
    except StopIteration:
        return None
    return asyncio.get_running_loop().create_task(_finish(_Rest(coroutine, awaited)))
