"""Keep the device token outside the replica file: in the system keyring, or in a private file next to the replica.

The keyring is used if the package `keyring` is installed (`moat-client[keyring]`) and has a backend that protects what
it stores. `PYTHON_KEYRING_BACKEND=keyring.backends.null.Keyring` turns it off.
"""

import secrets
import sqlite3
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from moat_client.errors import MoatError
from moat_client.private_files import make_private, write_private
from moat_client.replica.store import BUSY_SECONDS, Store, get_state, set_state

SERVICE = "moat"
_KEYRING, _FILE = "keyring", "file"
_PROTECTED = 1
"""keyring's priority of a backend that it recommends. Plain-text backends and the null backend have less."""

try:
    keyring: Any = import_module("keyring")
except ImportError:
    keyring = None


def token_file(replica_path: Path) -> Path:
    """Return the path of the file that holds the token if there is no keyring."""
    return replica_path.with_name(replica_path.name + ".token")


def load_token(store: Store) -> str:
    """Return the token of this replica's device; empty if it is not signed in or the token is gone."""
    with store.read() as (con, _):
        place, name = get_state(con, "token_in"), get_state(con, "token_name")
    if place == _KEYRING:
        return _from_keyring(name)
    with suppress(FileNotFoundError):
        make_private(token_file(store.path))
        return token_file(store.path).read_text(encoding="utf-8").strip()
    return ""


def save_token(store: Store, token: str) -> None:
    """Store the token, and remove it from where it was before. Call it outside a transaction.

    A keyring may ask the user to unlock it, and must not block other processes meanwhile.
    """
    with store.read() as (con, _):
        name, before = get_state(con, "token_name") or secrets.token_hex(8), get_state(con, "token_in")
    place = _KEYRING if _to_keyring(name, token) else _FILE
    if place == _FILE:
        write_private(token_file(store.path), token.encode())
    with store.write() as writing:
        set_state(writing.con, "token_name", name)
        set_state(writing.con, "token_in", place)
    if place == _KEYRING:
        token_file(store.path).unlink(missing_ok=True)
    elif before == _KEYRING and keyring is not None:
        with suppress(Exception):  # it may be gone, or locked
            keyring.delete_password(SERVICE, name)


def move_token_out(store: Store) -> None:
    """Move the token of an older replica out of the file, and erase what SQLite left of it there."""
    with store.read() as (con, _):
        token = get_state(con, "token")
    if not token:
        return
    save_token(store, token)
    with store.write() as writing:
        writing.con.execute("PRAGMA secure_delete = ON")
        writing.con.execute('DELETE FROM "device_state" WHERE "key" = \'token\'')
    # Free space and the write-ahead log can hold older copies. If another process uses the file, do not wait for it:
    # SQLite empties the log when the last process closes the file.
    with store.exclusive() as con:
        con.execute("PRAGMA busy_timeout = 0")
        with suppress(sqlite3.OperationalError):
            con.execute("VACUUM")
            con.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        con.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")


def _has_keyring() -> bool:
    if keyring is None:
        return False
    try:
        return float(keyring.get_keyring().priority) >= _PROTECTED
    except Exception:  # a backend raises what it likes, for instance without a session bus
        return False


def _to_keyring(name: str, token: str) -> bool:
    """Store the token in the keyring; return False if there is none or it refuses."""
    if not _has_keyring():
        return False
    try:
        keyring.set_password(SERVICE, name, token)
    except Exception:  # locked, or its service is gone: the file is private too
        return False
    return True


def _from_keyring(name: str) -> str:
    reason = "the package keyring is not installed" if keyring is None else "it has no entry for this replica"
    if keyring is not None:
        try:
            if found := keyring.get_password(SERVICE, name):
                return str(found)
        except Exception as problem:
            reason = str(problem) or type(problem).__name__
    raise MoatError(
        f"Can't read the device token from the system keyring: {reason}. Unlock the keyring, or sign in again: "
        "moat login.",
        code="no_token",
    )
