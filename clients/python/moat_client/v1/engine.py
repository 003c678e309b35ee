"""Keeping a store in step with a server: pull, apply with the cursor in one transaction, push, compact.

Nothing that fails touches local data: a page is applied with its cursor or not at all, and an op leaves the feed only when the
server has said what became of it. Killed anywhere, the next run sends again what was not settled, and the server knows it.
"""

import asyncio
import contextlib
import inspect
import random
import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from moat_client.backoff import Backoff
from moat_client.errors import MoatError, Unreachable
from moat_client.v1.http import INVALID_CURSOR, Http, Refusal
from moat_client.v1.resolvers import Clash, Keep, Outcome, Resolver, server_wins
from moat_client.v1.store import Entity, EntityStore, FeedOp

PAGE = 500
BATCH = 500
_BAD_OP = re.compile(r"ops\[(\d+)\]")


class Calls(Protocol):
    """What the engine needs of a transport."""

    def call(self, path: str, message: dict[str, Any]) -> dict[str, Any]:
        """Send a message and return its answer."""

    def events(self, last_id: str | None, device: str) -> Iterable[tuple[str, dict[str, Any], str | None]]:
        """Yield events as (type, data, id)."""


@dataclass(frozen=True, slots=True)
class Config:
    """Where and as whom to sync; nothing is discovered. `token` is called before every request."""

    url: str
    db_id: str
    device_id: str
    token: Callable[[], str]
    collections: tuple[str, ...] = ()
    platform: str = "python"
    app_version: str = "1"


@dataclass(frozen=True, slots=True)
class Status:
    """Where a store stands. `state` is idle, syncing, waiting or failed; `error` the last failure in words."""

    state: str
    cursor: int
    pending: int
    refused: int
    conflicts: int
    error: str
    synced_at: float | None


@dataclass(frozen=True, slots=True)
class Synced:
    """What one round did."""

    pulled: int = 0
    pushed: int = 0
    conflicts: int = 0
    refused: int = 0


