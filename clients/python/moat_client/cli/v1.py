"""The command `moat v1`: keep a store of documents in sync over SyncProtocol v1."""

import argparse
import base64
import json
import os
import sqlite3
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from moat_client.cli.arguments import split_pair
from moat_client.cli.output import Output
from moat_client.errors import MoatError, Refused, Unreachable
from moat_client.v1.cbor import CborError, Pairs, Simple, Tag
from moat_client.v1.engine import Config, SyncEngine
from moat_client.v1.resolvers import BY_NAME
from moat_client.v1.store import EntityStore, as_document

EXIT_FAILED, EXIT_USAGE, EXIT_UNREACHABLE, EXIT_REFUSED = 1, 2, 3, 5
_SETTINGS = ("url", "db_id", "device", "resolver")
EPILOG = """examples:
  moat v1 put notes n1 title=Milk done:=false
  moat v1 get notes n1
  moat v1 sync --url https://moat.example --db-id acme --device DEVICE --token-file token.txt
  moat v1 watch

A device and its token come from POST /api/login, or from Devices in the admin. What was given once is remembered in the
store when it has worked, all but the token: --token-file FILE or $MOAT_V1_TOKEN.
The store is --db FILE, or $MOAT_V1_DB, or ./moat-v1.db. Everything but sync and watch works without a server.
exit codes: 0 done, 1 failed, 2 wrong command line, 3 server not reached, 5 in step, but the server refused some ops
"""
Command = Callable[[EntityStore, argparse.Namespace, Output], int]


def parser() -> argparse.ArgumentParser:
    """Return the parser of `moat v1`."""
    style = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser(
        prog="moat v1", description="Documents in step over SyncProtocol v1.", epilog=EPILOG, formatter_class=style
    )
    sub = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Command, text: str) -> argparse.ArgumentParser:
        made = sub.add_parser(name, help=text, description=text)
        made.add_argument(
            "--db", metavar="FILE", default=os.environ.get("MOAT_V1_DB", "moat-v1.db"), help="the store (%(default)s)"
        )
        made.add_argument("--json", action="store_true", help="print JSON")
        made.set_defaults(run=run, creates=name in ("sync", "watch", "put"))
        return made

    for name, run, text in (
        ("sync", sync, "Pull, push and compact, once."),
        ("watch", watch, "Stay in step, and say what happens."),
    ):
        one = add(name, run, text)
        one.add_argument("--url", help="the server, https://…")
        one.add_argument("--db-id", dest="db_id", metavar="NAME", help="the database there: the tenant's name")
        one.add_argument("--device", metavar="ID", help="the device the token is of")
        one.add_argument(
            "--token-file", dest="token_file", metavar="FILE", help="holds the device's token; else $MOAT_V1_TOKEN"
        )
        one.add_argument(
            "--resolver", choices=sorted(BY_NAME), help="what becomes of an edit that meets another's (server-wins)"
        )
    one = add("put", put, "Store a document; a whole one, in place of what was there.")
    one.add_argument("collection", help="the table's name, such as notes")
    one.add_argument("id")
    one.add_argument(
        "values", nargs="*", metavar="KEY=TEXT", help="KEY=TEXT or KEY:=JSON; - reads a JSON object from standard input"
    )
    for name, run, text in (("get", get, "Show a document, or all of a collection."), ("rm", rm, "Delete a document.")):
        one = add(name, run, text)
        one.add_argument("collection")
        one.add_argument("id", nargs="?" if name == "get" else None)
    add("status", status, "Show where the store stands.")
    one = add("conflicts", conflicts, "Show what met others' edits, and what the server refused.")
    one.add_argument("--clear", action="store_true", help="forget the list, and undo the edits that were refused")
    return top


