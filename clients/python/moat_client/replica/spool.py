"""Keep incoming rows off the heap until all of them have arrived."""

import tempfile
from collections.abc import Iterator

from moat_client.wire.codec import dumps, loads
from moat_client.wire.messages import Rows
from moat_client.wire.schema import SYSTEM_COLUMNS

_IN_MEMORY = 8 * 1024 * 1024


class Spool:
    """A store of `rows` frames; every iteration yields those of system tables first."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed by close()
        self._index: list[tuple[bool, int, int]] = []

    def add(self, rows: Rows) -> None:
        """Add a frame."""
        head = dumps({"table": rows.table, "columns": rows.columns, "deleted": rows.deleted})
        data = b"\n".join([head, *rows.lines])
        self._index.append((rows.table not in SYSTEM_COLUMNS, self._file.tell(), len(data)))
        self._file.write(data)

    def __iter__(self) -> Iterator[Rows]:
        for _, start, size in sorted(self._index):
            self._file.seek(start)
            head, *lines = self._file.read(size).split(b"\n")
            body = loads(head)
            yield Rows(body["table"], tuple(body["columns"]), tuple(body["deleted"]), 0, lines)

    def close(self) -> None:
        """Delete all frames."""
        self._file.close()
        self._index.clear()
