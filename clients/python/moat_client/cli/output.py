"""What the CLI prints: tables and sentences for people, JSON for programs, errors on standard error."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from moat_client.cli import words

_CELL = 60
_PIPE_WIDTH = 1000


class Output:
    """Write results. With `as_json`, print exactly one JSON document, or one per line for streams."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.errors = Console(stderr=True, highlight=False, soft_wrap=True)
        wide = None if sys.stdout.isatty() else _PIPE_WIDTH
        self._console = Console(highlight=False, soft_wrap=True, width=wide)

    def json(self, value: Any) -> None:
        """Print one JSON document on a line of its own."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False, default=_plain) + "\n")
        sys.stdout.flush()

    def say(self, text: str) -> None:
        """Print a sentence for people."""
        self._console.print(text, markup=False)

    def warn(self, text: str) -> None:
        """Print a sentence on standard error."""
        self.errors.print(text, markup=False)

    def fail(self, code: str, message: str, **more: Any) -> None:
        """Print an error on standard error; with --json as an object."""
        if self.as_json:
            sys.stderr.write(json.dumps({"error": code, "message": message} | more, ensure_ascii=False) + "\n")
        else:
            self.errors.print(words.ERROR.format(message=message), markup=False)

    def records(self, records: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> None:
        """Print records: a JSON array, or a table that leaves out columns without values."""
        if self.as_json:
            self.json(list(records))
            return
        names = [c for c in (columns or (records[0] if records else ())) if any(r.get(c) is not None for r in records)]
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in names:
            table.add_column(name, overflow="ellipsis", no_wrap=True, max_width=_CELL)
        for record in records:
            table.add_row(*(cell(record.get(name)) for name in names))
        self._console.print(table)

    def record(self, record: Mapping[str, Any]) -> None:
        """Print one record: a JSON object, or a line per field."""
        if self.as_json:
            self.json(record)
            return
        width = max((len(name) for name in record), default=0)
        for name, value in record.items():
            self._console.print(f"{name:<{width}}  {cell(value)}", markup=False)


def cell(value: Any) -> str:
    """Return a value as people read it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return words.YES if value else words.NO
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} is not a JSON type")
