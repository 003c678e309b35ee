"""Import a CSV file into records of an object type."""

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
        "Import a CSV file (also .csv.gz, or a .zip that holds one) into records of an object type. Kinds are told from the values "
        "when the type is made with --create. Run the same command again after a stop or a kill: it skips what is there and goes on. "
        "Exit code 0 means that every row of the file is in the table."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE")
        parser.add_argument("--tenant", required=True, help="Slug of the tenant.")
        parser.add_argument("--object", required=True, dest="object_name", help="Name of the object type, e.g. job.")
        parser.add_argument(
            "--create",
            action="store_true",
            help="Make and publish the object type when the tenant has none of that name.",
        )
        parser.add_argument(
            "--table",
            default="",
            metavar="NAME",
            help="With --create: the table's name; the plural of the object's when left out.",
        )
        parser.add_argument(
            "--key", action="append", default=[], metavar="COLUMN[,COLUMN]", help="Columns that make the record id."
        )
        parser.add_argument(
            "--map",
            action="append",
            default=[],
            metavar="COLUMN=FIELD",
            type=_pair,
            help="Put a column into a field of another name; repeat.",
        )
        parser.add_argument("--skip", action="append", default=[], metavar="COLUMN", help="Leave a column out; repeat.")
        parser.add_argument(
            "--reference",
            action="append",
            default=[],
            metavar="FIELD=OBJECT",
            type=_pair,
            help="The field holds ids of another type; repeat.",
        )
        parser.add_argument(
            "--kind",
            action="append",
            default=[],
            metavar="FIELD=KIND",
            type=_pair,
            help="Do not guess a field's kind; repeat.",
        )
        parser.add_argument(
            "--null",
            action="append",
            metavar="TEXT",
            help="A cell that means nothing; repeat. Default: an empty cell and NA.",
        )
        parser.add_argument(
            "--missing-references",
            choices=("refuse", "null"),
            default="refuse",
            help="What to do when the parent does not exist.",
        )
        parser.add_argument("--batch", type=int, default=2000, metavar="N", help="Rows per transaction (default 2000).")
        parser.add_argument("--encoding", default="utf-8")
        parser.add_argument("--delimiter", default="", metavar="C", help="Told from the header when left out.")
        parser.add_argument("--dry-run", action="store_true", help="Check every row, write nothing.")
        parser.add_argument(
            "--continue-on-error", action="store_true", help="Leave bad rows out instead of stopping at the first."
        )
        parser.add_argument("--by", default="import_csv", help="Who the log says made the changes.")
        parser.add_argument("--json", action="store_true", help="Print the outcome for a program.")

    def handle(self, *args: Any, **given: Any) -> None:
        tenant = Tenant.objects.filter(slug=given["tenant"]).first()
        if tenant is None:
            raise CommandError(f"There is no tenant {given['tenant']!r}.")
        if not 1 <= given["batch"] <= 20_000:
            raise CommandError("--batch is a number from 1 to 20000.")
        reduce_gc()
        bar = Bar(given["file"].name)
        try:
            with bar.progress:
                outcome = import_file(
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
            why = f"The database did not answer ({error})" if isinstance(error, OperationalError) else "Interrupted"
            raise CommandError(
                f"{why}. What is in stays in; the same command again goes on.", returncode=130
            ) from error
        if given["json"]:
            self.stdout.write(json.dumps(outcome.wire(), ensure_ascii=False))
        else:
            self._tell(outcome, dry_run=given["dry_run"])
        if not outcome.complete:
            raise CommandError(_incomplete(outcome), returncode=1)

    def _tell(self, outcome: ImportResult, *, dry_run: bool) -> None:
        report = outcome.report
        for note in outcome.notes:
            self.stdout.write(f"note: {note}")
        if outcome.inferred:
            did = "would make" if dry_run else "made"
            fields = ", ".join(
                f"{f.name} {f.kind}{f' → {f.reference}' if f.reference else ''}" for f in outcome.inferred.fields
            )
            self.stdout.write(f"{did} object type {outcome.object_name}: {fields}")
        for name, count in report.nulled.items():
            self.stdout.write(f"{name}: {count} rows name a parent that does not exist; null instead")
        for bad in report.errors[:SHOWN_ERRORS]:
            self.stderr.write(self.style.ERROR(str(bad)))
        if report.refused > SHOWN_ERRORS:
            self.stderr.write(f"… and {report.refused - SHOWN_ERRORS} more")
        speed = f", {report.imported / outcome.seconds:,.0f} rows/s" if report.imported and outcome.seconds else ""
        verb = "would be imported" if dry_run else "imported"
        self.stdout.write(
            f"{outcome.table}: {report.imported:,} {verb}, {report.skipped:,} there already, {report.refused:,} refused "
            f"in {outcome.seconds:.1f} s{speed}"
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
        """Move the bar."""
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


def _incomplete(outcome: ImportResult) -> str:
    first = outcome.report.errors[0]
    if outcome.report.stopped:
        return f"Stopped at {first}. What came before is in; correct the file and run the same command again, or say --continue-on-error."
    return f"{outcome.report.refused} of {outcome.report.rows} rows were refused, the first at {first}."
