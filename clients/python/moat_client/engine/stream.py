"""From `subscribe` to live: catch-up, the stream, schema upgrades, snapshots, repair, and verification.

Pure: no I/O, clock, or randomness.
"""

from collections.abc import Callable

from moat_client.engine import events as ev
from moat_client.engine.core import Core, State
from moat_client.engine.events import Action
from moat_client.engine.repair import Repairer, differing
from moat_client.errors import MalformedMessage
from moat_client.wire.messages import (
    CatchUp,
    Changes,
    Limits,
    Live,
    Message,
    Rows,
    RowsEnd,
    SchemaRevisions,
    Verified,
    encode,
    parse_part,
)

_MAX_HELD = 1000
_MAX_REPAIRS = 2


class Stream(Core):
    """Everything that advances the replica's position."""

    def _subscribe(self) -> list[Action]:
        """Start the stream at the replica's position.

        Revisions already received count as known; they run where the log reaches them.
        """
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
            return [ev.StartRows()]
        if message.mode == "snapshot" and message.manifest is not None:
            return self._downloader.start(message.manifest, self._welcome.limits if self._welcome else Limits())
        if message.mode == "repair":
            return self._diverged("chain mismatch with the server")
        return self._break(f"The server sent an unknown catch-up mode: {message.mode}.")

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
        revisions = self._revisions_up_to(end.schema_version)
        if revisions is None:
            return self._ask_schema(self._subscribe)
        channel = self._welcome.channel if self._welcome else ""
        return self._apply(
            ev.ApplyRows(end.to, end.state_hash, end.schema_version, channel, revisions), self._start_stream
        )

    def _start_stream(self) -> list[Action]:
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
            if len(self._held) < _MAX_HELD:  # a dropped message leaves a gap, which is requested again
                self._held.append(message)
            return []
        return self._handle(message)

    def _drain(self) -> list[Action]:
        actions: list[Action] = []
        while self._held and not self._waiting_schema and not self._applying:
            actions += self._handle(self._held.pop(0))
        return actions

    def _handle(self, message: Message) -> list[Action]:
        if not self._streaming:
            return []
        match message:
            case Changes():
                return self._handle_changes(message)
            case Live():
                return self._live(message)
            case Verified():
                self._verifying = message
                return [ev.ComputeDigests(tuple(message.tables))]
        return []

    def _handle_changes(self, frame: Changes) -> list[Action]:
        if frame.to <= self.position.cursor:
            return []
        if frame.start != self.position.cursor:
            return self._subscribe()
        if frame.schema_version > self.position.schema_version:
            revisions = self._revisions_up_to(frame.schema_version)
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
            return self._diverged("chain mismatch with the server")
        self._span = (at.cursor, at.cursor)
        self._repairs = 0
        self._backoff.reset()
        self._set(State.LIVE)
        return self._pusher.pump() + self._ask_verify()

    # Schema

    def _known_version(self) -> int:
        return max([self.position.schema_version, *self._revisions])

    def _revisions_up_to(self, to: int) -> ev.Revisions | None:
        """Return the revisions after the replica's, up to `to`; None when some were not received."""
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
        # A version without commands still counts: the server may omit empty revisions.
        for version in range(self.position.schema_version + 1, message.to + 1):
            self._revisions[version] = ()
        self._revisions |= dict(message.revisions)
        self._waiting_schema = False
        then, self._after_schema = self._after_schema, None
        if self._held and isinstance(self._held[0], Changes) and self._held[0].schema_version > self._known_version():
            return self._break("The server sent changes without the schema they need.")
        return then() if then else []

    # Snapshots

    def _received_part(self, data: bytes) -> list[Action]:
        try:
            snapshot, part, content = parse_part(data)
        except MalformedMessage as problem:
            return self._break(str(problem))
        self._received_any = True
        return [ev.StorePart(part, content)] if self._downloader.wants(snapshot, part) else []

    def _part_stored(self, event: ev.PartStored) -> list[Action]:
        actions = self._downloader.stored(event)
        if actions is None:
            return self._break("The snapshot download was damaged repeatedly.")
        self._progress(self._downloader.progress)
        if any(isinstance(action, ev.Install) for action in actions):
            self._applying, self._after_applied = True, self._subscribe
        return actions

    # Repair and verification

    def _diverged(self, reason: str) -> list[Action]:
        self._repairs += 1
        if self._repairs > _MAX_REPAIRS or self._welcome is None:
            return self._fail("diverged")
        return [ev.Notify("repair", f"Repairing the replica: {reason}."), *self._open_repair()]

    def _open_repair(self) -> list[Action]:
        self._streaming = self._collecting = False
        self._held.clear()
        self._downloader.stop()
        actions = self._ask_schema(self._schema_for_repair)
        self._set(State.REPAIRING)
        return actions

    def _schema_for_repair(self) -> list[Action]:
        revisions = self._revisions_up_to(self._known_version())
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
        """Continue a repair. Before its end, fetch newly published schema: rows may have had new columns."""
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
