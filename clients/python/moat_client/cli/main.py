"""The command line of `moat`: arguments, exit codes, and errors."""

import argparse
import os
import sqlite3
import sys
from collections.abc import Callable, Sequence

from moat_client.cli import reading, syncing, writing
from moat_client.cli.output import Output
from moat_client.cli.v1 import main as v1
from moat_client.errors import LoginFailed, MoatError, Refused, Unreachable
from moat_client.replica.replica import Replica

Command = Callable[[Replica, argparse.Namespace, Output], int]
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3
EPILOG = """exit codes:
  0  done; of sync: everything is on the server
  1  it failed, or verify found differences (and repaired them)
  2  the command line or a value is wrong; nothing was written
  3  the server cannot be reached
  4  sync: ops are still pending
  5  sync: in step, but changes wait for a decision (moat conflicts)

The replica is --db FILE, or the environment variable MOAT_DB, or ./moat.db.
Everything but login, sync, tail and verify works without a server.
moat v1 … keeps documents in step over SyncProtocol v1: see moat v1 --help.
"""


def _examples(*lines: str) -> str:
    return "examples:\n" + "\n".join(f"  moat {line}" for line in lines)


class _Parser:
    """The subcommands, each with --db, --json and examples."""

    def __init__(self) -> None:
        style = argparse.RawDescriptionHelpFormatter
        self.top = argparse.ArgumentParser(
            prog="moat", description="A local replica of a Moat tenant.", epilog=EPILOG, formatter_class=style
        )
        self._sub = self.top.add_subparsers(dest="command", required=True, metavar="COMMAND")
        self._style = style

    def add(self, name: str, run: Command, text: str, *examples: str) -> argparse.ArgumentParser:
        """Add a subcommand."""
        made = self._sub.add_parser(
            name, help=text, description=text, epilog=_examples(*examples), formatter_class=self._style
        )
        made.add_argument(
            "--db",
            metavar="FILE",
            default=os.environ.get("MOAT_DB", "moat.db"),
            help="the replica (default: $MOAT_DB or moat.db)",
        )
        made.add_argument("--json", action="store_true", help="print JSON")
        made.set_defaults(run=run, creates=name == "login")
        return made


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    made = _Parser()
    _network(made)
    _read(made)
    _write(made)
    return made.top


def _network(made: _Parser) -> None:
    one = made.add(
        "login",
        syncing.login,
        "Make a replica a device of a tenant.",
        "login http://localhost:8000 --tenant acme --user olga --password olga --db olga.db",
        "login https://moat.example --tenant acme --user olga        # asks for the password",
        "login https://moat.example --tenant acme --token TOKEN --device DEVICE",
    )
    one.add_argument("url", metavar="URL")
    one.add_argument("--tenant", required=True)
    one.add_argument("--user")
    one.add_argument("--password", help="or $MOAT_PASSWORD, or asked for")
    one.add_argument("--token", help="a device's token instead of a password, or $MOAT_TOKEN")
    one.add_argument("--device", default="", help="a name for this device; with --token its id")
    one = made.add(
        "sync",
        syncing.sync,
        "Catch up and push what is pending.",
        "sync --once --db olga.db",
        "sync --follow",
        "sync --once --reset",
    )
    how = one.add_mutually_exclusive_group()
    how.add_argument("--once", action="store_true", help="stop when in step (the default)")
    how.add_argument("--follow", action="store_true", help="stay in step until interrupted")
    one.add_argument("--reset", action="store_true", help="start over from the server's data; pending work is kept")
    one.add_argument(
        "--timeout",
        type=float,
        metavar="SECONDS",
        help="keep trying for so long instead of giving up at the first failure",
    )
    one = made.add(
        "tail",
        syncing.tail,
        "Print changes as they arrive.",
        "tail",
        "tail --json | jq .table",
        "tail --lines 20",
        "tail --once",
    )
    one.add_argument("--lines", "-n", type=int, default=0, metavar="N", help="print the newest N changes first")
    how = one.add_mutually_exclusive_group()
    how.add_argument("--follow", action="store_true", help="go on until interrupted (the default)")
    how.add_argument("--once", action="store_true", help="stop when in step")
    one.add_argument("--timeout", type=float, metavar="SECONDS")
    one = made.add(
        "verify",
        syncing.verify,
        "Compare every table with the server, and repair what differs.",
        "verify",
        "verify --json",
    )
    one.add_argument("--timeout", type=float, metavar="SECONDS")


