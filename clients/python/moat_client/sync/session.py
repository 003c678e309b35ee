"""Keep a replica in sync: run the engine over a WebSocket and the replica's file."""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from moat_client.engine import Engine, State, Status
from moat_client.engine import events as ev
from moat_client.engine.machine import Identity
from moat_client.errors import MoatError, Unreachable
from moat_client.net.urls import base_url, secure_url, socket_url
from moat_client.replica.clock import now_text
from moat_client.replica.credentials import load_token
from moat_client.replica.problems import Problem
from moat_client.replica.replica import Replica, ReplicaStatus
from moat_client.replica.store import Writing, get_state, set_state
from moat_client.sync.backend import Backend
from moat_client.sync.lock import SyncLock
from moat_client.sync.websocket import Socket
from moat_client.wire.codec import dumps, loads
from moat_client.wire.lines import ChangeLine, decode_change

POLL_SECONDS = 0.05
VERIFY_SECONDS = 30.0


@dataclass(slots=True)
class Hooks:
    """Callbacks on the event loop: for states, applied changes, notices, and conflicts resolved elsewhere."""

    on_status: Callable[[Status], None] = lambda status: None
    on_change: Callable[[ChangeLine], None] | None = None
    on_notice: Callable[[str, str], None] = lambda code, message: None
    on_settled: Callable[[list[Problem]], None] = lambda problems: None


class Stopped(MoatError):
    """The engine stopped until a person acts; `code` says why."""

    code = "stopped"


