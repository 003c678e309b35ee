"""Commands that write to the replica, with or without a server: add, set, rm, resolve, retry, discard."""

import argparse

from moat_client.cli.arguments import parse_values
from moat_client.cli.output import Output
from moat_client.errors import MoatError
from moat_client.replica.replica import Replica


def add(replica: Replica, options: argparse.Namespace, out: Output) -> int:
    """Add a record."""
    values = parse_values(replica.object_type(options.table), options.values)
    record_id = replica.insert(options.table, values)
    if out.as_json:
        out.json(replica.get(options.table, record_id))
    else:
        out.say(record_id)
    return 0


def set_(replica: Replica, options: argparse.Namespace, out: Output) -> int:
    """Change fields of a record."""
    changed = replica.update(
        options.table, options.id, parse_values(replica.object_type(options.table), options.values)
    )
    if out.as_json:
        out.json(replica.get(options.table, options.id))
    elif not changed:
        out.say("Nothing to change: it is so already.")
    return 0


def rm(replica: Replica, options: argparse.Namespace, out: Output) -> int:
    """Delete a record."""
    replica.delete(options.table, options.id)
    if out.as_json:
        out.json({"table": options.table, "id": options.id, "deleted": True})
    return 0


def resolve(replica: Replica, options: argparse.Namespace, out: Output) -> int:
    """Settle a conflict."""
    if options.edit:
        problem = next((p for p in replica.conflicts() if p.n == options.n), None)
        if problem is None:
            raise MoatError(f"There is no problem number {options.n}.", code="no_problem")
        replica.resolve(options.n, edit=parse_values(replica.object_type(problem.table), options.edit))
    else:
        replica.resolve(options.n, "mine" if options.mine else "theirs")
    return _told(out, options.n, "settled; it is sent with the next sync")


def retry(replica: Replica, options: argparse.Namespace, out: Output) -> int:
    """Send a rejected or parked op again."""
    problem = next((p for p in replica.conflicts() if p.n == options.n), None)
    if problem is None:
        raise MoatError(f"There is no problem number {options.n}.", code="no_problem")
    edit = parse_values(replica.object_type(problem.table), options.edit) if options.edit else None
    replica.retry(options.n, edit=edit)
    return _told(out, options.n, "pending again")


def discard(replica: Replica, options: argparse.Namespace, out: Output) -> int:
    """Let an op go."""
    replica.discard(options.n)
    return _told(out, options.n, "let go")


def _told(out: Output, n: int, what: str) -> int:
    if out.as_json:
        out.json({"n": n, "result": what})
    else:
        out.say(f"Number {n}: {what}.")
    return 0
