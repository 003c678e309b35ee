"""The command line of `moat`: arguments, exit codes, and errors."""

import argparse
import os
import sqlite3
import sys
from collections.abc import Callable, Sequence

from moat_client.cli import reading, syncing, words, writing
from moat_client.cli.output import Output
from moat_client.cli.v1 import main as v1
from moat_client.errors import InvalidEdit, LoginFailed, MoatError, Unreachable
from moat_client.replica.replica import Replica

Command = Callable[[Replica, argparse.Namespace, Output], int]
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3


class _Parser:
    """The subcommands, each with --db, --json, and examples."""

    def __init__(self) -> None:
        style = argparse.RawDescriptionHelpFormatter
        self.top = argparse.ArgumentParser(
            prog="moat", description=words.ABOUT, epilog=words.EPILOG, formatter_class=style
        )
        self._sub = self.top.add_subparsers(dest="command", required=True, metavar="COMMAND")
        self._style = style

    def add(self, name: str, run: Command) -> argparse.ArgumentParser:
        """Add a subcommand."""
        text = words.COMMANDS[name]
        examples = "\n".join([words.EXAMPLES_HEAD, *(f"  moat {line}" for line in words.EXAMPLES[name])])
        made = self._sub.add_parser(name, help=text, description=text, epilog=examples, formatter_class=self._style)
        made.add_argument(
            "--db", metavar="FILE", default=os.environ.get("MOAT_DB", "moat.db"), help=words.OPTIONS["db"]
        )
        made.add_argument("--json", action="store_true", help=words.OPTIONS["json"])
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
    text = words.OPTIONS
    one = made.add("login", syncing.login)
    one.add_argument("url", metavar="URL")
    one.add_argument("--tenant", required=True)
    one.add_argument("--user")
    one.add_argument("--password", help=text["password"])
    one.add_argument("--token", help=text["token"])
    one.add_argument("--device", default="", help=text["device"])
    one.add_argument("--insecure", action="store_true", help=text["insecure"])
    one = made.add("sync", syncing.sync)
    how = one.add_mutually_exclusive_group()
    how.add_argument("--once", action="store_true", help=text["sync once"])
    how.add_argument("--follow", action="store_true", help=text["sync follow"])
    one.add_argument("--reset", action="store_true", help=text["reset"])
    one.add_argument("--timeout", type=float, metavar="SECONDS", help=text["timeout"])
    one = made.add("tail", syncing.tail)
    one.add_argument("--lines", "-n", type=int, default=0, metavar="N", help=text["lines"])
    how = one.add_mutually_exclusive_group()
    how.add_argument("--follow", action="store_true", help=text["tail follow"])
    how.add_argument("--once", action="store_true", help=text["tail once"])
    one.add_argument("--timeout", type=float, metavar="SECONDS")
    one = made.add("verify", syncing.verify)
    one.add_argument("--timeout", type=float, metavar="SECONDS")


def _read(made: _Parser) -> None:
    made.add("objects", reading.objects)
    one = made.add("ls", reading.ls)
    one.add_argument("table")
    one.add_argument("--where", action="append", metavar="FIELD=VALUE", help=words.OPTIONS["where"])
    one.add_argument("--order", action="append", metavar="FIELD", help=words.OPTIONS["order"])
    one.add_argument("--columns", action="append", metavar="FIELD,…")
    one.add_argument("--limit", type=int, metavar="N")
    one.add_argument("--offset", type=int, metavar="N", default=0)
    one = made.add("get", reading.get)
    one.add_argument("table")
    one.add_argument("id")
    made.add("status", reading.status)
    made.add("conflicts", reading.conflicts)
    one = made.add("export", reading.export)
    one.add_argument("tables", nargs="*", metavar="TABLE")
    one.add_argument("--format", choices=("jsonl", "csv"), default="jsonl")
    one.add_argument("--output", "-o", metavar="FILE")


def _write(made: _Parser) -> None:
    text = words.OPTIONS
    one = made.add("add", writing.add)
    one.add_argument("table")
    one.add_argument("values", nargs="*", metavar="FIELD=VALUE", help=text["values"])
    one = made.add("set", writing.set_)
    one.add_argument("table")
    one.add_argument("id")
    one.add_argument("values", nargs="+", metavar="FIELD=VALUE", help=text["values"])
    one = made.add("rm", writing.rm)
    one.add_argument("table")
    one.add_argument("id")
    one = made.add("resolve", writing.resolve)
    one.add_argument("n", type=int, metavar="N", help=text["number"])
    how = one.add_mutually_exclusive_group(required=True)
    how.add_argument("--mine", action="store_true", help=text["mine"])
    how.add_argument("--theirs", action="store_true", help=text["theirs"])
    how.add_argument("--edit", nargs="+", metavar="FIELD=VALUE", help=text["edit"])
    one = made.add("retry", writing.retry)
    one.add_argument("n", type=int, metavar="N")
    one.add_argument("--edit", nargs="+", metavar="FIELD=VALUE")
    one = made.add("discard", writing.discard)
    one.add_argument("n", type=int, metavar="N")


def _joined(arguments: Sequence[str]) -> list[str]:
    """Join `--order` and `-name`, which argparse would parse as an option of its own."""
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
    except (InvalidEdit, LoginFailed) as problem:
        out.fail(problem.code, str(problem), **({"field": problem.field} if isinstance(problem, InvalidEdit) else {}))
        return EXIT_USAGE if isinstance(problem, InvalidEdit) else EXIT_FAILED
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
    except BrokenPipeError:  # the reader of our output is gone, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)
