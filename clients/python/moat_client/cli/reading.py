"""Commands that read the replica: objects, ls, get, status, conflicts, export."""

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from moat_client.cli import words
from moat_client.cli.arguments import parse_where
from moat_client.cli.output import Output, cell
from moat_client.errors import UnknownRecord, UnknownTable
from moat_client.private_files import create_private
from moat_client.replica.problems import Problem
from moat_client.replica.replica import Replica
from moat_client.sync.session import other_sync
from moat_client.wire.schema import ObjectType

_PAGE = 1000


def objects(replica: Replica, options: argparse.Namespace, out: Output) -> int:
    """List the published object types."""
    found = [
        {
            "object_name": o.object_name,
            "table_name": o.table_name,
            "label": o.label_plural or o.label,
            "records": replica.count(o.table_name),
            "fields": [f.name for f in o.fields] if out.as_json else len(o.fields),
            "subtypes": list(o.subtypes),
            "statuses": list(o.statuses),
        }
        for o in replica.objects()
    ]
    out.records(found, () if out.as_json else ("object_name", "table_name", "label", "records", "fields"))
    return 0


def _type_of(replica: Replica, table: str) -> ObjectType | None:
    try:
        return replica.object_type(table)
    except UnknownTable:
        return None


def ls(replica: Replica, options: argparse.Namespace, out: Output) -> int:
    """List records."""
    where = parse_where(_type_of(replica, options.table), options.where or [])
    order = [name for given in options.order or [] for name in given.split(",")]
    found = replica.find(options.table, where, order=order or ("id",), limit=options.limit, offset=options.offset)
    columns = [name for given in options.columns or [] for name in given.split(",")]
    if columns and out.as_json:
        found = [{name: record.get(name) for name in columns} for record in found]
    out.records(found, columns)
    return 0


def get(replica: Replica, options: argparse.Namespace, out: Output) -> int:
    """Show one record."""
    record = replica.get(options.table, options.id)
    if record is None:
        raise UnknownRecord(options.table, options.id)
    state = replica.state_of(options.table, options.id)
    if not out.as_json and state != "synced":
        out.warn(words.UNSYNCED.format(state=state))
    out.record(record)
    return 0


def status(replica: Replica, options: argparse.Namespace, out: Output) -> int:
    """Show sync status and pending edits."""
    now = replica.status()
    sync = other_sync(replica)
    if out.as_json:
        out.json(now.as_dict() | {"sync": sync or None})
        return 0
    if not now.device:
        out.say(words.NOT_SIGNED_IN)
        return 0
    out.say(words.STATUS_IDENTITY.format(now=now))
    out.say(words.STATUS_POSITION.format(now=now))
    out.say(words.SYNCING.format(state=sync.get("state")) if sync else words.NOT_SYNCING)
    pending = words.PENDING_ONE if now.pending == 1 else words.PENDING_MANY if now.pending else words.PENDING_NONE
    out.say(pending.format(count=now.pending))
    if now.problems:
        out.say(words.NEED_DECISION.format(now=now))
    return 0


def conflicts(replica: Replica, options: argparse.Namespace, out: Output) -> int:
    """Show edits that need a decision."""
    found = replica.conflicts()
    if out.as_json:
        out.json([problem_dict(p) for p in found])
        return 0
    if not found:
        out.say(words.NOTHING_TO_DECIDE)
    for problem in found:
        for line in describe(problem):
            out.say(line)
    return 0


def problem_dict(problem: Problem) -> dict[str, Any]:
    """Return a problem as plain values."""
    return {name: getattr(problem, name) for name in problem.__dataclass_fields__}


def describe(problem: Problem) -> Iterator[str]:
    """Describe a problem in lines for people."""
    yield words.PROBLEM_HEAD.format(problem=problem)
    yield words.PROBLEM_MESSAGE.format(problem=problem)
    if problem.state != "conflict":
        yield words.PROBLEM_RETRY.format(n=problem.n)
        return
    by = words.BY.format(user=problem.by) if problem.by else ""
    at = words.AT.format(time=problem.at) if problem.at else ""
    who = " ".join(filter(None, [by, at]))
    for name in problem.fields:
        yield words.PROBLEM_FIELD.format(name=name)
        yield words.PROBLEM_BASE.format(value=_side(problem.base, name))
        yield words.PROBLEM_MINE.format(value=_side(problem.mine, name))
        yield words.PROBLEM_THEIRS.format(value=_side(problem.theirs, name), who=who).rstrip()
    if problem.theirs is None:
        yield words.PROBLEM_DELETED.format(who=who)
    elif problem.mine is None:
        yield words.PROBLEM_DELETED_HERE.format(who=who)
    yield words.PROBLEM_RESOLVE.format(n=problem.n)


def _side(side: dict[str, Any] | None, name: str) -> str:
    return words.DELETED_VALUE if side is None else cell(side.get(name)) or words.EMPTY_VALUE


def export(replica: Replica, options: argparse.Namespace, out: Output) -> int:
    """Write records as JSON lines or CSV."""
    tables = options.tables or [o.table_name for o in replica.objects()]
    if options.format == "csv" and len(tables) != 1:
        out.fail("bad_argument", words.CSV_ONE_TABLE)
        return 2
    writer: Callable[[IO[str], Replica, Sequence[str]], int] = _csv if options.format == "csv" else _jsonl
    if options.output in (None, "-"):
        writer(sys.stdout, replica, tables)
        return 0
    create_private(Path(options.output))
    with Path(options.output).open("w", encoding="utf-8", newline="") as file:
        count = writer(file, replica, tables)
    if out.as_json:
        out.json({"file": options.output, "records": count})
    else:
        out.say(words.EXPORTED.format(count=count, file=options.output))
    return 0


def _pages(replica: Replica, table: str) -> Iterator[dict[str, Any]]:
    after: str | None = None
    while page := replica.find(table, {} if after is None else {"id__gt": after}, order="id", limit=_PAGE):
        yield from page
        after = str(page[-1]["id"])


def _jsonl(file: IO[str], replica: Replica, tables: Sequence[str]) -> int:
    count = 0
    for table in tables:
        for record in _pages(replica, table):
            file.write(json.dumps({"table": table} | record, ensure_ascii=False) + "\n")
            count += 1
    return count


def _csv(file: IO[str], replica: Replica, tables: Sequence[str]) -> int:
    columns = ["id", "version", "object_type", "status", *(f.name for f in replica.object_type(tables[0]).fields)]
    writer = csv.writer(file)
    writer.writerow(columns)
    count = 0
    for record in _pages(replica, tables[0]):
        writer.writerow([_csv_cell(record.get(c)) for c in columns])
        count += 1
    return count


def _csv_cell(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return cell(value)
