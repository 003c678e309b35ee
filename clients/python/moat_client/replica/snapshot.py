"""Download a snapshot part by part, and install it over the replica in one transaction.

Parts are kept next to the replica in `<db>.parts/<snapshot>/` until the snapshot is installed. An interrupted download
continues where it stopped, even in another process or on another connection.
"""

import contextlib
import hashlib
import shutil
import sqlite3
import zlib
from pathlib import Path

from moat_client.errors import BadSnapshot
from moat_client.private_files import create_private, private_folder
from moat_client.replica.catalog import load_catalog, read_records
from moat_client.replica.ddl import APPLICATION_ID, USER_VERSION, quoted
from moat_client.replica.overlays import all_active, raise_op_ids, remember_last_seen, repatch
from moat_client.replica.store import Store, prepare_schema, read_position
from moat_client.wire.messages import Manifest
from moat_client.wire.position import Position

PART_BYTES = 1024 * 1024
_GZIP = 31
_FIRST_STEPS = 4


class Download:
    """A snapshot being downloaded. Each part is checked on arrival and unpacked once all parts before it are."""

    def __init__(self, replica_path: Path, manifest: Manifest) -> None:
        self.manifest = manifest
        self._base = parts_folder(replica_path)
        self._folder = self._base / hashlib.sha256(manifest.snapshot.encode()).hexdigest()[:32]
        self.have: set[int] = set()
        self._unpacked = 0
        self._hash = hashlib.sha256()
        self._size = 0
        self._forget_others()
        private_folder(self._base)
        private_folder(self._folder)
        create_private(self._folder / "assembled.sqlite3")
        self._assembled = (self._folder / "assembled.sqlite3").open("wb")
        for part in range(len(manifest.parts)):
            self._resume(part)

    def _forget_others(self) -> None:
        for other in self._base.glob("*"):
            if other != self._folder:
                shutil.rmtree(other, ignore_errors=True)

    def _file(self, part: int) -> Path:
        return self._folder / f"{part:06d}.gz"

    def _resume(self, part: int) -> None:
        with contextlib.suppress(FileNotFoundError, BadSnapshot):
            self._take(part, self._file(part).read_bytes())

    def _take(self, part: int, data: bytes) -> None:
        if not 0 <= part < len(self.manifest.parts):
            raise BadSnapshot(f"the snapshot has no part {part}")
        size, digest = self.manifest.parts[part]
        if len(data) != size or hashlib.sha256(data).hexdigest() != digest:
            raise BadSnapshot(f"part {part} is damaged")
        self.have.add(part)
        while part == self._unpacked:
            self._unpack(part, data)
            part = self._unpacked
            if part in self.have:  # it arrived early
                data = self._file(part).read_bytes()
            else:
                break

    def _unpack(self, part: int, data: bytes) -> None:
        unpacker = zlib.decompressobj(_GZIP)
        raw = unpacker.decompress(data, PART_BYTES + 1)
        if len(raw) > PART_BYTES or not unpacker.eof:
            raise BadSnapshot(f"part {part} is not a single gzip member of at most 1 MiB")
        self._assembled.write(raw)
        self._hash.update(raw)
        self._size += len(raw)
        self._unpacked += 1

    def store(self, part: int, data: bytes) -> None:
        """Store a part; raise BadSnapshot when it does not match the manifest."""
        if part in self.have:
            return
        self._take(part, data)
        create_private(self._file(part))
        self._file(part).write_bytes(data)

    @property
    def progress(self) -> float:
        """The fraction that has arrived, from 0 to 1."""
        total = sum(size for size, _ in self.manifest.parts)
        return sum(self.manifest.parts[n][0] for n in self.have) / total if total else 1.0

    def finish(self) -> Path:
        """Return the assembled file, checked against the manifest; raise BadSnapshot."""
        self._assembled.close()
        if (
            self._unpacked != len(self.manifest.parts)
            or self._size != self.manifest.size
            or self._hash.hexdigest() != self.manifest.sha256
        ):
            self.discard()
            raise BadSnapshot("the assembled snapshot doesn't match its manifest")
        return Path(self._assembled.name)

    def close(self) -> None:
        """Stop unpacking; the parts stay for the next attempt."""
        self._assembled.close()

    def discard(self) -> None:
        """Delete all parts."""
        self._assembled.close()
        shutil.rmtree(self._base, ignore_errors=True)


def parts_folder(replica_path: Path) -> Path:
    """Return the folder that holds the parts of a download."""
    return replica_path.with_name(replica_path.name + ".parts")


