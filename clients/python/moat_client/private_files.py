"""Files and folders that only their owner can read (0600 and 0700), whatever the umask."""

import os
import stat
from contextlib import suppress
from pathlib import Path

FILE_MODE = 0o600
FOLDER_MODE = 0o700
_SIDE_FILES = ("-wal", "-shm", "-journal", ".sync-lock", ".token")


def create_private(path: Path) -> None:
    """Create an empty file unless there is one. Errors are left to the call that opens the file.

    For a database: SQLite gives `-wal`, `-shm`, and `-journal` the mode of the database file.
    """
    with suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE))


def make_private(*paths: Path) -> None:
    """Take the rights of the group and of others from files that exist.

    Only the owner can do that. A file that belongs to another user is left as it is. The file is never opened: closing
    it would release the locks that SQLite holds on it in this process.
    """
    for path in paths:
        with suppress(FileNotFoundError, PermissionError):
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & 0o077:
                path.chmod(mode & 0o700)


def make_database_private(path: Path) -> None:
    """Correct the modes of a SQLite database and of the files next to it: SQLite's and this client's."""
    make_private(path, *(path.with_name(path.name + suffix) for suffix in _SIDE_FILES))
    parts = path.with_name(f"{path.name}.parts")
    make_private(parts, *parts.rglob("*"))


def private_folder(path: Path) -> None:
    """Create a folder, or correct one that exists."""
    path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    make_private(path)


def write_private(path: Path, data: bytes) -> None:
    """Replace a file's content in one step; after a crash it has the old content or the new one."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    fresh.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