class Sync:
    """Sync one replica with its server. Only one Sync at a time may use a replica file, across all processes."""

    def __init__(
        self, replica: Replica, url: str = "", *, token: str = "", device: str = "", hooks: Hooks | None = None
    ) -> None:
        with replica.store.read() as (con, _):
            known = {key: get_state(con, key) for key in ("url", "device")}
        token = token or load_token(replica.store)
        if not (url or known["url"]) or not token:
            raise MoatError("This replica isn't signed in. Run moat login first.", code="no_login")
        self.replica = replica
        # The address of the sign-in was checked then.
        if url and base_url(url) != known["url"]:
            secure_url(url)
        self._url = socket_url(url or known["url"])
        self._hooks = hooks or Hooks()
        self._backend = Backend(replica)
        self._backend.on_settled = self._hooks.on_settled
        identity = Identity(token=token, device=device or known["device"])
        self._engine = Engine(identity, replica.position(), draw=random.random, now=now_text)
        self._lock = SyncLock(replica.path)
        self._socket: Socket | None = None
        self._inbox: asyncio.Queue[tuple[Socket | None, ev.Event]] = asyncio.Queue()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._verified: asyncio.Future[ev.Verified] | None = None
        self._reported_state: State | None = None

    @property
    def status(self) -> Status:
        """What the engine is doing."""
        return self._engine.status

    async def run(self) -> None:
        """Keep syncing until cancelled or stopped with `stop()`; raise Stopped when a person must act."""
        await self._run(lambda: False)

    async def once(self, *, within: float | None = None, reset: bool = False) -> ReplicaStatus:
        """Catch up, push everything that is pending, and return the status.

        Raise Stopped, and Unreachable when the server cannot be reached (with `within`: for that many seconds). If
        another process syncs this replica, wait until it has pushed everything.
        """
        if self._lock.is_held_elsewhere() and not reset:
            return await self._wait_for_other(within)
        work = self._run(self._is_done, give_up=within is None, reset=reset)
        try:
            await asyncio.wait_for(work, within)
        except TimeoutError:
            raise Unreachable(self.status.message or "The server didn't respond in time.") from None
        return self.replica.status()

    async def verify(self, *, within: float | None = None) -> ev.Verified:
        """Catch up and compare every table with the server; repair differences before returning."""
        if self._lock.is_held_elsewhere():
            return await self._request_verify(within)
        self._verified = asyncio.get_running_loop().create_future()
        self._inbox.put_nowait((None, ev.VerifyWanted()))
        verified = self._verified
        work = self._run(lambda: verified.done() and self._engine.settled_down, give_up=within is None)
        try:
            await asyncio.wait_for(work, within)
        except TimeoutError:
            raise Unreachable(self.status.message or "The server didn't respond in time.") from None
        return await verified

    def stop(self) -> None:
        """Disconnect and let `run()` return."""
        self._inbox.put_nowait((None, ev.Stop()))

    def reset(self) -> None:
        """Start over from the server's data while running; overlays are kept."""
        self._inbox.put_nowait((None, ev.ResetWanted()))

    def _is_done(self) -> bool:
        return self._engine.settled_down and self.replica.status().pending == 0

    async def _run(self, done: Callable[[], bool], *, give_up: bool = False, reset: bool = False) -> None:
        if not self._lock.acquire():
            raise MoatError("Another process is already syncing this replica.", code="already_syncing")
        loop = asyncio.get_running_loop()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="moat-replica")

        def local_change(writing: Writing) -> None:
            if writing.new_ops:
                loop.call_soon_threadsafe(self._inbox.put_nowait, (None, ev.LocalChange()))

        unlisten = self.replica.listen(local_change)
        poll = asyncio.create_task(self._poll(), name="moat-poll")
        try:
            await self._process(ev.ResetWanted() if reset else ev.Start())
            while not done():
                if self.status.state is State.STOPPED:
                    return
                if self.status.state is State.ERROR:
                    raise Stopped(self.status.message, code=self.status.code)
                if give_up and self.status.state is State.OFFLINE:
                    raise Unreachable(self.status.message)
                await self._next()
        finally:
            poll.cancel()
            unlisten()
            await self._process(ev.Stop())
            await self._close()

    async def _close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        await self._drop_socket()
        self._note_state(None)
        self._backend.close()
        self._executor.shutdown(wait=True)
        self._lock.release()

    async def _next(self) -> None:
        socket, event = await self._inbox.get()
        if socket is not None and socket is not self._socket:
            return  # from a closed connection
        await self._process(event)
        if socket is not None and isinstance(event, ev.Received | ev.ReceivedBinary):
            socket.handled()

    async def _process(self, event: ev.Event) -> None:
        waiting = deque([event])
        while waiting:
            for action in self._engine.handle(waiting.popleft()):
                answer = await self._perform(action)
                if answer is not None:
                    waiting.append(answer)

    async def _perform(self, action: ev.Action) -> ev.Event | None:
        match action:
            case ev.Send():
                if self._socket is not None:
                    self._socket.send(action.data)
            case ev.Connect():
                await self._drop_socket()
                self._open_socket()
            case ev.Disconnect():
                await self._drop_socket()
            case ev.SetTimer():
                self._set_timer(action)
            case ev.CancelTimer():
                if timer := self._timers.pop(action.name, None):
                    timer.cancel()
            case ev.Report():
                self._note_state(self.status)
                self._hooks.on_status(self.status)
            case ev.Notify():
                self._hooks.on_notice(action.code, action.message)
            case ev.Verified():
                if self._verified is not None and not self._verified.done():
                    self._verified.set_result(action)
                self._answer_verify(action)
            case _:
                return await self._on_replica(action)
        return None

    async def _on_replica(self, action: ev.Action) -> ev.Event | None:
        answer = await asyncio.get_running_loop().run_in_executor(self._executor, self._backend.perform, action)
        if isinstance(action, ev.ApplyChanges) and isinstance(answer, ev.Applied) and self._hooks.on_change is not None:
            for line in action.frame.lines:
                self._hooks.on_change(decode_change(line))
        return answer

    def _open_socket(self) -> None:
        def emit(event: ev.Event) -> None:
            self._inbox.put_nowait((socket, event))

        socket = self._socket = Socket(self._url, emit)

    async def _drop_socket(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()

    def _set_timer(self, action: ev.SetTimer) -> None:
        if timer := self._timers.pop(action.name, None):
            timer.cancel()
        event = ev.TimerFired(action.name)
        self._timers[action.name] = asyncio.get_running_loop().call_later(
            action.seconds, self._inbox.put_nowait, (None, event)
        )

    async def _poll(self) -> None:
        """Detect what other processes write to the file."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if self.replica.poll():
                self._inbox.put_nowait((None, ev.LocalChange()))
                if self._read_state("verify_wanted") != self._read_state("verify_taken"):
                    self._write_state("verify_taken", self._read_state("verify_wanted"))
                    self._inbox.put_nowait((None, ev.VerifyWanted()))

    def _read_state(self, key: str) -> str:
        with self.replica.store.read() as (con, _):
            return get_state(con, key)

    def _write_state(self, key: str, value: str) -> None:
        with self.replica.store.write(durable=False) as writing:
            set_state(writing.con, key, value)

    def _answer_verify(self, found: ev.Verified) -> None:
        """Store the result in the file, for a process that requested it there."""
        answer = {
            "for": self._read_state("verify_taken"),
            "cursor": found.cursor,
            "records": found.records,
            "differing": found.differing,
        }
        self._write_state("verify_answer", dumps(answer).decode())

    async def _request_verify(self, within: float | None) -> ev.Verified:
        """Let the process that syncs this replica verify it; request that through the file."""
        wanted = now_text()
        self._write_state("verify_wanted", wanted)
        deadline = asyncio.get_running_loop().time() + (within or VERIFY_SECONDS)
        while asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(POLL_SECONDS)
            answer = loads(self._read_state("verify_answer") or "{}")
            if answer.get("for") == wanted:
                return ev.Verified(answer["cursor"], answer["records"], tuple(answer["differing"]))
        state = other_sync(self.replica)
        raise Unreachable(str(state.get("message") or "The process that syncs this replica didn't respond."))

    def _note_state(self, status: Status | None) -> None:
        """Store the state in the file for other processes, without each percent and without waiting for the disk."""
        state = status.state if status else State.STOPPED
        if state is self._reported_state:
            return
        self._reported_state = state
        report: dict[str, Any] = {"state": state.value, "at": now_text()}
        if status is not None:
            report |= {"code": status.code, "message": status.message}
        self._write_state("sync", dumps(report).decode())

    async def _wait_for_other(self, within: float | None) -> ReplicaStatus:
        deadline = None if within is None else asyncio.get_running_loop().time() + within
        while True:
            status = self.replica.status()
            state = other_sync(self.replica)
            if state.get("state") == State.LIVE and not status.pending:
                return status
            late = deadline is not None and asyncio.get_running_loop().time() > deadline
            if not self._lock.is_held_elsewhere():
                return await self.once(within=within)
            if late or (deadline is None and state.get("state") in (State.OFFLINE, State.ERROR)):
                raise Unreachable(
                    str(state.get("message") or "The process that syncs this replica can't reach the server.")
                )
            await asyncio.sleep(POLL_SECONDS)


def other_sync(replica: Replica) -> dict[str, Any]:
    """Return the last reported state of the process that syncs this replica; empty when there is none."""
    if not SyncLock(replica.path).is_held_elsewhere():
        return {}
    with replica.store.read() as (con, _):
        report = get_state(con, "sync")
    return dict(loads(report)) if report else {}
