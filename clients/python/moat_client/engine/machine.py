"""The state machine of one replica's connection: hello, catch-up, upgrades, live, repair, and retry.

`Engine.handle(event)` returns the actions to perform, in order. The engine keeps no data except the replica's position.
Actions read everything it sends from the replica, so a crash between two actions loses nothing.

Pure: no I/O, clock, or randomness.
"""

from moat_client.engine import events as ev
from moat_client.engine.core import FATAL, Identity, State, Status
from moat_client.engine.events import Action, Event
from moat_client.engine.stream import Stream
from moat_client.errors import MalformedMessage
from moat_client.wire.messages import (
    PROTOCOL,
    Ack,
    Bye,
    CatchUp,
    Changes,
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
)

__all__ = ["Engine", "Identity", "State", "Status"]

HELLO_SECONDS = 20.0
PING_SECONDS = 25.0
PONG_SECONDS = 20.0
CLOSE_CODES = {4401: "bad_token", 4403: "forbidden", 4409: "replaced", 4426: "protocol", 4427: "insecure"}


class Engine(Stream):
    """Pass it events and perform its actions; see the module."""

    def handle(self, event: Event) -> list[Action]:
        """Handle an event; return the actions to perform, in order."""
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
            case ev.SnapshotRejected():
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
            case ev.Disconnected():
                return self._disconnected(event)
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

    def _disconnected(self, event: ev.Disconnected) -> list[Action]:
        if self._status.state in (State.ERROR, State.STOPPED):
            return []
        if event.code in CLOSE_CODES:
            return self._fail(CLOSE_CODES[event.code], event.reason)
        return self._offline(event.reason or "Connection lost.", event.retry_after)

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
            if self._received_any:
                self._received_any = False
                return [ev.SetTimer("ping", PING_SECONDS)]
            return [ev.Send(encode("ping")), ev.SetTimer("pong", PONG_SECONDS)]
        return self._break("The server isn't responding.")

    # Messages

    def _received(self, data: bytes) -> list[Action]:
        if not self._connected:
            return []
        try:
            message = parse(data)
        except MalformedMessage as problem:
            return self._break(str(problem))
        alive: list[Action] = []
        if not self._received_any and self._welcome is not None:
            alive = [ev.CancelTimer("pong"), ev.SetTimer("ping", PING_SECONDS)]
        self._received_any = True
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
        if not at.cursor and (at.tenant, at.channel, at.server_epoch) != (
            welcome.tenant,
            welcome.channel,
            welcome.server_epoch,
        ):
            self._applying, self._after_applied = True, self._subscribe
            return [*actions, ev.SetServerIdentity(welcome.tenant, welcome.channel, welcome.server_epoch)]
        if welcome.chain == "mismatch":
            return actions + self._diverged("chain mismatch with the server")
        return actions + self._subscribe()

    # Errors

    def _error(self, error: ServerError) -> list[Action]:
        if self._pusher.owns(error.ref):
            return self._pusher.rejected(error)
        if error.code in FATAL or error.code in ("ahead", "epoch"):
            return self._fail(error.code, error.message)
        if error.code == "schema_behind":
            return self._ask_schema(self._subscribe)
        if error.code == "snapshot_gone":
            return self._subscribe()
        if error.code == "too_large" and self._repairer is not None:
            return self._fail("diverged")
        self._retry_after = error.retry_after if error.retry_after is not None else self._retry_after
        tell: list[Action] = [ev.Notify(error.code, error.message)]
        if self._status.state is State.LIVE:
            return tell
        return tell + self._break(error.message, error.retry_after)
