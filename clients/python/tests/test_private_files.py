"""Only the owner reads a replica and its side files, and the device token is outside the replica."""

import asyncio
import gzip
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_server import FakeServer

from moat_client import MoatError, Replica, Sync, remember_login
from moat_client.replica import credentials
from moat_client.replica.credentials import load_token, token_file
from moat_client.replica.snapshot import Download, parts_folder
from moat_client.replica.store import get_state
from moat_client.sync.lock import SyncLock
from moat_client.v1.store import EntityStore
from moat_client.wire.messages import Manifest

OLD_REPLICA = Path(__file__).parent / "files/replica_with_token.sqlite3.gz"
"""Written by the client as of commit d8a7151: signed in, synced, with one local edit."""
OLD_TOKEN = "token-d1-of-an-old-replica"
MANIFEST = Manifest("s", "c", 0, 0, "", "", 3, "0" * 64, ((3, "0" * 64),), {})


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    """A umask that hides nothing, so that only the client's own modes count."""
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): oct(p.stat().st_mode & 0o777) for p in sorted(folder.rglob("*"))}


class Keyring(SimpleNamespace):
    """Stands in for the package `keyring`. The real one would reach the keyring of the person who runs the tests."""

    def __init__(self, priority: float = 5, *, locked: bool = False) -> None:
        super().__init__(priority=priority, locked=locked, entries={})

    def get_keyring(self) -> "Keyring":
        return self

    def set_password(self, service: str, name: str, secret: str) -> None:
        if self.locked:
            raise RuntimeError("locked")
        self.entries[service, name] = secret

    def get_password(self, service: str, name: str) -> str | None:
        if self.locked:
            raise RuntimeError("locked")
        return self.entries.get((service, name))

    def delete_password(self, service: str, name: str) -> None:
        del self.entries[service, name]


def sign_in(replica: Replica, token: str = "a-secret-token") -> None:
    remember_login(replica, url="http://127.0.0.1:9", tenant="acme", user="u", device="d1", token=token)


def bytes_of(replica: Path) -> bytes:
    return b"".join(p.read_bytes() for p in replica.parent.glob(replica.name + "*") if p.suffix != ".token")


def test_new_files_are_private(tmp_path: Path) -> None:
    with Replica.open(tmp_path / "a.db") as replica:
        sign_in(replica)
        lock = SyncLock(replica.path)
        assert lock.acquire()
        download = Download(replica.path, MANIFEST)
        with EntityStore(tmp_path / "b.db"):
            found = modes(tmp_path)
        download.close()
        lock.release()
    folders = {name for name in found if (tmp_path / name).is_dir()}
    assert {"a.db", "a.db-wal", "a.db-shm", "a.db.sync-lock", "a.db.token", "b.db", "b.db-wal"} <= found.keys()
    assert len(folders) == 2
    assert {name: mode for name, mode in found.items() if mode != ("0o700" if name in folders else "0o600")} == {}


def test_a_part_of_a_snapshot_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Download, "_take", lambda *_: None)
    download = Download(tmp_path / "a.db", MANIFEST)
    download.store(0, b"abc")
    download.close()
    assert modes(tmp_path)[str(download._file(0).relative_to(tmp_path))] == "0o600"


def test_existing_files_are_corrected_when_the_replica_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with Replica.open(path) as replica:
        sign_in(replica)
    (parts_folder(path) / "snapshot").mkdir(parents=True)
    (parts_folder(path) / "snapshot/000000.gz").touch()
    (tmp_path / "a.db.sync-lock").touch()
    for each in tmp_path.rglob("*"):
        each.chmod(0o777 if each.is_dir() else 0o666)
    with Replica.open(path):
        found = modes(tmp_path)
    assert set(found.values()) == {"0o600", "0o700"}, found


def test_a_file_that_is_no_replica_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("notes " * 1000)
    path.chmod(0o644)
    with pytest.raises(MoatError):
        Replica.open(path)
    assert modes(tmp_path) == {"notes.txt": "0o644"}


