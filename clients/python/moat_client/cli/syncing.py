"""Commands that use the server: login, sync, tail, verify."""

import argparse
import asyncio
import getpass
import os
import signal
import sys
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from moat_client.cli import words
from moat_client.cli.output import Output, cell
from moat_client.engine import State, Status
from moat_client.errors import MoatError
from moat_client.login import login as ask_for_token
from moat_client.login import remember_login
from moat_client.net.urls import secure_url
from moat_client.replica.problems import Problem
from moat_client.replica.replica import Replica, ReplicaStatus
from moat_client.sync.session import Hooks, Sync, other_sync
from moat_client.wire.lines import ChangeLine

EXIT_PENDING = 4
EXIT_DECIDE = 5
TAIL_SECONDS = 0.1


def login(replica: Replica, options: argparse.Namespace, out: Output) -> int:
    """Sign in and register this replica as a device."""
    secure_url(options.url, insecure=options.insecure)  # before a password is asked for
    token = options.token or os.environ.get("MOAT_TOKEN")
    if token:
        found = {"device": options.device or "", "token": token}
    else:
        found = ask_for_token(
            options.url,
            tenant=options.tenant,
            user=options.user,
            password=_password(options),
            device_name=options.device,
            replica=replica,
            insecure=options.insecure,
        )
    remember_login(
        replica,
        url=options.url,
        tenant=options.tenant,
        user=options.user or "",
        insecure=options.insecure,
        **found,
    )
    if out.as_json:
        out.json({"device": found["device"], "tenant": options.tenant, "user": options.user, "db": str(replica.path)})
    else:
        out.say(words.SIGNED_IN.format(tenant=options.tenant, user=options.user, db=replica.path))
    return 0


def _password(options: argparse.Namespace) -> str:
    given = options.password or os.environ.get("MOAT_PASSWORD")
    if given is not None:
        return str(given)
    if not sys.stdin.isatty():
        raise MoatError(
            words.NO_CREDENTIALS,
            code="no_password",
        )
    return getpass.getpass(words.PROMPT)