def main(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code."""
    options = parser().parse_args(arguments)
    out = Output(as_json=options.json)
    try:
        with EntityStore(options.db, create=options.creates) as store:
            command: Command = options.run
            return command(store, options, out)
    except sqlite3.Error as problem:
        out.fail("database", f"{options.db}: {problem}")
        return EXIT_FAILED
    except Unreachable as problem:
        out.fail(problem.code, str(problem), retry_after=problem.retry_after)
        return EXIT_UNREACHABLE
    except MoatError as problem:
        out.fail(problem.code, str(problem))
        return EXIT_USAGE if isinstance(problem, Refused) else EXIT_FAILED


def _engine(store: EntityStore, options: argparse.Namespace) -> SyncEngine:
    given = {name: getattr(options, name) or store.get_meta(f"set {name}") for name in _SETTINGS}
    token = _token(options.token_file)
    names = [f"--{name.replace('_', '-')}" for name in _SETTINGS[:3] if not given[name]]
    missing = names + ([] if token else ["a token (--token-file, or $MOAT_V1_TOKEN)"])
    if missing:
        raise Refused(f"Still needed: {', '.join(missing)}. See moat v1 --help.", code="bad_argument")
    config = Config(given["url"], given["db_id"], given["device"], lambda: token)
    engine = SyncEngine(store, config, resolver=BY_NAME[given["resolver"] or "server-wins"])

    def remember(event: str, details: dict[str, Any]) -> None:
        if event == "state" and details["state"] == "idle":
            for name, value in given.items():
                if value and value != store.get_meta(f"set {name}"):
                    store.set_meta(f"set {name}", value)

    engine.listen(remember)
    return engine


def _token(file: str | None) -> str:
    if not file:
        return os.environ.get("MOAT_V1_TOKEN", "").strip()
    try:
        return Path(file).read_text().strip()
    except (OSError, ValueError) as problem:
        raise Refused(f"{file} cannot be read: {problem}.", code="bad_argument") from problem


def sync(store: EntityStore, options: argparse.Namespace, out: Output) -> int:
    """`moat v1 sync`."""
    engine = _engine(store, options)
    done = engine.sync()
    found = engine.status()
    if out.as_json:
        out.json(
            {
                "pulled": done.pulled,
                "pushed": done.pushed,
                "conflicts": done.conflicts,
                "refused": found.refused,
                "cursor": found.cursor,
            }
        )
    else:
        out.say(
            f"Pulled {done.pulled}, pushed {done.pushed}; {done.conflicts} met others' edits; at cursor {found.cursor}."
        )
        if found.refused:
            out.warn(f"The server refused {found.refused}: see moat v1 conflicts.")
    return EXIT_REFUSED if found.refused else 0


def watch(store: EntityStore, options: argparse.Namespace, out: Output) -> int:
    """`moat v1 watch`."""
    engine = _engine(store, options)

    def say(event: str, details: dict[str, Any]) -> None:
        if out.as_json:
            out.json({"event": event, **details})
        elif text := _sentence(event, details):
            out.say(text)

    engine.listen(say)
    out.warn(f"Staying in step with {engine.config.url}. Ctrl-C ends it.")
    engine.run(threading.Event())
    return 0


def _sentence(event: str, details: Mapping[str, Any]) -> str:
    """Return an event of the engine as people read it; empty for what says nothing to them."""
    if event == "state":
        return str(details["error"])
    if event in ("pulled", "pushed"):
        return f"{event.capitalize()} {details['count']}."
    if event == "resync":
        return "The server's log no longer reaches back: taking everything anew."
    which = f"{details['collection']} {details['id']}"
    if event == "conflict":
        return f"{which} met another's edit: {details['kept']} was kept."
    return f"{which} was refused: {details['message']}"


def put(store: EntityStore, options: argparse.Namespace, out: Output) -> int:
    """`moat v1 put`."""
    document: dict[str, Any] = {}
    for pair in options.values:
        if pair == "-":
            found = _json("standard input", sys.stdin.read())
            if not isinstance(found, dict):
                raise Refused("standard input: a JSON object is needed.", code="bad_argument")
            document.update(found)
            continue
        name, raw, text = split_pair(pair)
        document[name] = _json(name, text) if raw else text
    store.turn_feed(on=True)
    try:
        version = store.collection(options.collection).put(options.id, document)
    except CborError as problem:
        raise Refused(f"This cannot be stored: {problem}", code="bad_value") from problem
    out.record({"collection": options.collection, "id": options.id, "version": version})
    return 0


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Refused(f"{name}: {text[:60]!r} is not JSON.", code="bad_argument") from None


def get(store: EntityStore, options: argparse.Namespace, out: Output) -> int:
    """`moat v1 get`."""
    collection = store.collection(options.collection)
    if options.id is None:
        if options.collection not in store.collections() and not out.as_json:
            out.warn(
                f"There is nothing in {options.collection}. Collections: {', '.join(store.collections()) or 'none yet'}."
            )
            return 0
        out.records([{"id": entity_id, "document": readable(document)} for entity_id, document in collection.items()])
        return 0
    found = collection.get(options.id)
    if found is None:
        raise MoatError(f"There is no {options.id} in {options.collection}.", code="unknown_record")
    shown = readable(found)
    out.record(shown if isinstance(shown, dict) else {"value": shown})
    return 0


def rm(store: EntityStore, options: argparse.Namespace, out: Output) -> int:
    """`moat v1 rm`."""
    store.turn_feed(on=True)
    if not store.collection(options.collection).delete(options.id):
        raise MoatError(f"There is no {options.id} in {options.collection}.", code="unknown_record")
    if out.as_json:
        out.json({"collection": options.collection, "id": options.id})
    else:
        out.say(f"Deleted {options.id}.")
    return 0


def status(store: EntityStore, options: argparse.Namespace, out: Output) -> int:
    """`moat v1 status`."""
    count = store.counts()
    out.record(
        {
            "url": store.get_meta("set url") or None,
            "db_id": store.get_meta("db_id") or None,
            "device": store.get_meta("device_id") or None,
            "cursor": int(store.get_meta("cursor", "0")),
            "pending": count.pending,
            "refused": count.refused,
            "conflicts": count.conflicts,
            "collections": store.collections(),
        }
    )
    return 0


def conflicts(store: EntityStore, options: argparse.Namespace, out: Output) -> int:
    """`moat v1 conflicts`."""
    if options.clear:
        out.record({"cleared": store.clear_problems()})
        return 0
    met = store.query('SELECT "collection", "id", "outcome", "mine", "theirs" FROM "conflicts" ORDER BY "n"')
    refused = store.query(
        'SELECT "collection", "id", "message", "cbor" FROM "feed" WHERE "state" = \'refused\' ORDER BY "op_id"'
    )
    shown = [
        {"collection": c, "id": i, "outcome": o, "mine": readable(as_document(m)), "theirs": readable(as_document(t))}
        for c, i, o, m, t in met
    ]
    shown += [
        {"collection": c, "id": i, "outcome": f"refused: {why}", "mine": readable(as_document(m)), "theirs": None}
        for c, i, why, m in refused
    ]
    if not shown and not out.as_json:
        out.say("Nothing met others' edits, and nothing was refused.")
        return 0
    out.records(shown, ("collection", "id", "outcome", "mine", "theirs"))
    return 0


def readable(value: Any) -> Any:
    """Return a document as JSON can show it: byte strings as base64."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {str(key): readable(each) for key, each in value.items()}
    if isinstance(value, list):
        return [readable(each) for each in value]
    if isinstance(value, Pairs):
        return [[readable(key), readable(each)] for key, each in value.items]
    if isinstance(value, Tag):
        return {"tag": value.number, "value": readable(value.value)}
    return {"simple": value.number} if isinstance(value, Simple) else value
