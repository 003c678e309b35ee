"""Perform the engine's actions on a replica, each in one local transaction.

Calls block: run them off the event loop.
"""

import gc
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from moat_client.engine import events as ev
from moat_client.engine.events import Action, Digest, Event, Span
from moat_client.errors import BadSnapshot, Diverged, MalformedMessage
from moat_client.replica.access import ACCESS
from moat_client.replica.apply import (
    Applying,
    RowSet,
    adopt,
    apply_changes,
    apply_repair,
    apply_rows,
    range_where,
    run_revisions,
)
from moat_client.replica.ddl import patched_name, quoted
from moat_client.replica.overlays import pending_ops, record_results, renumber, repatch, set_problem
from moat_client.replica.problems import Problem, settled_elsewhere
from moat_client.replica.replica import Replica
from moat_client.replica.snapshot import Download, install
from moat_client.replica.spool import Spool
from moat_client.replica.store import Writing, get_state, read_position, set_state, write_position
from moat_client.wire.canonical import canonical_json
from moat_client.wire.chain import table_digest
from moat_client.wire.position import Position

_MANY = 1000
_UNREADABLE = (KeyError, TypeError, ValueError, IndexError)


class Backend:
    """Perform the engine's actions on a replica. `perform` returns the event that answers an action, if any."""

    def __init__(self, replica: Replica) -> None:
        self.replica = replica
        self.store = replica.store
        self.on_settled: Callable[[list[Problem]], None] = lambda problems: None
        self._spool: Spool | None = None
        self._download: Download | None = None
        with self.store.read() as (con, _):
            own = {get_state(con, "device"), *json.loads(get_state(con, "past_devices", "[]"))}
        self._devices = frozenset(own - {""})

    def close(self) -> None:
        """Close files; parts of a download stay for the next time."""
        if self._spool is not None:
            self._spool.close()
        if self._download is not None:
            self._download.close()

    def perform(self, action: Action) -> Event | None:
        """Perform an action. Data that does not fit the replica returns NotApplied and changes nothing."""
        perform = _PERFORM.get(type(action))
        if perform is None:
            return None
        try:
            return perform(self, action)
        except (Diverged, MalformedMessage) as problem:
            return ev.NotApplied(str(problem))
        except _UNREADABLE as problem:
            if isinstance(action, ev.ApplyChanges | ev.ApplyRows | ev.ApplyRepair):
                return ev.NotApplied(f"can't apply the server's message: {problem!r}")
            raise

    def _work(self, writing: Writing) -> Applying:
        return Applying(writing.con, self.store.catalog, self._devices)

    def _apply_changes(self, action: ev.ApplyChanges) -> Event:
        with without_collector(len(action.frame.lines)), self.store.write(durable=False) as writing:
            position, touched = apply_changes(self._work(writing), action.frame, action.revisions)
            writing.touched |= touched
        return ev.Applied(position)

    def _apply_schema(self, action: ev.ApplySchema) -> Event:
        with self.store.write() as writing:
            work = self._work(writing)
            keys = run_revisions(work, action.revisions)
            repatch(writing.con, work.catalog(), keys)
            position = replace(read_position(writing.con), schema_version=action.revisions[-1][0])
            write_position(writing.con, position)
            writing.touched.add("*")
        return ev.Applied(position)

    def _start_rows(self, _: ev.StartRows) -> None:
        if self._spool is not None:
            self._spool.close()
        self._spool = Spool()

    def _collect_rows(self, action: ev.CollectRows) -> None:
        if self._spool is not None:
            self._spool.add(action.rows)

    def _apply_rows(self, action: ev.ApplyRows) -> Event:
        end = RowSet(action.to, action.state_hash, action.schema_version, action.revisions)
        frames: Iterable[Any] = self._spool or ()
        with self.store.write() as writing:
            position, touched = apply_rows(self._work(writing), frames, end)
            position = replace(position, channel=action.channel or position.channel)
            write_position(writing.con, position)
            writing.touched |= touched
        self._start_rows(ev.StartRows())
        return ev.Applied(position)

    def _set_server_identity(self, action: ev.SetServerIdentity) -> Event:
        with self.store.write() as writing:
            position = replace(
                read_position(writing.con),
                tenant=action.tenant,
                channel=action.channel,
                server_epoch=action.server_epoch,
            )
            write_position(writing.con, position)
        return ev.Applied(position)

    def _start_download(self, action: ev.StartDownload) -> Event:
        if self._download is not None:
            self._download.close()
        self._download = Download(self.replica.path, action.manifest)
        return ev.DownloadReady(frozenset(self._download.have))

    def _store_part(self, action: ev.StorePart) -> Event | None:
        if self._download is None:
            return None
        try:
            self._download.store(action.part, action.data)
        except BadSnapshot:
            return ev.PartStored(action.part, ok=False, progress=self._download.progress)
        return ev.PartStored(action.part, ok=True, progress=self._download.progress)

    def _install(self, _: ev.Install) -> Event | None:
        download, self._download = self._download, None
        if download is None:
            return None
        try:
            position = install(self.store, download.finish(), download.manifest)
        except BadSnapshot as problem:
            download.discard()
            return ev.SnapshotRejected(str(problem))
        download.discard()
        return ev.Applied(position)

    def _read_ops(self, action: ev.ReadOps) -> Event:
        with self.store.read() as (con, _):
            ops = tuple(pending_ops(con, action.after, action.limit))
            sent = int(get_state(con, "sent_up_to", "0"))
        if ops and ops[-1].op_id > sent:
            with self.store.write(durable=False) as writing:
                set_state(writing.con, "sent_up_to", ops[-1].op_id)
        return ev.OpsRead(ops, sent)

    def _record_results(self, action: ev.RecordResults) -> None:
        with self.store.write() as writing:
            cursor = read_position(writing.con).cursor
            keys = record_results(
                writing.con, self.store.catalog(), action.results, cursor=cursor, fresh_after=action.fresh_after
            )
            writing.touched |= {table for table, _ in keys}

    def _reject_ops(self, action: ev.RejectOps) -> None:
        with self.store.write() as writing:
            keys = set()
            for op_id in action.op_ids:
                found = writing.con.execute(
                    'SELECT "table_name", "record_id" FROM main."overlays" WHERE "op_id" = ?', [op_id]
                ).fetchone()
                if found:
                    set_problem(writing.con, op_id, "rejected", action.code, action.message)
                    keys.add((found[0], found[1]))
            repatch(writing.con, self.store.catalog(), keys)
            writing.touched |= {table for table, _ in keys}

    def _renumber(self, action: ev.Renumber) -> None:
        with self.store.write() as writing:
            renumber(writing.con, action.start)

    def _record_settled(self, action: ev.RecordSettled) -> None:
        with self.store.write() as writing:
            gone = settled_elsewhere(self.store, writing, action.settled)
        if gone:
            self.on_settled(gone)

    def _record_access(self, action: ev.RecordAccess) -> None:
        with self.store.write() as writing:
            set_state(writing.con, ACCESS, canonical_json(dict(action.access)))

    def _compute_digests(self, action: ev.ComputeDigests) -> Event:
        with self.store.read() as (con, catalog):
            known = [name for name in action.tables if catalog.synced(name) is not None]
            return ev.DigestsReady(
                {n: table_digest(con.execute(f'SELECT "id", "version" FROM main.{quoted(n)}')) for n in known}
            )

    def _cut_range(self, action: ev.CutRange) -> Event:
        where, bounds = range_where(action.span)
        with self.store.read() as (con, _):
            rows = con.execute(
                f'SELECT "id", "version" FROM main.{quoted(action.table)} WHERE {where} ORDER BY "id"', bounds
            ).fetchall()
        return ev.RangesReady(action.table, tuple(cut(rows, action.span, action.pieces)))

    def _digest_ranges(self, action: ev.DigestRanges) -> Event:
        pieces: list[tuple[Span, Digest]] = []
        with self.store.read() as (con, _):
            for span in action.spans:
                where, bounds = range_where(span)
                rows = con.execute(f'SELECT "id", "version" FROM main.{quoted(action.table)} WHERE {where}', bounds)
                pieces.append((span, table_digest(rows)))
        return ev.RangesReady(action.table, tuple(pieces))

    def _apply_repair(self, action: ev.ApplyRepair) -> None:
        with self.store.write() as writing:
            writing.touched |= apply_repair(self._work(writing), action.table, action.span, action.frames)

    def _adopt(self, action: ev.Adopt) -> Event:
        with self.store.write() as writing:
            before = read_position(writing.con)
            after = replace(
                before,
                cursor=action.cursor,
                state_hash=action.state_hash,
                channel=action.channel,
                server_epoch=action.server_epoch,
            )
            return ev.Applied(adopt(self._work(writing), after, action.replay_until))

    def _reset(self, _: ev.ResetReplica) -> Event:
        with self.store.write() as writing:
            con = writing.con
            for name in self.store.catalog().tables:
                con.execute(f"DROP TABLE main.{quoted(name)}")
                con.execute(f"DROP TABLE main.{quoted(patched_name(name))}")
            con.execute('DELETE FROM main."object_metadata"')
            con.execute('DELETE FROM main."layout_definition"')
            # Accepted ops are in the server's log, unless it was restored to an earlier state: send them again.
            con.execute(
                'UPDATE main."overlays" SET "state" = \'pending\', "acked_cursor" = NULL WHERE "state" = \'acked\''
            )
            set_state(con, "replay_until", 0)
            position = Position(tenant=read_position(con).tenant)
            write_position(con, position)
            writing.touched.add("*")
        return ev.Applied(position)


