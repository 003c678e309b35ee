"""An embedded store of entities on SQLite: collections of CBOR documents. It uses no network.

Every write is a transaction of one file, which several processes may open. The outbox (`outbox_enabled`) is off until
enabled. Then every local change adds one op to it, in the same transaction, until the op is compacted.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from moat_client.deprecated import old_names, warn_renamed
from moat_client.errors import MoatError, NotAReplica
from moat_client.private_files import create_private, make_database_private
from moat_client.v1.cbor import CborError, Pairs, decode, encode

Verb = Literal["upsert", "delete"]
BUSY_SECONDS = 30.0
_LAST_OP_ID = 2**62
_SCHEMA = """
CREATE TABLE IF NOT EXISTS "entities" ("collection" TEXT NOT NULL, "id" TEXT NOT NULL, "version" INTEGER NOT NULL,
  "cbor" BLOB, "base_version" INTEGER, "base_cbor" BLOB, PRIMARY KEY ("collection", "id")) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS "feed" ("op_id" INTEGER PRIMARY KEY AUTOINCREMENT, "collection" TEXT NOT NULL,
  "id" TEXT NOT NULL, "verb" TEXT NOT NULL, "version" INTEGER NOT NULL, "cbor" BLOB, "made_ms" INTEGER NOT NULL,
  "state" TEXT NOT NULL DEFAULT 'pending', "code" INTEGER, "message" TEXT);