def check_snapshot(con: sqlite3.Connection, manifest: Manifest) -> None:
    """Raise BadSnapshot unless the file is sound, holds only tables and indexes, and matches the manifest."""
    try:
        header = (con.execute("PRAGMA application_id").fetchone()[0], con.execute("PRAGMA user_version").fetchone()[0])
        if header != (APPLICATION_ID, USER_VERSION):
            raise BadSnapshot("the snapshot is not a replica file in a supported format")
        if con.execute("SELECT 1 FROM sqlite_master WHERE type NOT IN ('table', 'index')").fetchone():
            raise BadSnapshot("the snapshot contains objects other than tables and indexes")
        if [row[0] for row in con.execute("PRAGMA quick_check(1)")] != ["ok"]:
            raise BadSnapshot("the snapshot is damaged")
        at = read_position(con)
        if (at.cursor, at.state_hash, at.schema_version) != (
            manifest.cursor,
            manifest.state_hash,
            manifest.schema_version,
        ):
            raise BadSnapshot("the snapshot's cursor or chain hash doesn't match its manifest")
        for table, (count, _) in manifest.tables.items():
            if con.execute(f"SELECT count(*) FROM main.{quoted(table)}").fetchone()[0] != count:
                raise BadSnapshot(f"the snapshot's {table} doesn't have the record count in its manifest")
    except sqlite3.DatabaseError as problem:
        raise BadSnapshot(f"can't read the snapshot: {problem}") from problem


def install(store: Store, source: Path, manifest: Manifest) -> Position:
    """Replace the replica with a snapshot, keep the overlays and the device's state, and return the position.

    SQLite's backup writes the whole file as one transaction of the replica. Every process that has it open sees the old
    state or the new one, and a crash leaves the old one. The backup's first step takes the write lock; what others
    wrote until then is copied before its last step.
    """
    snapshot = sqlite3.connect(source, isolation_level=None, check_same_thread=False)
    try:
        snapshot.execute("PRAGMA trusted_schema = OFF")
        snapshot.execute("PRAGMA journal_mode = MEMORY")
        snapshot.execute("PRAGMA synchronous = OFF")  # the staging file is rebuilt after a crash
        check_snapshot(snapshot, manifest)
        snapshot.execute("BEGIN")
        prepare_schema(snapshot)
        snapshot.execute("COMMIT")
        with store.exclusive() as target:
            _match_page_size(snapshot, target)
            _copy_over(snapshot, target, store.path)
            target.execute("PRAGMA synchronous = FULL")
            target.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return read_position(target)
    finally:
        snapshot.close()


def _match_page_size(snapshot: sqlite3.Connection, target: sqlite3.Connection) -> None:
    size = target.execute("PRAGMA page_size").fetchone()[0]
    if snapshot.execute("PRAGMA page_size").fetchone()[0] != size:
        snapshot.execute(f"PRAGMA page_size = {size}")
        snapshot.execute("VACUUM")


def _copy_over(snapshot: sqlite3.Connection, target: sqlite3.Connection, path: Path) -> None:
    pages = snapshot.execute("PRAGMA page_count").fetchone()[0]
    copied = False

    def after_step(status: int, remaining: int, total: int) -> None:
        nonlocal copied
        if not copied and remaining:
            copied = True
            copy_local(path, snapshot)

    target.execute("PRAGMA synchronous = FULL")
    snapshot.backup(target, pages=max(1, pages // _FIRST_STEPS), progress=after_step, sleep=0.05)
    if not copied:
        raise BadSnapshot("the file is too small to be a snapshot")


def _remember_lost(old: sqlite3.Connection, snapshot: sqlite3.Connection) -> None:
    """Store the last values of records that have overlays but are not in the snapshot.

    They left the channel; the user's edits stay readable.
    """
    before, after = load_catalog(old), load_catalog(snapshot)
    for name in {table for table, _ in all_active(snapshot)}:
        if (table := before.tables.get(name)) is not None:
            ids = {record_id for active, record_id in all_active(snapshot) if active == name}
            kept = read_records(snapshot, after.tables[name], ids) if name in after.tables else {}
            remember_last_seen(snapshot, table, ids - kept.keys(), source=old)


def copy_local(path: Path, snapshot: sqlite3.Connection) -> None:
    """Copy overlays and device state from the replica into a snapshot, and build their patched rows."""
    old = sqlite3.connect(path, timeout=30, isolation_level=None)
    try:
        snapshot.execute("BEGIN")
        for table in ("overlays", "device_state"):
            rows = old.execute(f"SELECT * FROM {quoted(table)}").fetchall()
            if rows:
                marks = ", ".join("?" * len(rows[0]))
                snapshot.executemany(f"INSERT INTO {quoted(table)} VALUES ({marks})", rows)
        at = read_position(snapshot)
        _remember_lost(old, snapshot)
        snapshot.execute('DELETE FROM "overlays" WHERE "state" = \'acked\' AND "acked_cursor" <= ?', [at.cursor])
        raise_op_ids(snapshot, snapshot.execute('SELECT coalesce(max("op_id"), 0) FROM "overlays"').fetchone()[0])
        snapshot.execute('DELETE FROM "device_state" WHERE "key" = \'replay_until\'')
        repatch(snapshot, load_catalog(snapshot), all_active(snapshot))
        snapshot.execute("COMMIT")
    finally:
        old.close()