@contextmanager
def without_collector(size: int) -> Iterator[None]:
    """Pause Python's garbage collector while a large frame is parsed: it would repeatedly scan a growing heap."""
    if size < _MANY or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def cut(rows: list[tuple[str, int]], span: Span, pieces: int) -> list[tuple[Span, Digest]]:
    """Cut a range into pieces of about equal size at existing IDs; neighbors share the ID between them."""
    size = max(1, -(-len(rows) // pieces))
    marks = [rows[at][0] for at in range(size, len(rows), size)]
    bounds = [span[0], *marks, span[1]]
    out: list[tuple[Span, Digest]] = []
    for n, low in enumerate(bounds[:-1]):
        piece = rows[n * size : (n + 1) * size + (1 if n < len(marks) else 0)]
        out.append(((low, bounds[n + 1]), table_digest(piece)))
    return out


_PERFORM: dict[type, Callable[[Backend, Any], Event | None]] = {
    ev.ApplyChanges: Backend._apply_changes,
    ev.ApplySchema: Backend._apply_schema,
    ev.StartRows: Backend._start_rows,
    ev.CollectRows: Backend._collect_rows,
    ev.ApplyRows: Backend._apply_rows,
    ev.SetServerIdentity: Backend._set_server_identity,
    ev.StartDownload: Backend._start_download,
    ev.StorePart: Backend._store_part,
    ev.Install: Backend._install,
    ev.ReadOps: Backend._read_ops,
    ev.RecordResults: Backend._record_results,
    ev.RejectOps: Backend._reject_ops,
    ev.Renumber: Backend._renumber,
    ev.RecordSettled: Backend._record_settled,
    ev.RecordAccess: Backend._record_access,
    ev.ComputeDigests: Backend._compute_digests,
    ev.CutRange: Backend._cut_range,
    ev.DigestRanges: Backend._digest_ranges,
    ev.ApplyRepair: Backend._apply_repair,
    ev.Adopt: Backend._adopt,
    ev.ResetReplica: Backend._reset,
}