class Watcher:
    """Show what a sync does: a progress bar on a terminal, state lines with --json or --follow."""

    def __init__(self, out: Output, *, first: bool, follow: bool, changes: bool = False) -> None:
        self._out = out
        self._follow = follow
        self._state: State | None = None
        self._bar: Progress | None = None
        self._task: Any = None
        self.hooks = Hooks(on_status=self._status, on_notice=self._notice, on_settled=self._settled)
        if changes:
            self.hooks.on_change = self.change
        if first and not out.as_json and out.errors.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
            self._bar = Progress(*columns, console=out.errors, transient=not follow)
            self._bar.start()
            self._task = self._bar.add_task(words.CONNECTING, total=100)

    def close(self) -> None:
        """Remove the progress bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _status(self, status: Status) -> None:
        if self._bar is not None:
            done = status.state is State.LIVE
            self._bar.update(
                self._task, description=status.state.value.replace("_", " "), completed=100 if done else status.percent
            )
            if done:
                self.close()
        if status.state is self._state or not self._follow:
            return
        self._state = status.state
        report: dict[str, Any] = {
            "state": status.state.value,
            "cursor": status.cursor,
            "schema_version": status.schema_version,
        }
        if status.message:
            report |= {"code": status.code, "message": status.message, "retry_in": status.retry_in}
        if self._out.as_json:
            self._out.json({"event": "status"} | report)
        elif self._bar is None:
            text = words.STATE_BECAUSE if status.message else words.STATE
            state = status.state.value.replace("_", " ")
            self._out.warn(text.format(state=state, message=status.message, cursor=status.cursor))

    def _notice(self, code: str, message: str) -> None:
        if self._out.as_json:
            if self._follow:
                self._out.json({"event": "notice", "code": code, "message": message})
        else:
            self._out.warn(message)

    def _settled(self, problems: list[Problem]) -> None:
        for problem in problems:
            self._notice("settled", words.RESOLVED_ELSEWHERE.format(problem=problem))

    def change(self, line: ChangeLine) -> None:
        """Print one change."""
        if self._out.as_json:
            self._out.json({name: getattr(line, name) for name in line.__dataclass_fields__})
            return
        who = words.CHANGE_BY.format(user=line.by) if line.by else ""
        self._out.say(words.CHANGE.format(line=line, who=who, what=_what(line)).rstrip())


def _what(line: ChangeLine) -> str:
    if line.op == "update":
        return " ".join(f"{step['path'].lstrip('/')}={cell(step.get('value'))}" for step in line.payload)
    if line.op == "insert" and line.table not in ("object_metadata", "layout_definition"):
        return " ".join(f"{name}={cell(value)}" for name, value in line.payload.items())
    return ""


def sync(replica: Replica, options: argparse.Namespace, out: Output) -> int:
    """Catch up and push, once or until interrupted."""
    follow = options.follow
    watcher = Watcher(out, first=replica.position().cursor == 0, follow=follow)
    engine = Sync(replica, hooks=watcher.hooks)
    try:
        if follow:
            _until_interrupted(engine, reset=options.reset)
            return 0
        return _left(asyncio.run(engine.once(within=options.timeout, reset=options.reset)), out)
    finally:
        watcher.close()


def _left(status: ReplicaStatus, out: Output) -> int:
    if out.as_json:
        out.json(status.as_dict())
    elif status.pending:
        out.warn(words.STILL_PENDING.format(count=status.pending))
    elif status.problems:
        out.warn(words.UP_TO_DATE_BUT.format(status=status))
    else:
        out.say(words.UP_TO_DATE.format(status=status))
    return EXIT_PENDING if status.pending else EXIT_DECIDE if status.problems else 0


def _until_interrupted(engine: Sync, *, reset: bool = False) -> None:
    async def follow() -> None:
        loop = asyncio.get_running_loop()
        with suppress(NotImplementedError):  # signal handlers need a Unix event loop; elsewhere Ctrl-C raises
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, engine.stop)
        if reset:
            engine.reset()
        await engine.run()

    _run(follow())


def _run(work: Coroutine[Any, Any, None]) -> None:
    with suppress(KeyboardInterrupt):
        asyncio.run(work)


def tail(replica: Replica, options: argparse.Namespace, out: Output) -> int:
    """Print changes as they arrive."""
    watcher = Watcher(out, first=False, follow=False, changes=True)
    for line in replica.recent_changes(limit=options.lines):
        watcher.change(line)
    if options.once:
        before = replica.position().cursor
        other = bool(other_sync(replica))
        asyncio.run(Sync(replica, hooks=watcher.hooks).once(within=options.timeout))
        for line in replica.recent_changes(before) if other else ():
            watcher.change(line)
        return 0
    _run(_tail(replica, watcher))
    return 0


async def _tail(replica: Replica, watcher: Watcher) -> None:
    """Follow by syncing or, while another process syncs, by reading the file."""
    stopped = asyncio.Event()
    with suppress(NotImplementedError):
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    engine: asyncio.Task[None] | None = None
    cursor = replica.position().cursor
    while not stopped.is_set():
        if engine is None and not other_sync(replica):
            engine = asyncio.create_task(Sync(replica, hooks=watcher.hooks).run())
        if engine is None:
            for line in replica.recent_changes(cursor):
                watcher.change(line)
        cursor = replica.position().cursor
        waiting = [asyncio.create_task(stopped.wait()), *([engine] if engine else [])]
        await asyncio.wait(waiting, timeout=None if engine else TAIL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        waiting[0].cancel()
        if engine is not None and engine.done():
            engine.result()
            return
    if engine is not None:
        engine.cancel()
        await asyncio.wait([engine])


def verify(replica: Replica, options: argparse.Namespace, out: Output) -> int:
    """Compare every table with the server by count and digest, and repair differences."""
    watcher = Watcher(out, first=False, follow=False)
    found = asyncio.run(Sync(replica, hooks=watcher.hooks).verify(within=options.timeout))
    if out.as_json:
        out.json(
            {
                "cursor": found.cursor,
                "records": found.records,
                "equal": not found.differing,
                "repaired": list(found.differing),
            }
        )
    elif found.differing:
        out.say(words.REPAIRED.format(tables=", ".join(found.differing)))
    else:
        out.say(words.VERIFIED.format(found=found))
    return 1 if found.differing else 0
