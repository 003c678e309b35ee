"""Keep a store in sync with a server: pull, apply with the cursor in one transaction, push, compact.

A failure never touches local data: a page is applied with its cursor or not at all, and an op leaves the outbox only
when the server has decided it. After a crash, the next run sends unconfirmed ops again, and the server recognizes them.
"""

import contextlib
import random
import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from moat_client.errors import MoatError, Unreachable
from moat_client.net.backoff import Backoff
from moat_client.v1 import messages
from moat_client.v1.apply import Applier, ResolvedConflict
from moat_client.v1.http import INVALID_CURSOR, Http, Refusal
from moat_client.v1.resolvers import Resolver, server_wins
from moat_client.v1.store import EntityStore, QueuedOp

PAGE = 500
BATCH = 500
BATCH_BYTES = 8_388_608
_TICK_SECONDS = 0.2
_BAD_OP = re.compile(r"ops\[(\d+)\]")


class Calls(Protocol):
    """The transport that the engine needs."""

    def call(self, path: str, message: dict[str, Any]) -> dict[str, Any]:
        """Send a message and return the response."""

    def events(self, last_id: str | None, device: str) -> Iterable[tuple[str, dict[str, Any], str | None]]:
        """Yield events as (type, data, id)."""


@dataclass(frozen=True, slots=True)
class Config:
    """The server, database, and device to sync with; nothing is discovered.

    `token` is called before every request. `collections` limits what is pulled; empty means all.
    """

    url: str
    db_id: str
    device_id: str
    token: Callable[[], str]
    collections: tuple[str, ...] = ()
    platform: str = "python"
    app_version: str = "1"


@dataclass(frozen=True, slots=True)
class Status:
    """The status of a store. `state` is idle, syncing, waiting, or failed; `error` is the last failure's message."""

    state: str
    cursor: int
    pending: int
    refused: int
    conflicts: int
    error: str
    synced_at: float | None


@dataclass(frozen=True, slots=True)
class Synced:
    """The counts of one round. `pulled` counts changes that others made."""

    pulled: int = 0
    pushed: int = 0
    conflicts: int = 0
    refused: int = 0