class SyncEngine:
    """Syncs one store. Turns the store's change feed on; edits made before that stay local until they are made again."""

    def __init__(self, store: EntityStore, config: Config, *, resolver: Resolver = server_wins, calls: Calls | None = None) -> None:
        self.store, self.config, self._resolver = store, config, resolver
        self._calls: Calls = calls or Http(config.url, config.token)
        self._listeners: list[Callable[[str, dict[str, Any]], None]] = []
        self._state, self._error = "idle", ""
        self._synced_at: float | None = None
        self._conflicts = self._refused = 0
        self._wake = threading.Event()
        with store.transaction():
            for key, value in (("db_id", config.db_id), ("device_id", config.device_id)):
                known = store.get_meta(key)
                if known and known != value:
                    raise MoatError(f"This store belongs to {key} {known}; use another file for {value}.", code="wrong_store")
                store.set_meta(key, value)
            store.turn_feed(on=True)

    # Looking on

    def listen(self, callback: Callable[[str, dict[str, Any]], None]) -> None:
        """Call back with (event, details): state, pulled, pushed, conflict, refused, resync."""
        self._listeners.append(callback)

    def status(self) -> Status:
        """Return where the store stands."""
        count = dict(self.store.query('SELECT "state", count(*) FROM "feed" GROUP BY 1'))
        conflicts = self.store.query('SELECT count(*) FROM "conflicts"')[0][0]
        cursor = int(self.store.get_meta("cursor", "0"))
        return Status(self._state, cursor, count.get("pending", 0), count.get("refused", 0), conflicts, self._error, self._synced_at)

    def _tell(self, event: str, **details: Any) -> None:
        for callback in tuple(self._listeners):
            callback(event, details)

    def _enter(self, state: str, error: str = "") -> None:
        self._state, self._error = state, error
        self._tell("state", state=state, error=error)

    # One round

    def sync(self) -> Synced:
        """Pull, push and compact, once. Raises `Unreachable` when it may work later, `Refusal` when a person has to look."""
        self._enter("syncing")
        self._conflicts = self._refused = 0
        try:
            info = {"platform": self.config.platform, "appVersion": self.config.app_version}
            self._calls.call("handshake", {**self._me(), "clientInfo": info})
            pulled = self._pull()
            pushed = self._push()
            if pushed:
                pulled += self._pull()
        except MoatError as problem:
            self._enter("failed", str(problem))
            raise
        self._synced_at = time.time()
        self._enter("idle")
        return Synced(pulled, pushed, self._conflicts, self._refused)

    def _me(self) -> dict[str, str]:
        return {"dbId": self.config.db_id, "deviceId": self.config.device_id}

    def _pull(self) -> int:
        count = 0
        more = True
        while more:
            cursor = int(self.store.get_meta("cursor", "0"))
            asked: dict[str, Any] = {"dbId": self.config.db_id, "sinceCursor": cursor, "limit": PAGE}
            if self.config.collections:
                asked["collections"] = list(self.config.collections)
            try:
                page = self._calls.call("pull", asked)
            except Refusal as refusal:
                if refusal.number != INVALID_CURSOR or cursor == 0:
                    raise
                self._start_over()
                continue
            ops, following, more = page["ops"], int(page["nextCursor"]), bool(page["hasMore"])
            self._apply(ops, cursor, following, more=more)
            count += len(ops)
        return count

    def _start_over(self) -> None:
        """The log no longer reaches back to the cursor: take everything anew, and let go of what then is not there any more."""
        with self.store.transaction():
            self.store.con.execute('DELETE FROM "seen"')
            self.store.set_meta("resync", "1")
            self.store.set_meta("cursor", "0")
        self._tell("resync")

    def _apply(self, ops: Sequence[dict[str, Any]], cursor: int, following: int, *, more: bool) -> None:
        with self.store.transaction():
            if int(self.store.get_meta("cursor", "0")) != cursor:
                return  # another process was here first
            resync = self.store.get_meta("resync") == "1"
            for op in ops:
                self._apply_one(op)
                if resync:
                    self.store.con.execute('INSERT OR IGNORE INTO "seen" VALUES (?, ?)', [op["collection"], op["entityId"]])
            self.store.set_meta("cursor", following)
            if resync and not more:
                self._end_resync()
        self._tell("pulled", count=len(ops), cursor=following)

    def _end_resync(self) -> None:
        gone = self.store.query(
            'SELECT "collection", "id" FROM "entities" e WHERE NOT EXISTS '
            '(SELECT 1 FROM "seen" s WHERE s."collection" = e."collection" AND s."id" = e."id")'
        )
        for collection, entity_id in gone:
            mine = not self.config.collections or collection in self.config.collections
            if mine and not self.store.pending_of(collection, entity_id):
                self.store.forget(collection, entity_id)
        self.store.con.execute('DELETE FROM "seen"')
        self.store.set_meta("resync", "0")

    def _apply_one(self, op: dict[str, Any]) -> None:
        collection, entity_id, version = op["collection"], op["entityId"], int(op["entityVersion"])
        deleted = str(op["opType"]).lower() == "delete"
        cbor = None if deleted else op.get("entityCbor") or b""
        own = op.get("deviceId") == self.config.device_id
        pending = self.store.pending_of(collection, entity_id)
        source = op.get("sourceOpId")
        if own and source in pending:  # accepted, and the answer was lost
            self.store.compact([number for number in pending if number <= source])
            pending = [number for number in pending if number > source]
        before = self.store.entity(collection, entity_id)
        if not pending:
            self.store.write(Entity(collection, entity_id, version, cbor))
        elif before is not None and (own or (before.base_version is not None and version <= before.base_version)):
            self.store.write(replace(before, base_version=version, base_cbor=cbor))
        elif before is not None and before.cbor == cbor:
            self._settle(before, pending, version, cbor)
        elif before is not None:
            self._resolve(before, pending, version, cbor)

    # Meeting others' edits

    def _resolve(self, entity: Entity, pending: Sequence[int], version: int, theirs: bytes | None) -> None:
        clash = Clash(entity.collection, entity.id, entity.cbor, theirs, entity.base_cbor, version)
        outcome = self._ask(clash)
        kept = isinstance(outcome, Keep)
        with self.store.transaction():
            self._remember(clash, "mine" if kept else "theirs")
            if not isinstance(outcome, Keep):
                self._settle(entity, pending, version, theirs)
            else:
                self.store.compact(pending)
                following = max(version, entity.version) + 1
                self.store.append_op(entity.collection, entity.id, following, outcome.cbor)
                self.store.write(Entity(entity.collection, entity.id, following, outcome.cbor, version, theirs))
        self._conflicts += 1
        self._tell("conflict", collection=entity.collection, id=entity.id, kept="mine" if kept else "theirs")

    def _ask(self, clash: Clash) -> Outcome:
        found = self._resolver(clash)
        if inspect.isawaitable(found):

            async def wait() -> Outcome:
                return await found

            return _run(wait())
        return found

    def _settle(self, entity: Entity, pending: Sequence[int], version: int, cbor: bytes | None) -> None:
        with self.store.transaction():
            self.store.compact(pending)
            self.store.write(Entity(entity.collection, entity.id, version, cbor))

    def _remember(self, clash: Clash, outcome: str) -> None:
        self.store.con.execute(
            'INSERT INTO "conflicts" ("collection", "id", "mine", "theirs", "theirs_version", "outcome", "at_ms") VALUES (?, ?, ?, ?, ?, ?, ?)',
            [clash.collection, clash.id, clash.mine, clash.theirs, clash.their_version, outcome, time.time_ns() // 1_000_000],
        )

    # Pushing

    def _push(self) -> int:
        """Send what is in the feed, batch by batch, until nothing is left to be sent.

        Of an entity's ops in a batch only the newest is sent, one above the version the server had: so a change by others
        in between is always noticed, however often the entity was edited here.
        """
        count = 0
        while batch := self.store.feed(limit=BATCH):
            newest = {(op.collection, op.id): op for op in batch}
            ops = sorted(newest.values(), key=lambda op: op.op_id)
            sent = {op.op_id: self._next_version(op) for op in ops}
            try:
                answer = self._calls.call("push", {**self._me(), "ops": [self._wire(op, sent[op.op_id]) for op in ops]})
            except Refusal as refusal:
                self._set_aside(ops, refusal)
                continue
            acknowledged = int(answer["acknowledgedUpToOpId"])
            settled = [op for op in ops if op.op_id <= acknowledged]
            if not settled:
                raise Unreachable("The server took a push and settled nothing of it.")
            self._take_answer(settled, sent, answer["conflicts"])
            count += len(settled)
        if count:
            self._tell("pushed", count=count)
        return count

    def _next_version(self, op: FeedOp) -> int:
        entity = self.store.entity(op.collection, op.id)
        return 1 + ((entity.base_version or 0) if entity is not None else 0)

    def _wire(self, op: FeedOp, version: int) -> dict[str, Any]:
        out = {
            "opId": op.op_id,
            **self._me(),
            "collection": op.collection,
            "entityId": op.id,
            "opType": op.verb,
            "entityVersion": version,
            "timestampMs": op.made_ms,
        }
        return out if op.cbor is None else {**out, "entityCbor": op.cbor}

    def _take_answer(self, settled: Sequence[FeedOp], sent: dict[int, int], conflicts: Sequence[dict[str, Any]]) -> None:
        lost = {int(each["clientOp"]["opId"]): each["serverState"] for each in conflicts}
        with self.store.transaction():
            for op in settled:
                self._compact(op)
                state, entity = lost.get(op.op_id), self.store.entity(op.collection, op.id)
                if entity is None:
                    continue
                pending = self.store.pending_of(op.collection, op.id)
                if state is not None:
                    self._resolve(entity, pending, int(state["entityVersion"]), state.get("entityCbor") or None)
                elif pending:
                    self.store.write(replace(entity, base_version=sent[op.op_id], base_cbor=op.cbor))
                else:
                    self.store.write(Entity(op.collection, op.id, sent[op.op_id], op.cbor))

    def _compact(self, op: FeedOp) -> None:
        """Drop an op that is settled, and the entity's earlier ones, which it took the place of."""
        self.store.compact([number for number in self.store.pending_of(op.collection, op.id) if number <= op.op_id])

    def _set_aside(self, ops: Sequence[FeedOp], refusal: Refusal) -> None:
        """Take the op out of the way that keeps a push from being taken; its edit stays in the store and is shown."""
        found = _BAD_OP.match(refusal.field or "")
        if found is None or int(found[1]) >= len(ops):
            raise refusal
        bad = ops[int(found[1])]
        with self.store.transaction():
            self.store.refuse(bad.op_id, refusal.number, str(refusal))
            self._compact(bad)
        self._refused += 1
        self._tell("refused", op_id=bad.op_id, collection=bad.collection, id=bad.id, message=str(refusal))

    # For good

    def run(self, stop: threading.Event, *, every: float = 60.0) -> None:
        """Stay in step until `stop` is set: sync, then wait for an event of the server, a local edit, or `every` seconds."""
        listener = threading.Thread(target=self._hear, args=(stop,), daemon=True)
        listener.start()
        backoff = Backoff(random.random)
        while not stop.is_set():
            self.store.changed.clear()
            self._wake.clear()
            try:
                self.sync()
                backoff.reset()
                wait = every
                self._enter("waiting")
            except Unreachable as problem:
                wait = backoff.next(problem.retry_after)
            self._sleep(stop, wait, quick=self._state == "waiting")

    def _sleep(self, stop: threading.Event, seconds: float, *, quick: bool) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not stop.is_set():
            if quick and (self._wake.is_set() or (self.store.changed.is_set() and self.store.feed(limit=1))):
                return
            self._wake.wait(min(left, 0.2)) if quick else stop.wait(min(left, 0.2))

    def _hear(self, stop: threading.Event) -> None:
        """Use the server's event stream as a wake-up; what it says is pulled."""
        backoff = Backoff(random.random)
        last_id: str | None = None
        while not stop.is_set():
            wait: float | None = None
            with contextlib.suppress(Refusal):
                try:
                    for kind, _, event_id in self._calls.events(last_id, self.config.device_id):
                        # After an error the id may be of what is no longer shown; what was missed meanwhile is pulled.
                        last_id = None if kind == "error" else event_id or last_id
                        backoff.reset()
                        if kind in ("connected", "operations", "error"):
                            self._wake.set()
                        if stop.is_set():
                            return
                except Unreachable as problem:
                    wait = problem.retry_after
            stop.wait(backoff.next(wait))


def _run(work: Any) -> Outcome:
    """Wait for a coroutine from plain code, whether or not this thread has an event loop."""
    box: list[Outcome | BaseException] = []

    def go() -> None:
        try:
            box.append(asyncio.run(work))
        except BaseException as problem:
            box.append(problem)

    thread = threading.Thread(target=go)
    thread.start()
    thread.join()
    if isinstance(box[0], BaseException):
        raise box[0]
    return box[0]
