"""Run the benchmarks: `python -m benchmarks [--quick] [--json] [--limit SECONDS] [NAME ...]`."""

import argparse
import asyncio
import json
import os
import platform
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from importlib.util import find_spec

from benchmarks import browser, existence, flat, imports, live, memory, profiles, protocols, replicas, writes
from benchmarks.report import Figure, as_json, print_table
from benchmarks.server import pin_here

Benchmark = Callable[[bool], Awaitable[list[Figure]]]

ALL: dict[str, tuple[str, Benchmark]] = {
    "latency": ("from a write to another client", lambda quick: live.latency(100 if quick else 500)),
    "fan-out": ("one writer, many subscribers", lambda quick: live.fan_out(200 if quick else 1000, 2 if quick else 6)),
    "writes": ("durable ops per second", lambda quick: writes.durable(2 if quick else 6)),
    "protocols": (
        "SyncProtocol v1 compared with the socket",
        lambda quick: protocols.protocols(4_000 if quick else 20_000),
    ),
    "first-sync": ("the first sync of a new replica", lambda quick: replicas.first_sync(20_000 if quick else 336_000)),
    "catch-up": (
        "missed changes, chain verified and applied",
        lambda quick: replicas.catch_up(10_000 if quick else 50_000),
    ),
    "import": ("a CSV file through the engine", lambda quick: imports.csv_file(10_000 if quick else 100_000)),
    "flat": (
        "cost of a change, independent of unrelated data",
        lambda quick: flat.flat(100, 10_000, 5, 50) if quick else flat.flat(300, 200_000, 50, 500),
    ),
    "profiles": (
        "filtered channels",
        lambda quick: (
            profiles.profiles([1, 10], 50, [1, 100], 2, 10_000)
            if quick
            else profiles.profiles([1, 10, 100, 500], 1000, [100, 1000], 4, 50_000)
        ),
    ),
    "existence": (
        "whether timing reveals hidden records",
        lambda quick: existence.existence(150 if quick else 500),
    ),
    "browser": (
        "the web client in Chromium",
        lambda quick: browser.browser(20_000, 5_000) if quick else browser.browser(336_000, 50_000),
    ),
    "memory": ("memory of an idle server and connections", lambda quick: memory.memory(100 if quick else 1000)),
}
ALIASES = {"doors": "protocols"}
"""Earlier names, still accepted."""


def _arguments() -> argparse.Namespace:
    listing = "\n".join(f"  {name:<11} {about}" for name, (about, _) in ALL.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=__doc__,
        epilog=f"benchmarks:\n{listing}",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks to run (default: all)")
    parser.add_argument("--quick", action="store_true", help="use smaller numbers, for a first look")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--limit", type=float, default=600, metavar="SECONDS", help="time limit of each benchmark (default: 600)"
    )
    arguments = parser.parse_args()
    arguments.names = [ALIASES.get(name, name) for name in arguments.names]
    unknown = [name for name in arguments.names if name not in ALL]
    if unknown:
        parser.error(f"unknown benchmark {unknown[0]!r}; choose from {', '.join(ALL)}")
    return arguments


async def _run(names: list[str], quick: bool, limit: float) -> tuple[list[Figure], dict[str, str]]:
    """Run benchmarks one after the other; return their figures, and by name why any failed."""
    figures: list[Figure] = []
    failed: dict[str, str] = {}
    for name in names:
        sys.stderr.write(f"{name}...\n")
        try:
            async with asyncio.timeout(limit):
                figures += await ALL[name][1](quick)
        except TimeoutError:
            failed[name] = f"not finished within {limit:g} s; raise --limit"
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {error}"
    return figures, failed


def main() -> int:
    """Run and print; return 1 if a benchmark failed to run.

    Missed targets do not fail the run: timing is noisy, so a person judges the figures.
    """
    arguments = _arguments()
    pin_here()
    figures, failed = asyncio.run(_run(arguments.names or list(ALL), arguments.quick, arguments.limit))
    about = {
        "date": datetime.now(UTC).date().isoformat(),
        "quick": arguments.quick,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "uvloop": find_spec("uvloop") is not None,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[1], 2),
        "database": os.environ.get("DATABASE_URL", "sqlite").split(":", 1)[0],
    }
    if arguments.json:
        sys.stdout.write(json.dumps(as_json(figures, failed, about), indent=2) + "\n")
    else:
        print_table(figures)
    for name, why in failed.items():
        sys.stderr.write(f"{name} failed: {why}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