class SyncEngine:
    """Sync one store. Enables the store's outbox; edits made before that stay local until made again."""

    def __init__(
        self, store: EntityStore, config: Config, *, resolver: Resolver = server_wins, calls: Calls | None = None
    ) -> None:
        self.store, self.config = store, config
        self._calls: Calls = calls or Http(config.url, config.token)
        self._applier = Applier(store, config.device_id, resolver, self._is_pulled)
        self._listeners: list[Callable[[str, dict[str, Any]], None]] = []
        self._state, self._error = "idle", ""
        self._synced_at: float | None = None
        self._pulled = self._pushed = self._conflicts = self._refused = 0
        self._wake = threading.Event()
        with store.transaction():
            for key, word, value in (("db_id", "database", config.db_id), ("device_id", "device", config.device_id)):
                known = store.get_meta(key)
                if known and known != value:
                    raise MoatError(
                        f"This store belongs to {word} {known}. Use a different file for {value}.", code="wrong_store"
                    )
            store.enable_outbox()

    # Status

    def listen(self, callback: Callable[[str, dict[str, Any]], None]) -> None:
        """Call `callback` with (event, details). Events: state, pulled, pushed, conflict, refused, resync."""
        self._listeners.append(callback)

    def status(self) -> Status:
        """Return the status of the store."""
        count = self.store.counts()
        cursor = int(self.store.get_meta("cursor", "0"))
        return Status(self._state, cursor, count.pending, count.refused, count.conflicts, self._error, self._synced_at)

    def _notify(self, event: str, **details: Any) -> None:
        for callback in tuple(self._listeners):
            callback(event, details)

    def _enter(self, state: str, error: str = "") -> None:
        self._state, self._error = state, error
        self._notify("state", state=state, error=error)

    # One round

    def sync(self) -> Synced:
        """Pull, push, and compact once.

        Raise `Unreachable` when a later attempt may succeed, and `Refusal` when a person must act.
        """
        self._enter("syncing")
        self._pulled = self._pushed = self._conflicts = self._refused = 0
        try:
            self._handshake()
            self._pull()
            while self._push():
                self._pull()  # learn the versions under which the server accepted the ops before sending more
        except Exception as problem:
            self._enter("failed", str(problem))
            raise
        if self._pushed:
            self._notify("pushed", count=self._pushed)
        self._synced_at = time.time()
        self._enter("idle")
        return Synced(self._pulled, self._pushed, self._conflicts, self._refused)

    def _me(self) -> dict[str, str]:
        return {"dbId": self.config.db_id, "deviceId": self.config.device_id}

    def _handshake(self) -> None:
        info = {"platform": self.config.platform, "appVersion": self.config.app_version}
        answer = self._calls.call("handshake", {**self._me(), "clientInfo": info})
        with self.store.transaction():
            is_ours = bool(self.store.get_meta("device_id"))
            # The server may have accepted numbers from another file of this device, or from this file before an older
            # copy of it was restored. Do not use them again: an edit under one of them would count as a repetition.
            accepted = messages.last_op_id(answer)
            if not is_ours or accepted > int(self.store.get_meta("sent") or self.store.newest_op()):
                self.store.number_after(accepted)
                self.store.set_meta("sent", accepted)
            if is_ours:
                return
            # From here on, the file belongs to this device.
            self.store.set_meta("db_id", self.config.db_id)
            self.store.set_meta("device_id", self.config.device_id)

    def _is_pulled(self, collection: str) -> bool:
        return not self.config.collections or collection in self.config.collections

    def _pull(self) -> None:
        more = True
        while more:
            cursor = int(self.store.get_meta("cursor", "0"))
            asked: dict[str, Any] = {"dbId": self.config.db_id, "sinceCursor": cursor, "limit": PAGE}
            if self.config.collections:
                asked["collections"] = list(self.config.collections)
            try:
                answer = self._calls.call("pull", asked)
            except Refusal as refusal:
                if refusal.number != INVALID_CURSOR or cursor == 0:
                    raise
                self._applier.start_over()
                self._notify("resync")
                continue
            page = messages.page(answer, cursor)
            self._report_conflicts(self._applier.page(page, cursor))
            more = page.has_more
            others = sum(op.device != self.config.device_id for op in page.ops)
            self._pulled += others
            if others:
                self._notify("pulled", count=others, cursor=page.next_cursor)

    def _report_conflicts(self, found: Sequence[ResolvedConflict]) -> None:
        self._conflicts += len(found)
        for each in found:
            self._notify(
                "conflict",
                collection=each.conflict.collection,
                id=each.conflict.id,
                kept="mine" if each.kept else "theirs",
            )

    # Pushing

    def _push(self) -> bool:
        """Send one batch of the outbox; return False when it is empty.

        Of an entity's ops in a batch, only the newest is sent, one above the server's last known version. So a change
        by others in between is always detected, however often the entity was edited here.
        """
        while batch := self.store.queued(limit=BATCH, most_bytes=BATCH_BYTES):
            newest = {(op.collection, op.id): op for op in batch}
            sent = [(op, self._next_version(op)) for op in sorted(newest.values(), key=lambda op: op.op_id)]
            if sent[-1][0].op_id > int(self.store.get_meta("sent", "0")):
                self.store.set_meta("sent", sent[-1][0].op_id)
            try:
                answer = self._calls.call(
                    "push", {**self._me(), "ops": [self._wire(op, version) for op, version in sent]}
                )
            except Refusal as refusal:
                self._set_aside([op for op, _ in sent], refusal)
                continue
            pushed = messages.pushed(answer)
            settled = [op for op, _ in sent if op.op_id <= pushed.acknowledged]
            if not settled:
                raise Unreachable("The server accepted the push but acknowledged none of its ops.")
            self._report_conflicts(self._applier.answer(sent, pushed))
            self._pushed += len(settled)
            return True
        return False

    def _next_version(self, op: QueuedOp) -> int:
        entity = self.store.entity(op.collection, op.id)
        return 1 + ((entity.base_version or 0) if entity is not None else 0)

    def _wire(self, op: QueuedOp, version: int) -> dict[str, Any]:
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

    def _set_aside(self, ops: Sequence[QueuedOp], refusal: Refusal) -> None:
        """Set aside the op that makes the server reject the push; its edit stays in the store and is listed."""
        found = _BAD_OP.match(refusal.field or "")
        if found is None or int(found[1]) >= len(ops):
            raise refusal
        bad = ops[int(found[1])]
        self.store.refuse(bad, refusal.number, str(refusal))
        self._refused += 1
        self._notify("refused", op_id=bad.op_id, collection=bad.collection, id=bad.id, message=str(refusal))

    # Keep syncing

    def run(self, stop: threading.Event, *, every: float = 60.0) -> None:
        """Keep syncing until `stop` is set: sync, then wait for a server event, a local edit, or `every` seconds.

        Edits by other processes on the same file count too. Raise `Refusal` when a person must act.
        """
        listener = threading.Thread(target=self._listen, args=(stop,), daemon=True)
        listener.start()
        backoff = Backoff(random.random)
        while not stop.is_set():
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
            if quick and (self._wake.is_set() or self.store.queued(limit=1)):
                return
            (self._wake if quick else stop).wait(min(left, _TICK_SECONDS))

    def _listen(self, stop: threading.Event) -> None:
        """Use the server's event stream as a wake-up; the changes themselves are pulled."""
        backoff = Backoff(random.random)
        last_id: str | None = None
        while not stop.is_set():
            wait: float | None = None
            with contextlib.suppress(Refusal):
                try:
                    for kind, _, event_id in self._calls.events(last_id, self.config.device_id):
                        # After an error, the ID may belong to something no longer visible. Missed changes are pulled.
                        last_id = None if kind == "error" else event_id or last_id
                        backoff.reset()
                        if kind in ("connected", "operations", "error"):
                            self._wake.set()
                        if stop.is_set():
                            return
                except Unreachable as problem:
                    wait = problem.retry_after
            stop.wait(backoff.next(wait))
