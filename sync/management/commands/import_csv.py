"""import_csv: import a CSV file into records of an object type."""

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from sync.csv.load import Report
from sync.csv.run import DEFAULT_NULLS, ImportResult, Options, import_file
from sync.settle.gc_tuning import reduce_gc
from tenants.errors import MoatError
from tenants.models import Tenant

SHOWN_ERRORS = 20


class Command(BaseCommand):
    help = (
        "Import a CSV file (.csv, .csv.gz, or a .zip containing one) into an object type. "
        "With --create, field kinds are inferred from the values. To resume after an "
        "interruption, run the same command again: rows already imported are skipped. Exits "
        "with 0 only if every row was imported."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE")
        parser.add_argument("--tenant", required=True, help="Tenant slug.")
        parser.add_argument("--object", required=True, dest="object_name", help="Object type name, such as job.")
        _add_type_options(parser)
        _add_column_options(parser)
        parser.add_argument(
            "--missing-references",
            choices=("refuse", "null"),
            default="refuse",
            help="What to do if a referenced record doesn't exist.",
        )
        parser.add_argument(
            "--batch", type=int, default=2000, metavar="N", help="Rows per transaction (default: 2000)."
        )
        parser.add_argument("--encoding", default="utf-8")
        parser.add_argument(
            "--delimiter", default="", metavar="C", help="Delimiter (default: detected from the header)."
        )
        parser.add_argument("--dry-run", action="store_true", help="Check every row without writing anything.")
        parser.add_argument(
            "--continue-on-error", action="store_true", help="Skip invalid rows instead of stopping at the first."
        )
        parser.add_argument("--by", default="import_csv", help="User name recorded in the log for these changes.")
        parser.add_argument("--json", action="store_true", help="Print the result as one JSON object.")

    def handle(self, *args: Any, **given: Any) -> None:
        tenant = Tenant.objects.filter(slug=given["tenant"]).first()
        if tenant is None:
            raise CommandError(f"Unknown tenant: {given['tenant']!r}.")
        if not 1 <= given["batch"] <= 20_000:
            raise CommandError("--batch must be between 1 and 20000.")
        reduce_gc()
        bar = Bar(given["file"].name)
        try:
            with bar.progress:
                result = import_file(
                    tenant,
                    given["object_name"],
                    given["file"],
                    options=_options(given),
                    by=given["by"],
                    progress=bar.show,
                )
        except MoatError as error:
            raise CommandError(str(error)) from error
        except (KeyboardInterrupt, OperationalError) as error:
            why = f"The database didn't respond ({error})" if isinstance(error, OperationalError) else "Interrupted"
            raise CommandError(
                f"{why}. Imported rows are kept; run the same command again to resume.", returncode=130
            ) from error
        if given["json"]:
            self.stdout.write(json.dumps(result.wire(), ensure_ascii=False))
        else:
            self._report(result, dry_run=given["dry_run"])
        if not result.complete:
            raise CommandError(_incomplete(result), returncode=1)

    def _report(self, result: ImportResult, *, dry_run: bool) -> None:
        report = result.report
        for note in result.notes:
            self.stdout.write(f"note: {note}")
        if result.inferred:
            did = "would create" if dry_run else "created"
            fields = ", ".join(
                f"{f.name} {f.kind}{f' → {f.reference}' if f.reference else ''}" for f in result.inferred.fields
            )
            self.stdout.write(f"{did} object type {result.object_name}: {fields}")
        for name, count in report.nulled.items():
            self.stdout.write(f"{name}: {count} rows reference a missing record; set to null")
        for bad in report.errors[:SHOWN_ERRORS]:
            self.stderr.write(self.style.ERROR(str(bad)))
        if report.refused > SHOWN_ERRORS:
            self.stderr.write(f"… and {report.refused - SHOWN_ERRORS} more")
        speed = f", {report.imported / result.seconds:,.0f} rows/s" if report.imported and result.seconds else ""
        verb = "would be imported" if dry_run else "imported"
        self.stdout.write(
            f"{result.table}: {report.imported:,} {verb}, {report.skipped:,} already present, "
            f"{report.refused:,} rejected in {result.seconds:.1f} s{speed}"
        )


def _add_type_options(parser: ArgumentParser) -> None:
    parser.add_argument("--create", action="store_true", help="Create and publish the object type if it doesn't exist.")
    parser.add_argument(
        "--table", default="", metavar="NAME", help="With --create: table name (default: plural of the object name)."
    )
    for option, metavar, about in (
        ("--reference", "FIELD=OBJECT", "The field holds IDs of another object type. Repeatable."),
        ("--kind", "FIELD=KIND", "Set a field's kind instead of inferring it. Repeatable."),
    ):
        parser.add_argument(option, action="append", default=[], metavar=metavar, type=_pair, help=about)


def _add_column_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--key", action="append", default=[], metavar="COLUMN[,COLUMN]", help="Columns that form the record ID."
    )
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="COLUMN=FIELD",
        type=_pair,
        help="Import a column into a differently named field. Repeatable.",
    )
    parser.add_argument("--skip", action="append", default=[], metavar="COLUMN", help="Skip a column. Repeatable.")
    parser.add_argument(
        "--null",
        action="append",
        metavar="TEXT",
        help="Cell text treated as missing. Repeatable. Default: an empty cell and NA.",
    )


class Bar:
    """A progress bar by bytes of the file, on a terminal only."""

    def __init__(self, name: str) -> None:
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[rows]}"),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )
        self._name = name
        self._task: TaskID | None = None

    def show(self, stage: str, position: int, size: int, report: Report | None) -> None:
        """Update the bar."""
        if self._task is None:
            self._task = self.progress.add_task(self._name, total=size, rows="")
        rows = f"{report.rows:,} rows" if report else ""
        self.progress.update(self._task, completed=position, total=size, rows=rows, description=f"{stage} {self._name}")


def _options(given: dict[str, Any]) -> Options:
    return Options(
        create=given["create"],
        table=given["table"],
        key=tuple(part for item in given["key"] for part in item.split(",")),
        mapping=tuple(given["map"]),
        skip=tuple(given["skip"]),
        references=tuple(given["reference"]),
        kinds=tuple(given["kind"]),
        nulls=DEFAULT_NULLS if given["null"] is None else frozenset(given["null"]),
        null_missing=given["missing_references"] == "null",
        batch=given["batch"],
        dry_run=given["dry_run"],
        keep_going=given["continue_on_error"],
        encoding=given["encoding"],
        delimiter={"\\t": "\t", "tab": "\t"}.get(given["delimiter"], given["delimiter"]),
    )


def _pair(text: str) -> tuple[str, str]:
    left, sign, right = text.partition("=")
    if not sign or not right:
        raise ValueError("expected NAME=NAME")
    return left, right


def _incomplete(result: ImportResult) -> str:
    first = result.report.errors[0]
    if result.report.stopped:
        return (
            f"Stopped at {first}. Earlier rows are imported. Fix the file and run the same "
            "command again, or use --continue-on-error."
        )
    return f"{result.report.refused} of {result.report.rows} rows were rejected, the first at {first}."
