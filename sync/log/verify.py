"""Check a tenant's log: recompute its chain, and compare cursors, columns, and records with its lines."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from metadata.catalog import published_types
from metadata.schema import physical_name
from sync.models import SystemRecord
from sync.records import sql
from sync.wire.chain import link
from sync.wire.lines import decode_line
from sync.wire.system_tables import SYSTEM_TABLES
from tenants.genesis import genesis
from tenants.models import Tenant

CHUNK: Final = 5000
MOST_PROBLEMS: Final = 20
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class LogProblem:
    """A problem at a cursor of the log, or with a record (then `cursor` is that of its last change)."""

    cursor: int
    code: str
    message: str


@dataclass(slots=True)
class LogReport:
    """The result of a check of the changes with cursors in (`from_cursor`, `to_cursor`]; at most 20 problems."""

    tenant: str
    from_cursor: int
    to_cursor: int
    changes: int = 0
    problems: list[LogProblem] = field(default_factory=list)

    @property
    def first_bad_cursor(self) -> int | None:
        """The lowest cursor with a problem."""
        return min((problem.cursor for problem in self.problems), default=None)


def verify_log(tenant_id: int, progress: Progress | None = None) -> LogReport:
    """Check a tenant's log from its start, or from its pruning cursor, to its current head. It blocks no writer."""
    check = _Check(Tenant.objects.get(pk=tenant_id))
    report = check.report
    for rows in check.chunks():
        check.chain(rows)
        check.records(rows)
        if progress is not None:
            progress(report.changes, check.head - report.from_cursor)
    check.finish()
    report.problems.sort(key=lambda problem: problem.cursor)
    return report


class _Check:
    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.head, self.head_hash = tenant.cursor, bytes(tenant.state_hash)
        self.cursor = tenant.pruned_cursor
        self.state = self._start()
        self.report = LogReport(tenant.slug, self.cursor, self.head)
        types = published_types(tenant.pk)
        self.tables = {row.table_name: physical_name(tenant.pk, row.table_name) for row in types}
        if self.state is None:
            self.problem(
                self.cursor,
                "no_anchor",
                "The change at the pruning cursor is missing, so the chain has no starting point.",
            )

    def _start(self) -> bytes | None:
        if self.cursor == 0:
            return genesis(self.tenant.server_epoch, self.tenant.slug)
        row = sql.fetch_one(
            "SELECT state_hash FROM changes WHERE tenant_id = %s AND cursor = %s", [self.tenant.pk, self.cursor]
        )
        return bytes(row[0]) if row else None

    def problem(self, cursor: int, code: str, message: str) -> None:
        if len(self.report.problems) < MOST_PROBLEMS:
            self.report.problems.append(LogProblem(cursor, code, message))

    def chunks(self) -> Iterator[list[tuple[Any, ...]]]:
        while self.cursor < self.head:
            rows = sql.fetch(
                "SELECT cursor, schema_version, table_name, record_id, version, device_id, op_id, line, state_hash "
                "FROM changes WHERE tenant_id = %s AND cursor > %s AND cursor <= %s ORDER BY cursor LIMIT %s",
                [self.tenant.pk, self.cursor, self.head, CHUNK],
            )
            if (not rows or rows[0][0] != self.cursor + 1) and self._pruned_meanwhile():
                continue
            if not rows:
                self.problem(
                    self.cursor + 1,
                    "gap",
                    f"The log ends at cursor {self.cursor}, but the tenant's cursor is {self.head}.",
                )
                return
            yield rows

    def _pruned_meanwhile(self) -> bool:
        """Restart from the new pruning cursor if the log was pruned past the position of this check."""
        self.tenant.refresh_from_db()
        if self.tenant.pruned_cursor <= self.cursor:
            return False
        self.cursor = self.tenant.pruned_cursor
        self.state = self._start()
        return True

    def chain(self, rows: list[tuple[Any, ...]]) -> None:
        for cursor, *columns, line, state_hash in rows:
            line, state_hash = bytes(line), bytes(state_hash)
            if cursor != self.cursor + 1:
                self.problem(self.cursor + 1, "gap", f"Gap in the log: cursor {self.cursor} is followed by {cursor}.")
            elif self.state is not None and link(self.state, line) != state_hash:
                self.problem(
                    cursor, "chain", "The line doesn't hash to the stored chain value. One of them was altered."
                )
            self._columns(cursor, columns, line)
            self.cursor, self.state = cursor, state_hash
            self.report.changes += 1

    def _columns(self, cursor: int, columns: list[Any], line: bytes) -> None:
        try:
            data = decode_line(line)
        except ValueError:
            data = {}
        expected = [data.get(key) for key in ("schema_version", "table", "id", "version", "device", "op_id")]
        if data.get("cursor") != cursor or expected != columns:
            self.problem(cursor, "columns", "The change's columns don't match its line.")

    def records(self, rows: list[tuple[Any, ...]]) -> None:
        """Check that no record is older than its last change."""
        newest: defaultdict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
        for cursor, _schema, table, record_id, version, *_ in rows:
            newest[table][record_id] = (version, cursor)
        for table, wanted in newest.items():
            found = self._versions(table, list(wanted))
            for record_id, (version, cursor) in wanted.items():
                if found is not None and found.get(record_id, 0) < version:
                    self.problem(
                        cursor,
                        "record",
                        f"{table} {record_id!a} is at version {found.get(record_id, 0)}; "
                        f"the log has version {version}.",
                    )

    def _versions(self, table: str, ids: list[str]) -> dict[str, int] | None:
        if table in SYSTEM_TABLES:
            mine = SystemRecord.objects.filter(tenant_id=self.tenant.pk, table_name=table, record_id__in=ids)
            return dict(mine.values_list("record_id", "version"))
        if table not in self.tables:
            self.problem(
                self.cursor, "table", f"The log contains changes to {table}, which is not a table of this tenant."
            )
            return None
        return dict(sql.fetch_in(f'SELECT "id", "version" FROM "{self.tables[table]}" WHERE "id" IN', ids))

    def finish(self) -> None:
        """Check the head, and that each record's last change is in the log."""
        if self.state is not None and self.cursor == self.head and self.state != self.head_hash:
            self.problem(self.head, "head", "The tenant's chain value doesn't match its last change.")
        for table, name in self.tables.items():
            wrong = sql.fetch(
                f'SELECT r."id", r."version", r."_cursor" FROM "{name}" r '
                'LEFT JOIN changes c ON c.tenant_id = %s AND c.cursor = r."_cursor" '
                'WHERE r."_cursor" > (SELECT pruned_cursor FROM tenants_tenant WHERE id = %s) '
                'AND (c.cursor IS NULL OR c.record_id <> r."id" OR c.version <> r."version" OR c.table_name <> %s) '
                "LIMIT %s",
                [self.tenant.pk, self.tenant.pk, table, MOST_PROBLEMS],
            )
            for record_id, version, cursor in wrong:
                self.problem(
                    cursor,
                    "record",
                    f"{table} {record_id!a} claims version {version} at cursor {cursor}, but the log disagrees.",
                )
