"""Allow one syncing process per replica file: a lock that the operating system releases when its holder dies."""

from pathlib import Path
from typing import IO

try:
    import fcntl
except (
    ImportError
):  # pragma: no cover - Windows has no such lock; there the server's rule of one connection per device stands alone
    fcntl = None  # type: ignore[assignment]


class SyncLock:
    """Held while a process keeps a replica in step."""

    def __init__(self, replica_path: Path) -> None:
        self._path = replica_path.with_name(replica_path.name + ".sync-lock")
        self._file: IO[bytes] | None = None

    def acquire(self) -> bool:
        """Take the lock; False when another process (or another Sync here) has it."""
        if fcntl is None:
            return True
        file = self._path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Give it back."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def is_held_elsewhere(self) -> bool:
        """Return whether someone else holds it now."""
        if self._file is not None or not self._path.exists():
            return False
        if self.acquire():
            self.release()
            return False
        return True
