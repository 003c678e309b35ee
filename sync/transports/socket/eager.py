"""Run a coroutine until it first waits, and create a task only if it does.

A send to a socket with room never waits. For a thousand subscribers, a task per send would cost as much as the sends
themselves.
"""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any


class _Rest:
    """The rest of a coroutine that has started and is now waiting."""

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
    """Start a coroutine. Return None if it finished, else a task that finishes it.

    Raises what the coroutine raises before its first wait. Until then, it must not use the current task.
    """
    try:
        awaited = coroutine.send(None)
    except StopIteration:
        return None
    return asyncio.get_running_loop().create_task(_finish(_Rest(coroutine, awaited)))