CREATE INDEX IF NOT EXISTS "ix_feed_entity" ON "feed" ("collection", "id");
CREATE TABLE IF NOT EXISTS "conflicts" ("n" INTEGER PRIMARY KEY AUTOINCREMENT, "collection" TEXT NOT NULL,
  "id" TEXT NOT NULL, "mine" BLOB, "theirs" BLOB, "theirs_version" INTEGER NOT NULL, "outcome" TEXT NOT NULL,
  "at_ms" INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS "keys" ("collection" TEXT NOT NULL, "key" TEXT NOT NULL, "value" BLOB NOT NULL,
  "id" TEXT NOT NULL, PRIMARY KEY ("collection", "key", "value", "id")) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS "ix_keys_id" ON "keys" ("collection", "id");
CREATE TABLE IF NOT EXISTS "seen" ("collection" TEXT NOT NULL, "id" TEXT NOT NULL,
  PRIMARY KEY ("collection", "id")) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS "meta" ("key" TEXT PRIMARY KEY NOT NULL, "value" TEXT);
"""
_APPLICATION_ID = 0x4D4F4131  # "MOA1"


@dataclass(frozen=True, slots=True)
class Entity:
    """A document in the store; `cbor` is None when it was deleted.

    `base_*` is the server's version before it was edited here: version 0 if the server had none, None if it was not
    edited.
    """

    collection: str
    id: str
    version: int
    cbor: bytes | None
    base_version: int | None = None
    base_cbor: bytes | None = None

    @property
    def is_edited(self) -> bool:
        """Whether it differs from the last known version of the server."""
        return self.base_version is not None and self.cbor != self.base_cbor


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of pending ops, rejected ops, and conflicts."""

    pending: int
    refused: int
    conflicts: int


@dataclass(frozen=True, slots=True)
class QueuedOp:
    """A local change in the outbox, not yet acknowledged by the server."""

    op_id: int
    collection: str
    id: str
    verb: Verb
    version: int
    cbor: bytes | None
    made_ms: int


class EntityStore:
    """Open or create a store; raise `NotAReplica` for any other file. Safe to use from several threads."""

    def __init__(self, path: str | Path, *, create: bool = True) -> None:
        self.path = Path(path)
        if not create and not self.path.exists():
            raise NotAReplica(f"No store at {self.path}.", code="no_store")
        self._lock = threading.RLock()
        self._depth = 0
        create_private(self.path)
        self.con = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            self._prepare()
        except sqlite3.OperationalError:
            self.con.close()
            raise
        except sqlite3.DatabaseError as problem:
            self.con.close()
            raise NotAReplica(f"{self.path} is not a moat v1 store.") from problem
        except BaseException:
            self.con.close()
            raise

    def _prepare(self) -> None:
        found = self.con.execute("PRAGMA application_id").fetchone()[0]
        if found not in (0, _APPLICATION_ID) or (
            found == 0 and self.con.execute("SELECT 1 FROM sqlite_master").fetchone()
        ):
            raise NotAReplica(f"{self.path} is not a moat v1 store.")
        make_database_private(self.path)
        self.con.execute("PRAGMA journal_mode = WAL")
        self.con.execute("PRAGMA synchronous = FULL")
        self.con.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA application_id = {_APPLICATION_ID}; COMMIT;")

    def close(self) -> None:
        """Close the file."""
        self.con.close()

    def __enter__(self) -> "EntityStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the body in one transaction; a nested call joins the outer one."""
        with self._lock:
            if self._depth:
                self._depth += 1
                try:
                    yield
                finally:
                    self._depth -= 1
                return
            self.con.execute("BEGIN IMMEDIATE")
            self._depth = 1
            try:
                yield
                self.con.execute("COMMIT")
            except BaseException:
                if self.con.in_transaction:
                    self.con.execute("ROLLBACK")
                raise
            finally:
                self._depth = 0

    def collection(self, name: str) -> "Collection":
        """Return a collection, which need not exist yet."""
        return Collection(self, name)

    def collections(self) -> list[str]:
        """Return the names of non-empty collections."""
        return [
            name
            for (name,) in self.query(
                'SELECT DISTINCT "collection" FROM "entities" WHERE "cbor" IS NOT NULL ORDER BY 1'
            )
        ]

    def query(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a SELECT."""
        with self._lock:
            return self.con.execute(sql, values).fetchall()

    # Metadata

    def get_meta(self, key: str, default: str = "") -> str:
        """Return a metadata value."""
        found = self.query('SELECT "value" FROM "meta" WHERE "key" = ?', [key])
        return default if not found else str(found[0][0])

    def set_meta(self, key: str, value: object) -> None:
        """Set a metadata value."""
        with self.transaction():
            self.con.execute(
                'INSERT INTO "meta" VALUES (?, ?) ON CONFLICT ("key") DO UPDATE SET "value" = excluded."value"',
                [key, str(value)],
            )

    # Entities

    def entity(self, collection: str, entity_id: str) -> Entity | None:
        """Return an entity, even a deleted one."""
        sql = (
            'SELECT "collection", "id", "version", "cbor", "base_version", "base_cbor" FROM "entities" '
            'WHERE "collection" = ? AND "id" = ?'
        )
        found = self.query(sql, [collection, entity_id])
        return Entity(*found[0]) if found else None

    def write(self, entity: Entity) -> None:
        """Store an entity from elsewhere, without adding an op to the outbox."""
        with self.transaction():
            self.con.execute(
                'INSERT INTO "entities" VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT ("collection", "id") DO UPDATE '
                'SET "version" = excluded."version", '
                '"cbor" = excluded."cbor", "base_version" = excluded."base_version", '
                '"base_cbor" = excluded."base_cbor"',
                [entity.collection, entity.id, entity.version, entity.cbor, entity.base_version, entity.base_cbor],
            )
            self._index(entity)

    def forget(self, collection: str, entity_id: str) -> None:
        """Drop an entity, leaving no tombstone."""
        with self.transaction():
            for table in ("entities", "keys"):
                self.con.execute(f'DELETE FROM "{table}" WHERE "collection" = ? AND "id" = ?', [collection, entity_id])

    def mutate(self, collection: str, entity_id: str, cbor: bytes | None) -> int:
        """Put a document, or delete it with None; return its new version."""
        if not collection or not entity_id:
            raise MoatError("A collection and an ID are required.", code="bad_argument")
        with self.transaction():
            before = self.entity(collection, entity_id)
            version = 1 if before is None else before.version + 1
            base: tuple[int | None, bytes | None] = (0, None)
            if before is not None:
                is_based = before.base_version is not None or bool(self.pending_of(collection, entity_id))
                base = (before.base_version, before.base_cbor) if is_based else (before.version, before.cbor)
            if self._drop_rejected(collection, entity_id) and cbor is None and not base[0]:
                self.forget(collection, entity_id)  # the server never had it
                return version
            if self.outbox_enabled:
                self.append_op(collection, entity_id, version, cbor)
            self.write(Entity(collection, entity_id, version, cbor, *base))
        return version

    def _drop_rejected(self, collection: str, entity_id: str) -> bool:
        """Drop the rejected ops of an entity, which a newer edit replaces.

        Return whether there were any and no op is pending.
        """
        refused = self.refused_of(collection, entity_id)
        self.compact(refused)
        return bool(refused) and not self.pending_of(collection, entity_id)

    # The outbox

    @property
    def outbox_enabled(self) -> bool:
        """Whether local changes add ops to the outbox."""
        return self.get_meta("feed") == "on"

    def enable_outbox(self) -> None:
        """Let every local change add an op to the outbox, from now on."""
        self.set_meta("feed", "on")

    def disable_outbox(self) -> None:
        """Keep later local changes out of the outbox; ops already in it stay."""
        self.set_meta("feed", "off")

    @property
    def feed_on(self) -> bool:
        """Return `outbox_enabled`, under its old name."""
        warn_renamed("EntityStore.feed_on", "outbox_enabled")
        return self.outbox_enabled

    def turn_feed(self, *, on: bool) -> None:
        """Call `enable_outbox` or `disable_outbox`, under their old name."""
        warn_renamed("EntityStore.turn_feed", "enable_outbox or disable_outbox")
        self.set_meta("feed", "on" if on else "off")

    def feed(
        self, after: int = 0, limit: int = 1000, state: str = "pending", most_bytes: int | None = None
    ) -> list[QueuedOp]:
        """Call `queued`, under its old name."""
        warn_renamed("EntityStore.feed", "queued")
        return self.queued(after, limit, state, most_bytes)

    def append_op(self, collection: str, entity_id: str, version: int, cbor: bytes | None) -> int:
        """Append an op to the outbox; return its number, which is never used again."""
        with self.transaction():
            done = self.con.execute(
                'INSERT INTO "feed" ("collection", "id", "verb", "version", "cbor", "made_ms") VALUES (?, ?, ?, ?, '
                "?, ?)",
                [
                    collection,
                    entity_id,
                    "delete" if cbor is None else "upsert",
                    version,
                    cbor,
                    time.time_ns() // 1_000_000,
                ],
            )
        return int(done.lastrowid or 0)

    def queued(
        self, after: int = 0, limit: int = 1000, state: str = "pending", most_bytes: int | None = None
    ) -> list[QueuedOp]:
        """Return ops of the outbox after a number.

        With `most_bytes`, return at least one op, and more while their documents fit.
        """
        sql = (
            'SELECT "op_id", "collection", "id", "verb", "version", "cbor", "made_ms" FROM "feed" '
            'WHERE "op_id" > ? AND "state" = ? ORDER BY 1 LIMIT ?'
        )
        found: list[QueuedOp] = []
        with self._lock:
            for row in self.con.execute(sql, [after, state, limit]):
                op = QueuedOp(*row)
                if most_bytes is not None:
                    most_bytes -= len(op.cbor or b"")
                    if most_bytes < 0 and found:
                        break
                found.append(op)
        return found

    def newest_op(self) -> int:
        """Return the highest op number that this file ever used; 0 for none."""
        return int(self.query('SELECT coalesce(max("seq"), 0) FROM "sqlite_sequence" WHERE "name" = \'feed\'')[0][0])

    def number_after(self, op_id: int) -> None:
        """Start op numbers above `op_id`, and renumber the outbox: the device used these numbers before."""
        if op_id <= 0:
            return
        if op_id >= _LAST_OP_ID:
            raise MoatError("This device has used up its op numbers. Sign in as a new device.", code="bad_device")
        with self.transaction():
            newest = self.newest_op()
            self.con.execute('UPDATE "feed" SET "op_id" = -("op_id" + ?)', [op_id])
            self.con.execute('UPDATE "feed" SET "op_id" = -"op_id"')
            self.con.execute('DELETE FROM "sqlite_sequence" WHERE "name" = \'feed\'')
            self.con.execute("INSERT INTO \"sqlite_sequence\" VALUES ('feed', ?)", [newest + op_id])

    def counts(self) -> Counts:
        """Count pending ops, rejected ops, and conflicts."""
        states = dict(self.query('SELECT "state", count(*) FROM "feed" GROUP BY 1'))
        return Counts(
            states.get("pending", 0), states.get("refused", 0), self.query('SELECT count(*) FROM "conflicts"')[0][0]
        )

    def compact(self, op_ids: Sequence[int]) -> None:
        """Drop decided ops."""
        with self.transaction():
            self.con.executemany('DELETE FROM "feed" WHERE "op_id" = ?', [(op_id,) for op_id in op_ids])

    def refuse(self, op: QueuedOp, code: int, message: str) -> None:
        """Set aside an op that the server will never accept, and drop the entity's earlier ops, which it replaced."""
        with self.transaction():
            earlier = [
                n
                for n in (*self.pending_of(op.collection, op.id), *self.refused_of(op.collection, op.id))
                if n < op.op_id
            ]
            self.compact(earlier)
            self.con.execute(
                'UPDATE "feed" SET "state" = \'refused\', "code" = ?, "message" = ? WHERE "op_id" = ?',
                [code, message, op.op_id],
            )

    def clear_problems(self) -> int:
        """Clear the list of conflicts and undo rejected edits; return how many of both there were."""
        with self.transaction():
            count = self.counts()
            for op in self.queued(limit=-1, state="refused"):
                self.compact([op.op_id])
                entity = self.entity(op.collection, op.id)
                if entity is None or not entity.is_edited or self.pending_of(op.collection, op.id):
                    continue
                if entity.base_version:
                    self.write(Entity(op.collection, op.id, entity.base_version, entity.base_cbor))
                else:
                    self.forget(op.collection, op.id)
            self.con.execute('DELETE FROM "conflicts"')
        return count.refused + count.conflicts

    def pending_of(self, collection: str, entity_id: str) -> list[int]:
        """Return the numbers of an entity's pending ops."""
        return self._ops_of(collection, entity_id, "pending")

    def pending_with(self, collection: str, entity_id: str, cbor: bytes | None) -> int | None:
        """Return the number of an entity's newest pending op with these bytes (None: a deletion)."""
        sql = (
            'SELECT max("op_id") FROM "feed" WHERE "collection" = ? AND "id" = ? AND "state" = \'pending\' '
            'AND "cbor" IS ?'
        )
        found: int | None = self.query(sql, [collection, entity_id, cbor])[0][0]
        return found

    def refused_of(self, collection: str, entity_id: str) -> list[int]:
        """Return the numbers of an entity's rejected ops."""
        return self._ops_of(collection, entity_id, "refused")

    def _ops_of(self, collection: str, entity_id: str, state: str) -> list[int]:
        sql = 'SELECT "op_id" FROM "feed" WHERE "collection" = ? AND "id" = ? AND "state" = ? ORDER BY 1'
        return [op_id for (op_id,) in self.query(sql, [collection, entity_id, state])]

    # Indexes

    def add_index(self, collection: str, key: str) -> None:
        """Index a key of a collection's documents, existing and future."""
        with self.transaction():
            self.set_meta(f"index {collection} {key}", "on")
            for (entity_id,) in self.query('SELECT "id" FROM "entities" WHERE "collection" = ?', [collection]):
                found = self.entity(collection, entity_id)
                if found is not None:
                    self._index(found)

    def indexes(self, collection: str) -> list[str]:
        """Return the keys of a collection that are indexed."""
        prefix = f"index {collection} "
        found = self.query('SELECT "key" FROM "meta" WHERE substr("key", 1, ?) = ?', [len(prefix), prefix])
        return [key[len(prefix) :] for (key,) in found]

    def _index(self, entity: Entity) -> None:
        keys = self.indexes(entity.collection)
        if not keys:
            return
        self.con.execute('DELETE FROM "keys" WHERE "collection" = ? AND "id" = ?', [entity.collection, entity.id])
        document = as_document(entity.cbor)
        rows = [
            (entity.collection, key, encode(document[key]), entity.id)
            for key in keys
            if isinstance(document, dict) and key in document
        ]
        self.con.executemany('INSERT INTO "keys" VALUES (?, ?, ?, ?)', rows)


class Collection:
    """One collection of a store."""

    def __init__(self, store: EntityStore, name: str) -> None:
        self.store, self.name = store, name

    def put(self, entity_id: str, document: Any) -> int:
        """Store a document (any CBOR value); return its version."""
        return self.store.mutate(self.name, entity_id, encode(document))

    def put_bytes(self, entity_id: str, cbor: bytes) -> int:
        """Store a document as the caller's own bytes."""
        return self.store.mutate(self.name, entity_id, cbor)

    def get(self, entity_id: str) -> Any:
        """Return a document, or None."""
        found = self.store.entity(self.name, entity_id)
        return None if found is None else as_document(found.cbor)

    def delete(self, entity_id: str) -> bool:
        """Delete a document; return False when there was none."""
        with self.store.transaction():
            found = self.store.entity(self.name, entity_id)
            if found is None or found.cbor is None:
                return False
            self.store.mutate(self.name, entity_id, None)
        return True

    def items(self) -> Iterator[tuple[str, Any]]:
        """Yield (ID, document) of every document, by ID."""
        sql = 'SELECT "id", "cbor" FROM "entities" WHERE "collection" = ? AND "cbor" IS NOT NULL ORDER BY "id"'
        for entity_id, cbor in self.store.query(sql, [self.name]):
            yield entity_id, as_document(cbor)

    def find(self, where: Mapping[str, Any] | None = None) -> Iterator[tuple[str, Any]]:
        """Yield (ID, document) of the documents whose keys have these values, using an index if there is one."""
        wanted = {key: encode(value) for key, value in (where or {}).items()}
        key = next((key for key in self.store.indexes(self.name) if key in wanted), None)
        for entity_id, document in self.items() if key is None else self._by_index(key, wanted[key]):
            if not wanted or (
                isinstance(document, dict)
                and all(k in document and encode(document[k]) == v for k, v in wanted.items())
            ):
                yield entity_id, document

    def _by_index(self, key: str, value: bytes) -> Iterator[tuple[str, Any]]:
        sql = 'SELECT "id" FROM "keys" WHERE "collection" = ? AND "key" = ? AND "value" = ? ORDER BY "id"'
        for (entity_id,) in self.store.query(sql, [self.name, key, value]):
            yield entity_id, self.get(entity_id)


def as_document(cbor: bytes | None) -> Any:
    """Return the document in `cbor`; None for a deletion, and the bytes themselves if they are not CBOR."""
    if cbor is None:
        return None
    try:
        found = decode(cbor)
    except CborError:
        return cbor
    return (
        dict(found.items)
        if isinstance(found, Pairs) and all(isinstance(key, str | int | bytes) for key, _ in found.items)
        else found
    )


if TYPE_CHECKING:
    FeedOp = QueuedOp
else:
    __getattr__ = old_names(__name__, {"FeedOp": ("moat_client.v1.QueuedOp", QueuedOp)})
