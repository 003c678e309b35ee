"""The command line `moat v1`: a store of documents in step with a server that speaks SyncProtocol v1."""

import argparse
import base64
import json
import os
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from moat_client.cli.arguments import split_pair
from moat_client.cli.output import Output
from moat_client.errors import MoatError, Refused, Unreachable
from moat_client.v1.cbor import Pairs, Simple, Tag
from moat_client.v1.engine import Config, SyncEngine
from moat_client.v1.resolvers import BY_NAME
from moat_client.v1.store import EntityStore, as_document

EXIT_FAILED, EXIT_USAGE, EXIT_UNREACHABLE, EXIT_REFUSED = 1, 2, 3, 5
_SETTINGS = ("url", "db_id", "device", "resolver")
EPILOG = """examples:
  moat v1 sync --url https://moat.example --db-id acme --device DEVICE --token-file token.txt --db notes.db
  moat v1 put notes n1 title=Milk done:=false
  moat v1 get notes n1
  moat v1 watch

Settings given once are remembered in the store, all but the token: --token-file FILE or $MOAT_V1_TOKEN.
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
        made.add_argument("--db", metavar="FILE", default=os.environ.get("MOAT_V1_DB", "moat-v1.db"))
        made.add_argument("--json", action="store_true", help="print JSON")
        made.set_defaults(run=run)
        return made

    for name, run, text in (("sync", sync, "Pull, push and compact, once."), ("watch", watch, "Stay in step, and say what happens.")):
        one = add(name, run, text)
        one.add_argument("--url")
        one.add_argument("--db-id", dest="db_id")
        one.add_argument("--device")
        one.add_argument("--token-file", dest="token_file", metavar="FILE")
        one.add_argument("--resolver", choices=sorted(BY_NAME))
    one = add("put", put, "Store a document.")
    one.add_argument("collection")
    one.add_argument("id")
    one.add_argument("values", nargs="*", metavar="KEY=TEXT", help="KEY=TEXT or KEY:=JSON; - reads a JSON object from standard input")
    for name, run, text in (("get", get, "Show a document, or all of a collection."), ("rm", rm, "Delete a document.")):
        one = add(name, run, text)
        one.add_argument("collection")
        one.add_argument("id", nargs="?" if name == "get" else None)
    add("status", status, "Show where the store stands.")
    add("conflicts", conflicts, "Show what met others' edits, and what the server refused.")
    return top


def main(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code."""
    options = parser().parse_args(arguments)
    out = Output(as_json=options.json)
    try:
        with EntityStore(options.db) as store:
            command: Command = options.run
            return command(store, options, out)
    except Unreachable as problem:
        out.fail(problem.code, str(problem), retry_after=problem.retry_after)
        return EXIT_UNREACHABLE
    except MoatError as problem:
        out.fail(problem.code, str(problem))
        return EXIT_USAGE if isinstance(problem, Refused) else EXIT_FAILED


def _engine(store: EntityStore, options: argparse.Namespace) -> SyncEngine:
    given = {name: getattr(options, name) or store.get_meta(f"set {name}") for name in _SETTINGS}
    token = Path(options.token_file).read_text().strip() if options.token_file else os.environ.get("MOAT_V1_TOKEN", "")
    missing = [name for name in _SETTINGS[:3] if not given[name]] + ([] if token else ["token"])
    if missing:
        raise Refused(f"Still needed: {', '.join(missing)}. See moat v1 --help.", code="bad_argument")
    config = Config(given["url"], given["db_id"], given["device"], lambda: token)
    engine = SyncEngine(store, config, resolver=BY_NAME[given["resolver"] or "server-wins"])
    for name, value in given.items():
        if value:
            store.set_meta(f"set {name}", value)
    return engine


def sync(store: EntityStore, options: argparse.Namespace, out: Output) -> int:
    """`moat v1 sync`."""
    engine = _engine(store, options)
    done = engine.sync()
    found = engine.status()
    if out.as_json:
        out.json(
            {"pulled": done.pulled, "pushed": done.pushed, "conflicts": done.conflicts, "refused": found.refused, "cursor": found.cursor}
        )
    else:
        out.say(f"Pulled {done.pulled}, pushed {done.pushed}; {done.conflicts} met others' edits; at cursor {found.cursor}.")
    return EXIT_REFUSED if found.refused else 0


def watch(store: EntityStore, options: argparse.Namespace, out: Output) -> int:
    """`moat v1 watch`."""
    engine = _engine(store, options)

    def say(event: str, details: dict[str, Any]) -> None:
        if out.as_json:
            out.json({"event": event, **details})
        elif event != "state" or details["error"]:
            out.say(" ".join([event, *(f"{key}={value}" for key, value in details.items())]))

    engine.listen(say)
    engine.run(threading.Event())
    return 0


def put(store: EntityStore, options: argparse.Namespace, out: Output) -> int:
    """`moat v1 put`."""
    document: dict[str, Any] = {}
    for pair in options.values:
        if pair == "-":
            found = json.load(sys.stdin)
            document.update(found if isinstance(found, dict) else {})
            continue
        name, raw, text = split_pair(pair)
        try:
            document[name] = json.loads(text) if raw else text
        except ValueError:
            raise Refused(f"{name}: {text!r} is not JSON.", code="bad_argument") from None
    store.turn_feed(on=True)
    version = store.collection(options.collection).put(options.id, document)
    out.record({"collection": options.collection, "id": options.id, "version": version})
    return 0


def get(store: EntityStore, options: argparse.Namespace, out: Output) -> int:
    """`moat v1 get`."""
    collection = store.collection(options.collection)
    if options.id is None:
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
    out.say(f"Deleted {options.id}.")
    return 0


def status(store: EntityStore, options: argparse.Namespace, out: Output) -> int:
    """`moat v1 status`."""
    count = dict(store.query('SELECT "state", count(*) FROM "feed" GROUP BY 1'))
    out.record(
        {
            "url": store.get_meta("set url") or None,
            "db_id": store.get_meta("db_id") or None,
            "device": store.get_meta("device_id") or None,
            "cursor": int(store.get_meta("cursor", "0")),
            "pending": count.get("pending", 0),
            "refused": count.get("refused", 0),
            "conflicts": store.query('SELECT count(*) FROM "conflicts"')[0][0],
            "collections": store.collections(),
        }
    )
    return 0


def conflicts(store: EntityStore, options: argparse.Namespace, out: Output) -> int:
    """`moat v1 conflicts`."""
    met = store.query('SELECT "collection", "id", "outcome", "mine", "theirs" FROM "conflicts" ORDER BY "n"')
    refused = store.query('SELECT "collection", "id", "message", "cbor" FROM "feed" WHERE "state" = \'refused\' ORDER BY "op_id"')
    shown = [
        {"collection": c, "id": i, "outcome": o, "mine": readable(as_document(m)), "theirs": readable(as_document(t))}
        for c, i, o, m, t in met
    ]
    shown += [
        {"collection": c, "id": i, "outcome": f"refused: {why}", "mine": readable(as_document(m)), "theirs": None}
        for c, i, why, m in refused
    ]
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
