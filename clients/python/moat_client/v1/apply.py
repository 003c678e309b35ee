"""Apply server data to the store: a page with its cursor, or the response to a push, each in one transaction.

A resolver may take long and may read the store, so it runs outside the transaction. An attempt that meets an undecided
conflict is rolled back; the resolvers run, and the attempt starts again with their decisions.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from moat_client.v1.messages import Operation, Page, Pushed
from moat_client.v1.resolvers import Decision, EditConflict, Keep, Resolver, Yield
from moat_client.v1.store import Entity, EntityStore, QueuedOp


class _Undecided(Exception):
    """A conflict needs a decision first; nothing was written."""


@dataclass(frozen=True, slots=True)
class ResolvedConflict:
    """A conflict, and whether the local edit was kept."""

    conflict: EditConflict
    kept: bool


@dataclass(slots=True)
class _Round:
    decisions: dict[EditConflict, Decision]
    open: list[EditConflict] = field(default_factory=list)
    resolved: list[ResolvedConflict] = field(default_factory=list)

    def is_blocked(self, collection: str, entity_id: str) -> bool:
        """Return whether a conflict of this entity is undecided, so that later changes cannot be applied yet."""
        return any((conflict.collection, conflict.id) == (collection, entity_id) for conflict in self.open)


class Applier:
    """Apply the server's messages to one store.

    `is_pulled` returns whether changes of a collection come back by pulls.
    """

    def __init__(
        self, store: EntityStore, device_id: str, resolver: Resolver, is_pulled: Callable[[str], bool]
    ) -> None:
        self._store, self._device, self._resolver, self._is_pulled = store, device_id, resolver, is_pulled

    def page(self, page: Page, cursor: int) -> list[ResolvedConflict]:
        """Apply a page pulled at `cursor`, with its next cursor; do nothing if another process has already."""

        def work(round_: _Round) -> None:
            if int(self._store.get_meta("cursor", "0")) != cursor:
                return
            resync = self._store.get_meta("resync") == "1"
            for op in page.ops:
                self._operation(round_, op)
                if resync:
                    self._store.con.execute('INSERT OR IGNORE INTO "seen" VALUES (?, ?)', [op.collection, op.id])
            self._store.set_meta("cursor", page.next_cursor)
            if resync and not page.has_more:
                self._end_resync()

        return self._decided(work)

    def answer(self, sent: Sequence[tuple[QueuedOp, int]], pushed: Pushed) -> list[ResolvedConflict]:
        """Apply the results of a push; each op comes with the version it proposed."""

        def work(round_: _Round) -> None:
            for op, version in sent:
                if op.op_id <= pushed.acknowledged:
                    self._confirm(round_, op, version, pushed.lost.get(op.op_id))

        return self._decided(work)

    def start_over(self) -> None:
        """Resync from cursor 0, then delete records the server did not send.

        For a cursor that the server's log no longer reaches.
        """
        with self._store.transaction():
            self._store.con.execute('DELETE FROM "seen"')
            self._store.set_meta("resync", "1")
            self._store.set_meta("cursor", "0")

    def _decided(self, work: Callable[[_Round], None]) -> list[ResolvedConflict]:
        decisions: dict[EditConflict, Decision] = {}
        while True:
            round_ = _Round(decisions)
            try:
                with self._store.transaction():
                    work(round_)
                    if round_.open:
                        raise _Undecided
            except _Undecided:
                decisions.update((conflict, ask(self._resolver, conflict)) for conflict in round_.open)
                continue
            return round_.resolved

    def _operation(self, round_: _Round, op: Operation) -> None:
        if round_.is_blocked(op.collection, op.id):
            return
        own = op.device == self._device
        pending = self._store.pending_of(op.collection, op.id)
        if own and op.source in pending:  # accepted, but the response was lost
            self._store.compact([number for number in pending if number <= op.source])
            pending = [number for number in pending if number > op.source]
        before = self._store.entity(op.collection, op.id)
        if before is None or not pending:
            self._overwrite(before, op)
        elif own or (before.base_version is not None and op.version <= before.base_version):
            self._store.write(replace(before, base_version=op.version, base_cbor=op.cbor))
        elif before.cbor == op.cbor:
            self._accept_theirs(before, pending, op.version, op.cbor)
        elif (
            mine := self._store.pending_with(op.collection, op.id, op.cbor)
        ) is not None:  # equal bytes, but the server does not say whose
            self._store.compact([number for number in pending if number <= mine])
            self._store.write(replace(before, base_version=op.version, base_cbor=op.cbor))
        else:
            self._resolve(round_, before, pending, op.version, op.cbor)

    def _overwrite(self, before: Entity | None, op: Operation) -> None:
        """Write the server's version; list an edit that was never in the outbox, which was disabled, as a conflict."""
        if (
            before is not None
            and before.is_edited
            and before.cbor != op.cbor
            and not self._store.refused_of(op.collection, op.id)
        ):
            self._remember(_conflict(before, op.version, op.cbor), "theirs")
        self._store.write(Entity(op.collection, op.id, op.version, op.cbor))

    def _confirm(self, round_: _Round, op: QueuedOp, version: int, lost: tuple[int, bytes | None] | None) -> None:
        pending, entity = self._store.pending_of(op.collection, op.id), self._store.entity(op.collection, op.id)
        if op.op_id not in pending or entity is None or round_.is_blocked(op.collection, op.id):
            return  # another process has already done it
        # The server's version may be an earlier edit of this store: accepted, but the response was lost.
        is_own = lost is not None and self._store.pending_with(op.collection, op.id, lost[1]) is not None
        self._store.compact([number for number in pending if number <= op.op_id])
        if lost is not None:
            later = [number for number in pending if number > op.op_id]
            if is_own:
                self._keep(entity, later, *lost, entity.cbor)
            else:
                self._resolve(round_, entity, later, *lost)
            return
        # Only the pulled op tells whether the server created a version; it creates none for equal bytes.
        known = entity.base_version if self._is_pulled(op.collection) else version
        self._store.write(replace(entity, base_version=known or 0, base_cbor=op.cbor))

    def _resolve(
        self, round_: _Round, entity: Entity, pending: Sequence[int], version: int, theirs: bytes | None
    ) -> None:
        conflict = _conflict(entity, version, theirs)
        decision = round_.decisions.get(conflict)
        if decision is None:
            round_.open.append(conflict)
            return
        kept = isinstance(decision, Keep)
        self._remember(conflict, "mine" if kept else "theirs")
        round_.resolved.append(ResolvedConflict(conflict, kept))
        if not isinstance(decision, Keep):
            self._accept_theirs(entity, pending, version, theirs)
            return
        self._keep(entity, pending, version, theirs, decision.cbor)

    def _keep(
        self, entity: Entity, pending: Sequence[int], version: int, theirs: bytes | None, cbor: bytes | None
    ) -> None:
        """Propose the local document again, above the server's version."""
        self._store.compact(pending)
        following = max(version, entity.version) + 1
        self._store.append_op(entity.collection, entity.id, following, cbor)
        self._store.write(Entity(entity.collection, entity.id, following, cbor, version, theirs))

    def _accept_theirs(self, entity: Entity, pending: Sequence[int], version: int, cbor: bytes | None) -> None:
        self._store.compact(pending)
        self._store.write(Entity(entity.collection, entity.id, version, cbor))

    def _remember(self, conflict: EditConflict, outcome: str) -> None:
        self._store.con.execute(
            'INSERT INTO "conflicts" ("collection", "id", "mine", "theirs", "theirs_version", "outcome", "at_ms") '
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                conflict.collection,
                conflict.id,
                conflict.mine,
                conflict.theirs,
                conflict.their_version,
                outcome,
                time.time_ns() // 1_000_000,
            ],
        )

    def _end_resync(self) -> None:
        gone = self._store.query(
            'SELECT "collection", "id" FROM "entities" e WHERE NOT EXISTS '
            '(SELECT 1 FROM "seen" s WHERE s."collection" = e."collection" AND s."id" = e."id") '
            'AND NOT EXISTS (SELECT 1 FROM "feed" f WHERE f."collection" = e."collection" AND f."id" = e."id")'
        )
        for collection, entity_id in gone:
            if self._is_pulled(collection):
                self._store.forget(collection, entity_id)
        self._store.con.execute('DELETE FROM "seen"')
        self._store.set_meta("resync", "0")


def _conflict(entity: Entity, version: int, theirs: bytes | None) -> EditConflict:
    return EditConflict(entity.collection, entity.id, entity.cbor, theirs, entity.base_cbor, version)


def ask(resolver: Resolver, conflict: EditConflict) -> Decision:
    """Return a resolver's decision about a conflict, awaiting it if needed."""
    found = resolver(conflict)
    if isinstance(found, Keep | Yield):
        return found

    async def wait() -> Decision:
        return await found

    return _run(wait())


def _run(work: Coroutine[Any, Any, Decision]) -> Decision:
    """Run a coroutine to its end, whether or not this thread has an event loop."""
    box: list[Decision | BaseException] = []

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