def test_without_a_keyring_the_token_is_in_a_file_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with Replica.open(path) as replica:
        sign_in(replica)
        sign_in(replica, "the-next-token")
        assert b"token" not in bytes_of(path).replace(b"token_name", b"").replace(b"token_in", b"")
        assert token_file(path).read_text() == load_token(replica.store) == "the-next-token"
    assert set(modes(tmp_path)) == {"a.db", "a.db.token"}


def test_the_keyring_is_used_if_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, ring = tmp_path / "a.db", Keyring()
    with Replica.open(path) as replica:
        sign_in(replica, "before-the-keyring")
        monkeypatch.setattr(credentials, "keyring", ring)
        assert load_token(replica.store) == "before-the-keyring"
        sign_in(replica)
        assert list(ring.entries.values()) == ["a-secret-token"]
        assert not token_file(path).exists()
        assert b"a-secret-token" not in bytes_of(path)
        assert load_token(replica.store) == "a-secret-token"
        monkeypatch.setattr(ring, "priority", 0.5)
        sign_in(replica, "the-next-token")
        assert ring.entries == {}
        assert load_token(replica.store) == "the-next-token"


@pytest.mark.parametrize("ring", [Keyring(0.5), Keyring(-1), Keyring(locked=True)])
def test_a_keyring_that_protects_nothing_or_refuses_is_not_used(
    ring: Keyring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "keyring", ring)
    with Replica.open(tmp_path / "a.db") as replica:
        sign_in(replica)
        assert token_file(replica.path).read_text() == "a-secret-token"
        assert ring.entries == {}


@pytest.mark.parametrize("later", [None, Keyring(locked=True), Keyring()])
def test_a_keyring_that_has_no_token_for_the_replica_is_an_error_that_says_what_to_do(
    later: Keyring | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "keyring", Keyring())
    with Replica.open(tmp_path / "a.db") as replica:
        sign_in(replica)
        monkeypatch.setattr(credentials, "keyring", later)
        with pytest.raises(MoatError, match=r"keyring.*moat login") as raised:
            Sync(replica)
    assert raised.value.code == "no_token"


@pytest.fixture
def old_replica(tmp_path: Path) -> Path:
    path = tmp_path / "old.db"
    path.write_bytes(gzip.decompress(OLD_REPLICA.read_bytes()))
    path.chmod(0o644)
    return path


def test_the_token_of_an_old_replica_is_moved_and_erased(old_replica: Path) -> None:
    assert b"token-d1" in old_replica.read_bytes()
    with Replica.open(old_replica) as replica:
        assert load_token(replica.store) == OLD_TOKEN
        assert b"token-d" not in bytes_of(old_replica)
        with replica.store.read() as (con, _):
            assert get_state(con, "token") == ""
            assert get_state(con, "device") == "d1"
        assert replica.count("jobs") == 4
        assert replica.status().pending == 1
    assert modes(old_replica.parent) == {"old.db": "0o600", "old.db.token": "0o600"}


def test_the_token_of_an_old_replica_is_moved_to_the_keyring(
    old_replica: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = Keyring()
    monkeypatch.setattr(credentials, "keyring", ring)
    with Replica.open(old_replica) as replica:
        assert load_token(replica.store) == OLD_TOKEN
    assert list(ring.entries.values()) == [OLD_TOKEN]
    assert set(modes(old_replica.parent)) == {"old.db"}


def test_the_move_of_a_token_waits_for_no_reader(old_replica: Path) -> None:
    reader = sqlite3.connect(old_replica, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM sync_state").fetchall()
    with Replica.open(old_replica) as replica:
        assert load_token(replica.store) == OLD_TOKEN
        reader.close()
    assert b"token-d" not in bytes_of(old_replica)


def test_an_old_replica_syncs_with_its_token(old_replica: Path, server: FakeServer) -> None:
    server.tokens[OLD_TOKEN] = "d1"
    with Replica.open(old_replica) as replica:
        asyncio.run(Sync(replica, server.url).once(within=20, reset=True))
        assert replica.status().pending == 0
