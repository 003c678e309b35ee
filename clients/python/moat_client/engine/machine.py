"""PURE: the state machine of one replica's connection: hello, catch-up, upgrades, live, repair, retry.

`Engine.handle(event)` returns the actions to perform, in order. The engine keeps no data but the replica's position: what
it sends out comes from the replica through actions, so a crash between any two actions loses nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from moat_client.backoff import Backoff
from moat_client.engine import events as ev
from moat_client.engine.download import Downloader
from moat_client.engine.events import Action, Event
from moat_client.engine.push import Pusher
from moat_client.engine.repair import Repairer, differing
from moat_client.errors import MalformedMessage
from moat_client.messages import (
    PROTOCOL,
    Ack,
    Bye,
    CatchUp,
    Changes,
    Limits,
    Live,
    Message,
    Ping,
    Rows,
    RowsEnd,
    SchemaRevisions,
    ServerError,
    SettledNote,
    Verified,
    Welcome,
    encode,
    parse,
    parse_part,
)
from moat_client.position import Position

HELLO_SECONDS = 20.0
PING_SECONDS = 25.0
PONG_SECONDS = 20.0
_MAX_HELD = 1000
_MAX_REPAIRS = 2
FATAL = {
    "bad_token": "The server does not know this device's token. Log in again; pending work is kept.",
    "revoked": "This device was revoked. Log in again; pending work is kept.",
    "forbidden": "The user may not do this.",
    "protocol": "The server does not speak this client's protocol. Update the client.",
    "replaced": "Another program is connected as this device.",
}
CLOSE_CODES = {4401: "bad_token", 4403: "forbidden", 4409: "replaced", 4426: "protocol"}
RESET = {
    "ahead": "The server's log ends before this replica: the server was restored or replaced. Pending work is kept; start over with a reset.",
    "epoch": "The server's log is another one than this replica knew: it was restored or replaced. Pending work is kept; start over with a reset.",
    "diverged": "The replica cannot be brought in step by a repair. Pending work is kept; start over with a reset.",
    "wrong_tenant": "This replica belongs to another tenant.",
}


class State(StrEnum):
    """What the engine is doing."""

    OFFLINE = "offline"
    CONNECTING = "connecting"
    CATCHING_UP = "catching_up"
    UPGRADING = "upgrading"
    REPAIRING = "repairing"
    LIVE = "live"
    ERROR = "error"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Status:
    """The state for people: `percent` of a catch-up; `code` and `message` of what went wrong; `retry_in` seconds."""

    state: State = State.OFFLINE
    percent: int = 0
    cursor: int = 0
    schema_version: int = 0
    code: str = ""
    message: str = ""
    retry_in: float | None = None

    @property
    def needs_reset(self) -> bool:
        """Whether only starting over can help."""
        return self.state is State.ERROR and self.code in RESET


@dataclass(frozen=True, slots=True)
class Identity:
    """Who we are to the server."""

    token: str
    device: str
    client: str = "moat-python/0.1"


class Engine:
    """See the module. `draw` returns random numbers in [0, 1), `now` the time in wire form."""

    def __init__(self, identity: Identity, position: Position, *, draw: Callable[[], float], now: Callable[[], str]) -> None:
        self.position = position
        self._identity = identity
        self._now = now
        self._backoff = Backoff(draw)
        self._status = Status(cursor=position.cursor, schema_version=position.schema_version)
        self._pusher = Pusher()
        self._downloader = Downloader()
        self._repairer: Repairer | None = None
        self._repairs = 0
        self._verify_wanted = False
        self._welcome: Welcome | None = None
        self._retry_after: float | None = None
        self._forget_connection()

    def _forget_connection(self) -> None:
        self._connected = False
        self._heard = False
        self._streaming = False
        self._collecting = False
        self._span = (0, 0)
        self._rows_total = self._rows_seen = 0
        self._revisions: dict[int, tuple[Any, ...]] = {}
        self._held: list[Message] = []
        self._waiting_schema = False
        self._applying = False
        self._after_schema: Callable[[], list[Action]] | None = None
        self._after_applied: Callable[[], list[Action]] | None = None
        self._verifying: Verified | None = None
        self._repairer = None
        self._downloader.stop()
        self._pusher.restart()

    @property
    def status(self) -> Status:
        """The state now."""
        return self._status

    @property
    def settled_down(self) -> bool:
        """Whether we are live and no push waits for an answer."""
        return self._status.state is State.LIVE and self._pusher.idle and not self._held and not self._applying

    def handle(self, event: Event) -> list[Action]:
        """Take an event; returns what to do, in order."""
        before = self._status
        actions = self._dispatch(event)
        if self._status != before:
            actions.append(ev.Report())
        return actions

    def _dispatch(self, event: Event) -> list[Action]:
        match event:
            case ev.Received():
                return self._received(event.data)
            case ev.ReceivedBinary():
                return self._received_part(event.data)
            case ev.Applied():
                return self._applied(event.position)
            case ev.NotApplied():
                self._applying, self._after_applied = False, None
                return self._diverged(event.reason)
            case ev.LocalChange():
                return self._pusher.pump() if self._status.state is State.LIVE else []
            case ev.OpsRead():
                return self._pusher.ops_read(event, self.position) if self._connected else []
            case ev.DownloadReady():
                return self._downloader.ready(event)
            case ev.PartStored():
                return self._part_stored(event)
            case ev.SnapshotRefused():
                return self._break(event.reason)
            case ev.DigestsReady():
                return self._digests(event)
            case ev.RangesReady():
                return self._repair_step(self._repairer.cut(event)) if self._repairer else []
            case ev.TimerFired():
                return self._timer(event.name)
            case _:
                return self._command(event)

    def _command(self, event: Event) -> list[Action]:
        match event:
            case ev.Start():
                return self._connect()
            case ev.Opened():
                return self._hello()
            case ev.Lost():
                return self._lost(event)
            case ev.VerifyWanted():
                self._verify_wanted = True
                return self._ask_verify()
            case ev.ResetWanted():
                self._forget_connection()
                self._after_applied = self._connect
                return [ev.Disconnect(), ev.ResetReplica()]
            case ev.Stop():
                return self._stop()
        return []

    # Connecting

    def _set(self, state: State, **more: Any) -> None:
        self._status = Status(state, cursor=self.position.cursor, schema_version=self.position.schema_version, **more)

    def _connect(self) -> list[Action]:
        self._forget_connection()
        self._set(State.CONNECTING)
        return [ev.CancelTimer("retry"), ev.Connect()]

    def _hello(self) -> list[Action]:
        self._connected = True
        at = self.position
        hello = encode(
            "hello",
            protocol=PROTOCOL,
            token=self._identity.token,
            device=self._identity.device,
            schema_version=at.schema_version,
            cursor=at.cursor,
            state_hash=at.state_hash,
            server_epoch=at.server_epoch or None,
            channel=at.channel or None,
            client=self._identity.client,
        )
        return [ev.Send(hello), ev.SetTimer("hello", HELLO_SECONDS)]

    def _lost(self, event: ev.Lost) -> list[Action]:
        if self._status.state in (State.ERROR, State.STOPPED):
            return []
        if event.code in CLOSE_CODES:
            return self._fail(CLOSE_CODES[event.code], event.reason)
        return self._offline(event.reason or "The connection was lost.", event.retry_after)

    def _offline(self, reason: str, retry_after: float | None = None) -> list[Action]:
        wait = self._backoff.next(self._retry_after if retry_after is None else retry_after)
        self._retry_after = None
        self._forget_connection()
        self._set(State.OFFLINE, message=reason, retry_in=wait)
        return [*self._no_timers(), ev.SetTimer("retry", wait)]

    def _no_timers(self) -> list[Action]:
        return [ev.CancelTimer(name) for name in ("hello", "ping", "pong", "push")]

    def _break(self, reason: str, retry_after: float | None = None) -> list[Action]:
        """Give this connection up and try again later."""
        return [ev.Disconnect(), *self._offline(reason, retry_after)]

    def _fail(self, code: str, message: str = "") -> list[Action]:
        """Stop until a person has done something about it."""
        text = FATAL.get(code) or RESET.get(code) or message or code
        self._forget_connection()
        self._set(State.ERROR, code=code, message=text)
        return [ev.Disconnect(), *self._no_timers(), ev.Tell(code, text)]

    def _stop(self) -> list[Action]:
        bye: list[Action] = [ev.Send(encode("bye", reason="done"))] if self._connected else []
        self._forget_connection()
        if self._status.state is not State.ERROR:
            self._set(State.STOPPED)
        return [*bye, ev.Disconnect(), *self._no_timers(), ev.CancelTimer("retry")]

    def _timer(self, name: str) -> list[Action]:
        if name == "retry":
            return self._connect() if self._status.state is State.OFFLINE else []
        if not self._connected:
            return []
        if name == "push":
            return self._pusher.resume() if self._status.state is State.LIVE else []
        if name == "ping":
            if self._heard:
                self._heard = False
                return [ev.SetTimer("ping", PING_SECONDS)]
            return [ev.Send(encode("ping")), ev.SetTimer("pong", PONG_SECONDS)]
        return self._break("The server does not answer.")

    # Messages

    def _received(self, data: bytes) -> list[Action]:
        if not self._connected:
            return []
        try:
            message = parse(data)
        except MalformedMessage as problem:
            return self._break(str(problem))
        alive: list[Action] = []
        if not self._heard and self._welcome is not None:
            alive = [ev.CancelTimer("pong"), ev.SetTimer("ping", PING_SECONDS)]
        self._heard = True
        return alive + self._message(message)

    def _message(self, message: Message) -> list[Action]:
        match message:
            case Changes() | Live():
                return self._stream(message)
            case Verified():
                return self._repair_step(self._repairer.verified(message)) if self._repairer else self._stream(message)
            case Ack():
                return self._pusher.acked(message)
            case Welcome():
                return self._welcomed(message)
            case CatchUp():
                return self._catch_up(message)
            case Rows():
                return self._rows(message)
            case RowsEnd():
                return self._rows_end(message)
            case SchemaRevisions():
                return self._schema(message)
            case ServerError():
                return self._error(message)
            case SettledNote():
                return [ev.RecordSettled(message.settled)]
            case Ping():
                return [ev.Send(encode("pong", ref=message.ref, cursor=self.position.cursor, at=self._now()))]
            case Bye():
                self._retry_after = message.retry_after
        return []

    def _welcomed(self, welcome: Welcome) -> list[Action]:
        self._welcome = welcome
        at = self.position
        actions: list[Action] = [ev.CancelTimer("hello"), ev.SetTimer("ping", PING_SECONDS)]
        if at.tenant not in ("", welcome.tenant):
            return self._fail("wrong_tenant")
        self._pusher.connected(welcome.limits)
        if welcome.settled:
            actions.append(ev.RecordSettled(welcome.settled))
        if welcome.access is not None:
            actions.append(ev.RecordAccess(welcome.access))
        if at.cursor and welcome.chain in ("ahead", "epoch"):
            return actions + self._fail(welcome.chain)
        if at.cursor and at.server_epoch not in ("", welcome.server_epoch):
            return actions + self._fail("epoch")
        if not at.cursor and (at.tenant, at.channel, at.server_epoch) != (welcome.tenant, welcome.channel, welcome.server_epoch):
            self._applying, self._after_applied = True, self._subscribe
            return [*actions, ev.Meet(welcome.tenant, welcome.channel, welcome.server_epoch)]
        if welcome.chain == "mismatch":
            return actions + self._diverged("the server's chain differs")
        return actions + self._subscribe()

    def _subscribe(self) -> list[Action]:
        """Begin the stream where we are; revisions in hand count as known, and are run where the log reaches them."""
        self._streaming = self._collecting = False
        self._held.clear()
        self._downloader.stop()
        self._repairer = None
        self._set(State.CATCHING_UP)
        at = self.position
        known = max(at.schema_version, *self._revisions) if self._revisions else at.schema_version
        where = {"cursor": at.cursor, "state_hash": at.state_hash, "channel": at.channel or None}
        return [ev.Send(encode("subscribe", schema_version=known, **where))]

    def _catch_up(self, message: CatchUp) -> list[Action]:
        self._streaming = self._collecting = False
        if message.mode == "log":
            self._streaming = True
            self._span = (self.position.cursor, message.to)
            return []
        if message.mode == "rows":
            if message.schema_version > self._known_version():
                return self._ask_schema(self._subscribe)
            self._collecting = True
            self._rows_total, self._rows_seen = message.total, 0
            return [ev.BeginRows()]
        if message.mode == "snapshot" and message.manifest is not None:
            return self._downloader.begin(message.manifest, self._welcome.limits if self._welcome else Limits())
        if message.mode == "repair":
            return self._diverged("the server's chain differs")
        return self._break(f"The server named an unknown way to catch up: {message.mode}.")

    def _rows(self, rows: Rows) -> list[Action]:
        if self._repairer is not None:
            return self._repair_step(self._repairer.rows(rows))
        if not self._collecting:
            return []
        self._rows_seen += len(rows.lines) + len(rows.deleted)
        self._progress(self._rows_seen / self._rows_total if self._rows_total else 0.0)
        return [ev.CollectRows(rows)]

    def _rows_end(self, end: RowsEnd) -> list[Action]:
        if not self._collecting:
            return []
        self._collecting = False
        revisions = self._take_revisions(end.schema_version)
        if revisions is None:
            return self._ask_schema(self._subscribe)
        channel = self._welcome.channel if self._welcome else ""
        return self._apply(ev.ApplyRows(end.to, end.state_hash, end.schema_version, channel, revisions), self._begin_stream)

    def _begin_stream(self) -> list[Action]:
        self._streaming = True
        self._span = (self.position.cursor, self.position.cursor)
        return self._drain()

    def _progress(self, part: float) -> None:
        state = State.UPGRADING if self._status.state is State.UPGRADING else State.CATCHING_UP
        self._set(state, percent=min(99, int(part * 100)))

    # The stream

    def _stream(self, message: Message) -> list[Action]:
        if not self._streaming:
            return []
        if self._waiting_schema or self._applying or self._held:
            if len(self._held) < _MAX_HELD:  # what is left out shows as a gap, and is asked for again
                self._held.append(message)
            return []
        return self._take(message)

    def _drain(self) -> list[Action]:
        actions: list[Action] = []
        while self._held and not self._waiting_schema and not self._applying:
            actions += self._take(self._held.pop(0))
        return actions

    def _take(self, message: Message) -> list[Action]:
        if not self._streaming:
            return []
        match message:
            case Changes():
                return self._take_changes(message)
            case Live():
                return self._live(message)
            case Verified():
                self._verifying = message
                return [ev.ComputeDigests(tuple(message.tables))]
        return []

    def _take_changes(self, frame: Changes) -> list[Action]:
        if frame.to <= self.position.cursor:
            return []
        if frame.start != self.position.cursor:
            return self._subscribe()
        if frame.schema_version > self.position.schema_version:
            revisions = self._take_revisions(frame.schema_version)
            if revisions is None:
                self._held.insert(0, frame)
                return self._ask_schema(self._drain)
            self._set(State.UPGRADING)
            return self._apply(ev.ApplyChanges(frame, revisions), self._frame_applied)
        return self._apply(ev.ApplyChanges(frame), self._frame_applied)

    def _frame_applied(self) -> list[Action]:
        low, high = self._span
        if self._status.state is State.LIVE:
            self._set(State.LIVE)
        elif high > low:
            self._set(State.CATCHING_UP, percent=min(99, (self.position.cursor - low) * 100 // (high - low)))
        elif self._status.state is State.UPGRADING:
            self._set(State.LIVE)
        waiting = self._drain()
        return waiting + (self._pusher.pump() if self._status.state is State.LIVE and not self._held else [])

    def _live(self, message: Live) -> list[Action]:
        at = self.position
        if message.cursor != at.cursor:
            return self._subscribe()
        if at.state_hash not in ("", message.state_hash):
            return self._diverged("the server's chain differs")
        self._span = (at.cursor, at.cursor)
        self._repairs = 0
        self._backoff.reset()
        self._set(State.LIVE)
        return self._pusher.pump() + self._ask_verify()

    def _apply(self, action: Action, then: Callable[[], list[Action]]) -> list[Action]:
        self._applying, self._after_applied = True, then
        return [action]

    def _applied(self, position: Position) -> list[Action]:
        self.position = position
        self._applying = False
        then, self._after_applied = self._after_applied, None
        return then() if then else []

    # Schema

    def _known_version(self) -> int:
        return max([self.position.schema_version, *self._revisions])

    def _take_revisions(self, to: int) -> ev.Revisions | None:
        """Return the revisions from where the replica is up to `to`; None when some are not in hand."""
        needed = range(self.position.schema_version + 1, to + 1)
        if not all(version in self._revisions for version in needed):
            return None
        return tuple((version, self._revisions[version]) for version in needed)

    def _ask_schema(self, then: Callable[[], list[Action]]) -> list[Action]:
        self._waiting_schema, self._after_schema = True, then
        self._set(State.UPGRADING)
        return [ev.Send(encode("schema", **{"from": self.position.schema_version}))]

    def _schema(self, message: SchemaRevisions) -> list[Action]:
        if not self._waiting_schema:
            return []
        # A version without commands is still a version: the server may leave empty ones out.
        for version in range(self.position.schema_version + 1, message.to + 1):
            self._revisions[version] = ()
        self._revisions |= dict(message.revisions)
        self._waiting_schema = False
        then, self._after_schema = self._after_schema, None
        if self._held and isinstance(self._held[0], Changes) and self._held[0].schema_version > self._known_version():
            return self._break("The server did not send the schema its changes need.")
        return then() if then else []

    # Snapshots

    def _received_part(self, data: bytes) -> list[Action]:
        try:
            snapshot, part, content = parse_part(data)
        except MalformedMessage as problem:
            return self._break(str(problem))
        self._heard = True
        return [ev.StorePart(part, content)] if self._downloader.wants(snapshot, part) else []

    def _part_stored(self, event: ev.PartStored) -> list[Action]:
        actions = self._downloader.stored(event)
        if actions is None:
            return self._break("The snapshot came damaged again and again.")
        self._progress(self._downloader.progress)
        if any(isinstance(action, ev.Install) for action in actions):
            self._applying, self._after_applied = True, self._subscribe
        return actions

    # Repair and verification

    def _diverged(self, reason: str) -> list[Action]:
        self._repairs += 1
        if self._repairs > _MAX_REPAIRS or self._welcome is None:
            return self._fail("diverged")
        return [ev.Tell("repair", f"Repairing the replica: {reason}."), *self._begin_repair()]

    def _begin_repair(self) -> list[Action]:
        self._streaming = self._collecting = False
        self._held.clear()
        self._downloader.stop()
        actions = self._ask_schema(self._schema_for_repair)
        self._set(State.REPAIRING)
        return actions

    def _schema_for_repair(self) -> list[Action]:
        revisions = self._take_revisions(self._known_version())
        if revisions:
            return self._apply(ev.ApplySchema(revisions), self._start_repair)
        return self._start_repair()

    def _start_repair(self) -> list[Action]:
        welcome = self._welcome
        if welcome is None:
            return []
        self._set(State.REPAIRING)
        self._repairer = Repairer(welcome.channel, welcome.server_epoch, welcome.limits)
        return self._repairer.start()

    def _repair_step(self, actions: list[Action]) -> list[Action]:
        """Go on with a repair. Before its end, look whether an admin published meanwhile: rows may have had new columns."""
        if not actions or not isinstance(actions[-1], ev.Adopt):
            return actions
        *steps, adopt = actions

        def finish() -> list[Action]:
            if self._known_version() > self.position.schema_version:
                return self._schema_for_repair()
            return self._apply(adopt, self._subscribe)

        self._repairer = None
        asked = self._ask_schema(finish)
        self._set(State.REPAIRING)
        return [*steps, *asked]

    def _ask_verify(self) -> list[Action]:
        if not self._verify_wanted or self._status.state is not State.LIVE:
            return []
        self._verify_wanted = False
        return [ev.Send(encode("verify"))]

    def _digests(self, event: ev.DigestsReady) -> list[Action]:
        if self._repairer is not None:
            return self._repair_step(self._repairer.digests(event))
        answer, self._verifying = self._verifying, None
        if answer is None:
            return []
        if answer.cursor != self.position.cursor:
            return self._subscribe()
        wrong = differing(event, answer)
        records = sum(count for count, _ in answer.tables.values())
        report: list[Action] = [ev.Verified(answer.cursor, records, wrong)]
        if wrong or self.position.state_hash not in ("", answer.state_hash):
            return report + self._diverged("a table differs")
        return report

    # Errors

    def _error(self, error: ServerError) -> list[Action]:
        if self._pusher.owns(error.ref):
            return self._pusher.refused(error)
        if error.code in FATAL or error.code in ("ahead", "epoch"):
            return self._fail(error.code, error.message)
        if error.code == "schema_behind":
            return self._ask_schema(self._subscribe)
        if error.code == "snapshot_gone":
            return self._subscribe()
        if error.code == "too_large" and self._repairer is not None:
            return self._fail("diverged")
        self._retry_after = error.retry_after if error.retry_after is not None else self._retry_after
        tell: list[Action] = [ev.Tell(error.code, error.message)]
        if self._status.state is State.LIVE:
            return tell
        return tell + self._break(error.message, error.retry_after)
