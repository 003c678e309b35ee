"""Push a file's rows through the engine in batches, skipping rows already imported."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from metadata.fieldtypes import InvalidValue, clean
from metadata.schema import ObjectSpec
from sync.csv.parents import Parents
from sync.csv.rows import BadCell, RowReader
from sync.records.rows import existing_ids
from sync.settle.push import push
from sync.wire.codes import Code
from sync.wire.ops import Actor, Op, OpResult

KEPT_ERRORS = 1000


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was not imported: its line, the column if one is at fault, and the reason."""

    line: int
    column: str | None
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}{f', column {self.column!r}' if self.column else ''}: {self.reason}"


@dataclass(slots=True)
class Report:
    """The result of an import. `errors` keeps the first 1000 bad rows, `refused` counts all."""

    rows: int = 0
    imported: int = 0
    skipped: int = 0
    refused: int = 0
    stopped: bool = False
    errors: list[BadRow] = field(default_factory=list)
    nulled: dict[str, int] = field(default_factory=dict)

    def refuse(self, bad: BadRow) -> None:
        """Count a bad row."""
        self.refused += 1
        if len(self.errors) < KEPT_ERRORS:
            self.errors.append(bad)


@dataclass(slots=True)
class Importer:
    """Loads rows into one published object type.

    Without `keep_going` it stops at the first bad row and keeps what it imported before. `parents` are the reference
    fields, with their targets, whose missing parents become null. A second run finds the same record IDs, skips
    existing records, and continues, even after a kill.
    """

    actor: Actor
    spec: ObjectSpec
    reader: RowReader
    batch: int = 2000
    keep_going: bool = False
    parents: dict[str, ObjectSpec] = field(default_factory=dict)
    dry_run: bool = False
    table_exists: bool = True
    report: Report = field(default_factory=Report)
    _waiting: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)
    _seen: set[int] = field(default_factory=set)
    _op_id: int = 0

    def run(
        self, rows: Iterable[tuple[int, list[str]]], *, progress: Callable[[Report], None] = lambda report: None
    ) -> Report:
        """Import every row. `progress` is called after each batch."""
        parents = Parents(self.actor.tenant_id, self.parents) if self.parents else None
        for line, cells in rows:
            self.report.rows += 1
            self._take(line, cells)
            if len(self._waiting) >= self.batch:
                self._flush(parents)
                progress(self.report)
            if self._must_stop:
                break
        self._flush(parents)
        self.report.stopped = self._must_stop
        progress(self.report)
        return self.report

    @property
    def _must_stop(self) -> bool:
        return bool(self.report.refused) and not self.keep_going

    def _take(self, line: int, cells: list[str]) -> None:
        try:
            record_id, payload = self.reader.read(line, cells)
            self._refuse_repeated(record_id)
        except BadCell as error:
            self.report.refuse(BadRow(line, error.column, error.reason))
            return
        self._waiting.append((line, record_id, payload))

    def _refuse_repeated(self, record_id: str) -> None:
        mark = hash(record_id)
        if mark in self._seen:
            raise BadCell(f"duplicate key {record_id!r}", self._key_header)
        self._seen.add(mark)

    @property
    def _key_header(self) -> str | None:
        key = self.reader.key or tuple(c for c in self.reader.plan.columns if c.target == "id")
        return ", ".join(c.header for c in key) or None

    def _flush(self, parents: Parents | None) -> None:
        ids = [record_id for _, record_id, _ in self._waiting]
        there = existing_ids(self.actor.tenant_id, self.spec.table_name, ids) if self.table_exists else set()
        new = [row for row in self._waiting if row[1] not in there]
        self.report.skipped += len(self._waiting) - len(new)
        self._waiting = []
        if parents:
            for name, count in parents.null_missing([payload for _, _, payload in new]).items():
                self.report.nulled[name] = self.report.nulled.get(name, 0) + count
        if self.dry_run:
            self._check(new)
        elif new:
            self._push(new)

    def _push(self, rows: list[tuple[int, str, dict[str, Any]]]) -> None:
        ops = [
            Op(n, None, self.spec.table_name, record_id, "insert", 0, payload)
            for n, (_, record_id, payload) in enumerate(rows, start=1)
        ]
        for (line, _, _), result in zip(rows, push(self.actor, ops), strict=True):
            if result.accepted:
                self.report.imported += 1
            else:
                self.report.refuse(self._bad_row(line, result))

    def _bad_row(self, line: int, result: OpResult) -> BadRow:
        if result.status == "conflict":
            return BadRow(line, self._key_header, "another user has just created a record with this ID")
        column = next((c.header for c in self.reader.plan.columns if c.target == result.field), None)
        if result.code == Code.BAD_ID:
            column = self._key_header
        return BadRow(line, column or result.field, result.message or result.code or "rejected")

    def _check(self, rows: list[tuple[int, str, dict[str, Any]]]) -> None:
        """Check values against their fields, as the engine would."""
        for line, _, payload in rows:
            bad = next(filter(None, (self._misfit(line, name, value) for name, value in payload.items())), None)
            if bad:
                self.report.refuse(bad)
            else:
                self.report.imported += 1

    def _misfit(self, line: int, name: str, value: Any) -> BadRow | None:
        spec = self.spec.by_name.get(name)
        try:
            if spec is not None:
                clean(spec, value)
        except InvalidValue as error:
            header = next((c.header for c in self.reader.plan.columns if c.target == name), name)
            return BadRow(line, header, error.message)
        return None