def _read(made: _Parser) -> None:
    made.add("objects", reading.objects, "List the published object types.", "objects", "objects --json")
    one = made.add(
        "ls",
        reading.ls,
        "List records.",
        "ls jobs --where status=open --order -created_at --limit 20",
        "ls jobs --where price__gte=100 --where status__in=open,done",
        "ls object_metadata --columns id,table_name",
    )
    one.add_argument("table")
    one.add_argument(
        "--where",
        action="append",
        metavar="FIELD=VALUE",
        help="also FIELD__ne, __lt, __lte, __gt, __gte, __in, __like; may be repeated",
    )
    one.add_argument("--order", action="append", metavar="FIELD", help="-FIELD for descending; may be repeated")
    one.add_argument("--columns", action="append", metavar="FIELD,…")
    one.add_argument("--limit", type=int, metavar="N")
    one.add_argument("--offset", type=int, metavar="N", default=0)
    one = made.add("get", reading.get, "Show one record.", "get jobs job-0001", "get jobs job-0001 --json")
    one.add_argument("table")
    one.add_argument("id")
    made.add("status", reading.status, "Show where the replica stands and what is pending.", "status", "status --json")
    made.add("conflicts", reading.conflicts, "Show what waits for a decision.", "conflicts", "conflicts --json")
    one = made.add(
        "export",
        reading.export,
        "Write records as JSON lines or CSV.",
        "export > all.jsonl",
        "export jobs --format csv --output jobs.csv",
    )
    one.add_argument("tables", nargs="*", metavar="TABLE")
    one.add_argument("--format", choices=("jsonl", "csv"), default="jsonl")
    one.add_argument("--output", "-o", metavar="FILE")


def _write(made: _Parser) -> None:
    pairs = "field=value, read by the field's kind; field:=JSON; field= empties it"
    one = made.add(
        "add",
        writing.add,
        "Add a record; prints its id.",
        "add jobs title='Fix the boiler' price=95 urgent=yes",
        "add jobs id=job-9 attrs:='{\"a\": 1}'",
    )
    one.add_argument("table")
    one.add_argument("values", nargs="*", metavar="FIELD=VALUE", help=pairs)
    one = made.add(
        "set",
        writing.set_,
        "Change fields of a record.",
        "set jobs job-0001 status=done",
        "set jobs job-0001 note= price=12.50",
    )
    one.add_argument("table")
    one.add_argument("id")
    one.add_argument("values", nargs="+", metavar="FIELD=VALUE", help=pairs)
    one = made.add("rm", writing.rm, "Delete a record.", "rm jobs job-0001")
    one.add_argument("table")
    one.add_argument("id")
    one = made.add(
        "resolve",
        writing.resolve,
        "Settle a conflict.",
        "resolve 1 --mine",
        "resolve 1 --theirs",
        "resolve 1 --edit status=done",
    )
    one.add_argument("n", type=int, metavar="N", help="its number in `moat conflicts`")
    how = one.add_mutually_exclusive_group(required=True)
    how.add_argument("--mine", action="store_true", help="write my change over theirs")
    how.add_argument("--theirs", action="store_true", help="let my change go")
    how.add_argument("--edit", nargs="+", metavar="FIELD=VALUE", help="write my change with these values instead")
    one = made.add(
        "retry", writing.retry, "Send a rejected or parked change again.", "retry 2", "retry 2 --edit status=open"
    )
    one.add_argument("n", type=int, metavar="N")
    one.add_argument("--edit", nargs="+", metavar="FIELD=VALUE")
    one = made.add("discard", writing.discard, "Let a change go that the server did not take.", "discard 2")
    one.add_argument("n", type=int, metavar="N")


def _joined(arguments: Sequence[str]) -> list[str]:
    """Let `--order -name` mean what it says: argparse would take the value for an option."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] == "--order" and argument.startswith("-"):
            joined[-1] = f"--order={argument}"
        else:
            joined.append(argument)
    return joined


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["v1"]:
        return v1(given[1:])
    options = parser().parse_args(_joined(given))
    out = Output(as_json=options.json)
    try:
        with Replica.open(options.db, create=options.creates) as replica:
            command: Command = options.run
            return command(replica, options, out)
    except Unreachable as problem:
        out.fail(problem.code, str(problem), retry_after=problem.retry_after)
        return EXIT_UNREACHABLE
    except (Refused, LoginFailed) as problem:
        out.fail(problem.code, str(problem), **({"field": problem.field} if isinstance(problem, Refused) else {}))
        return EXIT_USAGE if isinstance(problem, Refused) else EXIT_FAILED
    except MoatError as problem:
        out.fail(problem.code, str(problem))
        return EXIT_FAILED
    except sqlite3.Error as problem:
        out.fail("database", f"{options.db}: {problem}")
        return EXIT_FAILED


def run() -> None:
    """Entry point of the console script."""
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)
