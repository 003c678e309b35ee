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

from moat_client.cli import words
from moat_client.cli.arguments import split_pair
from moat_client.cli.output import Output
from moat_client.errors import InvalidEdit, MoatError, Unreachable
from moat_client.v1.cbor import CborError, Pairs, Simple, Tag
from moat_client.v1.engine import Config, SyncEngine
from moat_client.v1.resolvers import BY_NAME
from moat_client.v1.store import EntityStore, as_document

EXIT_FAILED, EXIT_USAGE, EXIT_UNREACHABLE, EXIT_REFUSED = 1, 2, 3, 5
_SETTINGS = ("url", "db_id", "device", "resolver")
Command = Callable[[EntityStore, argparse.Namespace, Output], int]


def parser() -> argparse.ArgumentParser:
    """Return the parser of `moat v1`."""
    style = argparse.RawDescriptionHelpFormatter
    text = words.V1_OPTIONS
    top = argparse.ArgumentParser(
        prog="moat v1", description=words.V1_ABOUT, epilog=words.V1_EPILOG, formatter_class=style
    )
    sub = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Command) -> argparse.ArgumentParser:
        made = sub.add_parser(name, help=words.V1_COMMANDS[name], description=words.V1_COMMANDS[name])
        made.add_argument("--db", metavar="FILE", default=os.environ.get("MOAT_V1_DB", "moat-v1.db"), help=text["db"])
        made.add_argument("--json", action="store_true", help=text["json"])
        made.set_defaults(run=run, creates=name in ("sync", "watch", "put"))
        return made

    for name, run in (("sync", sync), ("watch", watch)):
        one = add(name, run)
        one.add_argument("--url", help=text["url"])
        one.add_argument("--db-id", dest="db_id", metavar="NAME", help=text["db_id"])
        one.add_argument("--device", metavar="ID", help=text["device"])
        one.add_argument("--token-file", dest="token_file", metavar="FILE", help=text["token_file"])
        one.add_argument("--resolver", choices=sorted(BY_NAME), help=text["resolver"])
    one = add("put", put)
    one.add_argument("collection", help=text["collection"])
    one.add_argument("id")
    one.add_argument("values", nargs="*", metavar="KEY=TEXT", help=text["values"])
    for name, run in (("get", get), ("rm", rm)):
        one = add(name, run)
        one.add_argument("collection")
        one.add_argument("id", nargs="?" if name == "get" else None)
    add("status", status)
    one = add("conflicts", conflicts)
    one.add_argument("--clear", action="store_true", help=text["clear"])
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
        return EXIT_USAGE if isinstance(problem, InvalidEdit) else EXIT_FAILED


def _engine(store: EntityStore, options: argparse.Namespace) -> SyncEngine:
    given = {name: getattr(options, name) or store.get_meta(f"set {name}") for name in _SETTINGS}
    token = _token(options.token_file)
    names = [f"--{name.replace('_', '-')}" for name in _SETTINGS[:3] if not given[name]]
    missing = names + ([] if token else [words.V1_NO_CREDENTIALS])
    if missing:
        raise InvalidEdit(words.V1_MISSING.format(missing=", ".join(missing)), code="bad_argument")
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
        raise InvalidEdit(words.V1_UNREADABLE.format(file=file, problem=problem), code="bad_argument") from problem


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
        out.say(words.V1_SYNCED.format(done=done, cursor=found.cursor))
        if found.refused:
            out.warn(words.V1_REJECTED_COUNT.format(count=found.refused))
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
    out.warn(words.V1_SYNCING.format(url=engine.config.url))
    engine.run(threading.Event())
    return 0


def _sentence(event: str, details: Mapping[str, Any]) -> str:
    """Return an event of the engine as a sentence for people; empty for events that say nothing to them."""
    if event == "state":
        return str(details["error"])
    return _EVENTS[event].format(**details)


_EVENTS = {
    "pulled": words.V1_PULLED,
    "pushed": words.V1_PUSHED,
    "resync": words.V1_RESYNC,
    "conflict": words.V1_CONFLICT,
    "refused": words.V1_REJECTED,
}


def put(store: EntityStore, options: argparse.Namespace, out: Output) -> int:
    """`moat v1 put`."""
    document: dict[str, Any] = {}
    for pair in options.values:
        if pair == "-":
            found = _json(words.V1_STANDARD_INPUT, sys.stdin.read())
            if not isinstance(found, dict):
                raise InvalidEdit(words.V1_NOT_AN_OBJECT, code="bad_argument")
            document.update(found)
            continue
        name, raw, text = split_pair(pair)
        document[name] = _json(name, text) if raw else text
    store.enable_outbox()
    try:
        version = store.collection(options.collection).put(options.id, document)
    except CborError as problem:
        raise InvalidEdit(words.V1_CANNOT_STORE.format(problem=problem), code="bad_value") from problem
    out.record({"collection": options.collection, "id": options.id, "version": version})
    return 0


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidEdit(words.NOT_JSON.format(name=name, text=text[:60]), code="bad_argument") from None


def get(store: EntityStore, options: argparse.Namespace, out: Output) -> int:
    """`moat v1 get`."""
    collection = store.collection(options.collection)
    if options.id is None:
        if options.collection not in store.collections() and not out.as_json:
            names = ", ".join(store.collections()) or words.V1_NO_COLLECTIONS
            out.warn(words.V1_EMPTY_COLLECTION.format(name=options.collection, names=names))
            return 0
        out.records([{"id": entity_id, "document": readable(document)} for entity_id, document in collection.items()])
        return 0
    found = collection.get(options.id)
    if found is None:
        raise _not_found(options)
    shown = readable(found)
    out.record(shown if isinstance(shown, dict) else {"value": shown})
    return 0


def _not_found(options: argparse.Namespace) -> MoatError:
    text = words.V1_NOT_FOUND.format(id=options.id, collection=options.collection)
    return MoatError(text, code="unknown_record")


def rm(store: EntityStore, options: argparse.Namespace, out: Output) -> int:
    """`moat v1 rm`."""
    store.enable_outbox()
    if not store.collection(options.collection).delete(options.id):
        raise _not_found(options)
    if out.as_json:
        out.json({"collection": options.collection, "id": options.id})
    else:
        out.say(words.V1_DELETED.format(id=options.id))
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
        {
            "collection": c,
            "id": i,
            "outcome": words.V1_OUTCOME_REJECTED.format(message=why),
            "mine": readable(as_document(m)),
            "theirs": None,
        }
        for c, i, why, m in refused
    ]
    if not shown and not out.as_json:
        out.say(words.V1_NOTHING_TO_SHOW)
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
