"""The replica an application works with: queries, local writes, live queries, and problems to decide."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from moat_client.errors import InvalidEdit, MoatError, UnknownTable
from moat_client.replica import problems
from moat_client.replica.access import ACCESS, Rights, rights_of
from moat_client.replica.credentials import move_token_out
from moat_client.replica.ddl import quoted
from moat_client.replica.edits import Transaction, new_id
from moat_client.replica.layouts import resolve_layout
from moat_client.replica.overlays import active_ops
from moat_client.replica.problems import Problem
from moat_client.replica.store import Store, Writing, get_state, read_position
from moat_client.replica.tables import Table
from moat_client.replica.watch import Rows, Watch, tables_read
from moat_client.replica.where import order_sql, where_sql
from moat_client.wire.lines import ChangeLine, decode_change
from moat_client.wire.patch import Record
from moat_client.wire.position import Position
from moat_client.wire.schema import ObjectType

RESOLUTIONS = ("mine", "theirs")


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """A replica's identity, position, and unsynced ops.

    `pending` counts the ops that this replica has not yet seen in the server's log.
    """

    tenant: str
    user: str
    url: str
    device: str
    cursor: int
    schema_version: int
    pending: int
    conflicts: int
    rejected: int
    parked: int

    @property
    def problems(self) -> int:
        """How many ops need a decision."""
        return self.conflicts + self.rejected + self.parked

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self) | {"problems": self.problems}


class Replica:
    """A local replica in one SQLite file. It needs no server; a `Sync` syncs it.

    Values are in wire form: decimals and dates are text, json is parsed. Safe to use from several threads.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._watches: list[Watch] = []
        self._listeners: list[Callable[[Writing], None]] = []
        self._guard = threading.Lock()
        self._seen_version = store.data_version()
        store.on_commit = self._committed

    @classmethod
    def open(cls, path: str | Path, *, create: bool = True) -> Self:
        """Open a replica file, or create an empty one. Raises NotAReplica."""
        where = Path(path)
        if not create and not where.exists():
            raise MoatError(f"No replica at {where}. Sign in first: moat login.", code="no_replica")
        store = Store(where)
        try:
            move_token_out(store)
        except BaseException:
            store.close()
            raise
        return cls(store)

    def close(self) -> None:
        """Close the file; live queries end."""
        for watch in list(self._watches):
            watch.close()
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """The path of the file."""
        return self.store.path

    # Reading

    def get(self, table: str, record_id: str) -> Record | None:
        """Return a record with the user's local edits, or None."""
        found = self.find(table, where={"id": record_id}, limit=1)
        return found[0] if found else None

    def find(
        self,
        table: str,
        where: Mapping[str, Any] | None = None,
        *,
        order: str | Sequence[str] = (),
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Record]:
        """Return records by field values: `{"status": "done", "price__gte": "10.00"}`.

        Suffixes: ne, lt, lte, gt, gte, in, like. `order` names fields; a leading `-` sorts descending.
        """
        with self.store.read() as (con, catalog):
            target = catalog.synced(table)
            if target is None:
                raise UnknownTable(table)
            condition, params = where_sql(target, where or {})
            limits = f" LIMIT {-1 if limit is None else int(limit)} OFFSET {int(offset)}"
            sql = f"SELECT {target.column_list} FROM {quoted(table)}{condition}{order_sql(target, order)}{limits}"
            return [target.record(row) for row in con.execute(sql, params)]

    def count(self, table: str, where: Mapping[str, Any] | None = None) -> int:
        """Return how many records match."""
        with self.store.read() as (con, catalog):
            target = catalog.synced(table)
            if target is None:
                raise UnknownTable(table)
            condition, params = where_sql(target, where or {})
            return int(con.execute(f"SELECT count(*) FROM {quoted(table)}{condition}", params).fetchone()[0])

    def query(self, sql: str, params: Sequence[Any] | Mapping[str, Any] = ()) -> Rows:
        """Run any SELECT: `jobs` includes the user's local edits, `main.jobs` only synced rows.

        Values are as SQLite stores them (docs/spec/replica.md), not in wire form. Writing raises sqlite3.Error.
        """
        with self.store.read() as (con, _):
            cursor = con.execute(sql, params)
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor]

    def state_of(self, table: str, record_id: str) -> str:
        """Return a record's state: synced, pending, conflict, rejected, or parked."""
        with self.store.read() as (con, _):
            sql = 'SELECT "state" FROM main."overlays" WHERE "table_name" = ? AND "record_id" = ?'
            states = {state for (state,) in con.execute(sql, [table, record_id])}
        if not states:
            return "synced"
        return next((s for s in ("conflict", "rejected", "parked") if s in states), "pending")

    def objects(self) -> list[ObjectType]:
        """Return the published object types, sorted by name."""
        with self.store.read() as (_, catalog):
            return catalog.objects

    def object_type(self, table: str) -> ObjectType:
        """Return the object type of a table; raise UnknownTable."""
        return self._table(table)[1]

    def _table(self, table: str) -> tuple[Table, ObjectType]:
        with self.store.read() as (_, catalog):
            found = catalog.tables.get(table)
        if found is None or found.object_type is None:
            raise UnknownTable(table)
        return found, found.object_type

    def layouts(self) -> list[Record]:
        """Return all screen layouts."""
        return self.find("layout_definition", order="id")

    def layout_for(self, object_name: str, object_type: str | None = None, status: str | None = None) -> Record | None:
        """Return the most specific layout for a record of this kind."""
        return resolve_layout(self.layouts(), object_name, object_type, status)

    def recent_changes(self, after: int = 0, *, limit: int = -1) -> list[ChangeLine]:
        """Return recent change lines with cursors above `after`, oldest first; only the last thousand are kept."""
        with self.store.read() as (con, _):
            rows = con.execute(
                'SELECT "line" FROM main."_recent" WHERE "cursor" > ? ORDER BY "cursor" DESC LIMIT ?', [after, limit]
            ).fetchall()
        return [decode_change(line.encode()) for (line,) in reversed(rows)]

    # Writing

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Write several records that are applied together or not at all, here and on the server."""
        with self.store.write() as writing:
            yield Transaction(self.store, writing, tx=new_id())

    def insert(self, table: str, values: Mapping[str, Any], *, record_id: str | None = None) -> str:
        """Add a record and return its ID. See Transaction.insert."""
        with self.store.write() as writing:
            return Transaction(self.store, writing, None).insert(table, values, record_id=record_id)

    def update(self, table: str, record_id: str, values: Mapping[str, Any]) -> bool:
        """Update fields of a record; return whether anything changed."""
        with self.store.write() as writing:
            return Transaction(self.store, writing, None).update(table, record_id, values)

    def delete(self, table: str, record_id: str) -> None:
        """Delete a record."""
        with self.store.write() as writing:
            Transaction(self.store, writing, None).delete(table, record_id)

    # Problems

    def conflicts(self) -> list[Problem]:
        """Return every op that needs a decision: conflicts, and rejected or parked ops."""
        with self.store.read() as (con, _):
            return problems.list_problems(con)

    def resolve(self, n: int, resolution: str = "", *, edit: Mapping[str, Any] | None = None) -> None:
        """Resolve conflict number `n`: "mine", "theirs", or mine with the values of `edit`."""
        if bool(edit) == bool(resolution) or (resolution and resolution not in RESOLUTIONS):
            raise InvalidEdit('Pass "mine", "theirs", or edit values.', code="bad_resolution")
        with self.store.write() as writing:
            problem = problems.find_problem(writing.con, n)
            problems.resolve(self.store, writing, problem, resolution or "edit", edit)

    def retry(self, n: int, *, edit: Mapping[str, Any] | None = None) -> None:
        """Resend the rejected or parked op number `n`, with the values of `edit` if given."""
        with self.store.write() as writing:
            problems.retry(self.store, writing, problems.find_problem(writing.con, n), edit)

    def discard(self, n: int) -> None:
        """Discard the op number `n` with the rest of its rejected transaction."""
        with self.store.write() as writing:
            problems.discard(self.store, writing, problems.find_problem(writing.con, n))

    # Watching

    def watch(
        self, sql: str, params: Sequence[Any] | Mapping[str, Any] = (), callback: Callable[[Rows], None] | None = None
    ) -> Watch:
        """Run a query now, and again when a table it reads changes.

        Iterate the result with `async for rows in replica.watch(…)`, or pass a callback.

        `poll()`, which a running `Sync` calls, detects changes by other processes.
        """
        with self.store.read() as (con, _):
            tables = tables_read(con, sql, params)
        watch = Watch(lambda: self.query(sql, params), tables, callback)
        watch.on_close = self._unwatch
        with self._guard:
            self._watches.append(watch)
        return watch

    def _unwatch(self, watch: Watch) -> None:
        with self._guard:
            if watch in self._watches:
                self._watches.remove(watch)

    def listen(self, listener: Callable[[Writing], None]) -> Callable[[], None]:
        """Call `listener` after every commit of this process; return a function that stops it."""
        with self._guard:
            self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _committed(self, writing: Writing) -> None:
        with self._guard:
            watches, listeners = list(self._watches), list(self._listeners)
        for listener in listeners:
            listener(writing)
        if writing.touched:
            for watch in watches:
                watch.poke(writing.touched)

    def poll(self) -> bool:
        """Rerun live queries if another process wrote to the file; return whether it did."""
        version = self.store.data_version()
        if version in (-1, self._seen_version):
            return False
        self._seen_version = version
        with self._guard:
            watches = list(self._watches)
        for watch in watches:
            watch.poke({"*"})
        return True

    # State

    def rights(self, table: str) -> Rights:
        """Return what the user may do with a table, as the server last reported; for disabling controls."""
        with self.store.read() as (con, _):
            return rights_of(json.loads(get_state(con, ACCESS, "{}")), table)

    def position(self) -> Position:
        """Return the replica's position in the log."""
        with self.store.read() as (con, _):
            return read_position(con)

    def status(self) -> ReplicaStatus:
        """Return counts of unsynced ops, and the identity of this replica."""
        with self.store.read() as (con, _):
            at = read_position(con)
            counts: dict[str, int] = dict(
                con.execute('SELECT "state", count(*) FROM main."overlays" GROUP BY "state"').fetchall()
            )
            known = {key: get_state(con, key) for key in ("user", "url", "device", "tenant")}
        return ReplicaStatus(
            tenant=at.tenant or known["tenant"],
            user=known["user"],
            url=known["url"],
            device=known["device"],
            cursor=at.cursor,
            schema_version=at.schema_version,
            pending=counts.get("pending", 0) + counts.get("acked", 0),
            conflicts=counts.get("conflict", 0),
            rejected=counts.get("rejected", 0),
            parked=counts.get("parked", 0),
        )

    def pending_of(self, table: str, record_id: str) -> int:
        """Return how many ops of a record are not yet confirmed."""
        with self.store.read() as (con, _):
            return len(active_ops(con, table, record_id))
