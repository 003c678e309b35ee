"""Allow one syncing process per replica file: a lock that the operating system releases when its holder dies."""

from pathlib import Path
from typing import IO

from moat_client.private_files import create_private, make_private

try:
    import fcntl
except ImportError:  # pragma: no cover - not on Windows, where only the server's one connection per device helps
    fcntl = None  # type: ignore[assignment]


class SyncLock:
    """Held while a process syncs a replica."""

    def __init__(self, replica_path: Path) -> None:
        self._path = replica_path.with_name(replica_path.name + ".sync-lock")
        self._file: IO[bytes] | None = None

    def acquire(self) -> bool:
        """Take the lock; return False when another process, or another Sync in this one, holds it."""
        if fcntl is None:
            return True
        create_private(self._path)
        make_private(self._path)
        file = self._path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Release the lock."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def is_held_elsewhere(self) -> bool:
        """Return whether another process or Sync holds the lock."""
        if self._file is not None or not self._path.exists():
            return False
        if self.acquire():
            self.release()
            return False
        return True
