"""Import of a CSV file: parsed, validated, and settled like pushes, with the same log lines."""

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.baseline import sqlite_rows_per_second
from benchmarks.report import Figure, at_least, median, spread
from benchmarks.server import asked, database, run

RUNS = 3


@contextmanager
def _file(rows: int, first: str) -> Iterator[Path]:
    with TemporaryDirectory(prefix="moat-bench-") as folder:
        path = Path(folder) / "jobs.csv"
        with path.open("w", newline="") as out:
            write = csv.writer(out).writerow
            write(["id", "title", "customer_name", "priority", "price", "scheduled_on", "notes"])
            for n in range(rows):
                write(
                    [
                        f"{first}-{n}",
                        f"Job number {n}",
                        f"customer-{n % 1000}",
                        n % 5,
                        f"{n % 900}.50",
                        "2026-01-15",
                        "Ring twice.",
                    ]
                )
        yield path


async def csv_file(rows: int) -> list[Figure]:
    """Import files of new records into a published object type, each with a separate command."""
    bare = ("bare SQLite, executemany", sqlite_rows_per_second())
    rates = []
    with database(asked()) as made:
        for n in range(RUNS):
            with _file(rows, f"file-{n}") as path:
                printed = run(
                    made.environment, "manage.py", "import_csv", str(path), "--tenant=bench-0", "--object=job", "--json"
                )
            outcome = json.loads(printed)
            if outcome["imported"] != rows:
                raise RuntimeError(f"{outcome['imported']} of {rows} rows were imported")
            rates.append(rows / outcome["seconds"])
    return [at_least(f"import of {rows:,} CSV rows", median(rates), "rows/s", 20_000, bare=bare, spread=spread(rates))]
