"""Files of the server that only its user can read: the database, the data directory, and all that is created in it."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PRIVATE_UMASK = 0o077
SIDE_FILES = ("-wal", "-shm", "-journal")


def create_private_files() -> None:
    """Let this process create private files and folders: 0600 and 0700. Called where a process starts."""
    os.umask(PRIVATE_UMASK)


def private_directory(path: Path) -> None:
    """Create the data directory, or correct an existing one and the snapshots in it."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    _make_private(path)
    for folder, _, files in os.walk(path / "snapshots"):
        _make_private(Path(folder), *(Path(folder, name) for name in files))


def private_database(name: str) -> None:
    """Correct the modes of a SQLite database and of the files that SQLite keeps next to it."""
    path = _path_of(name)
    if path is not None:
        _make_private(path, *(path.with_name(path.name + suffix) for suffix in SIDE_FILES))


def _path_of(name: str) -> Path | None:
    if not name or ":memory:" in name or "mode=memory" in name:
        return None
    return Path(name.removeprefix("file:").partition("?")[0]) if name.startswith("file:") else Path(name)


def _make_private(*paths: Path) -> None:
    """Take the rights of the group and of others. Leave what another user owns, and shared folders such as /tmp."""
    for path, mode in _modes(paths):
        if mode & 0o077 and not mode & stat.S_ISVTX:
            with suppress(PermissionError):
                path.chmod(mode & 0o700)


def _modes(paths: tuple[Path, ...]) -> Iterator[tuple[Path, int]]:
    for path in paths:
        with suppress(OSError):
            yield path, stat.S_IMODE(path.stat().st_mode)
