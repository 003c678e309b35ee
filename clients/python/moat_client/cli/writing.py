"""Commands that write to the replica, with or without a server: add, set, rm, resolve, retry, discard."""

import argparse

from moat_client.cli import words
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
        out.say(words.NO_CHANGE)
    return 0


def rm(replica: Replica, options: argparse.Namespace, out: Output) -> int:
    """Delete a record."""
    replica.delete(options.table, options.id)
    if out.as_json:
        out.json({"table": options.table, "id": options.id, "deleted": True})
    return 0


def resolve(replica: Replica, options: argparse.Namespace, out: Output) -> int:
    """Resolve a conflict."""
    if options.edit:
        problem = next((p for p in replica.conflicts() if p.n == options.n), None)
        if problem is None:
            raise MoatError(words.NO_PROBLEM.format(n=options.n), code="no_problem")
        replica.resolve(options.n, edit=parse_values(replica.object_type(problem.table), options.edit))
    else:
        replica.resolve(options.n, "mine" if options.mine else "theirs")
    return _report(out, options.n, words.RESOLVED)


def retry(replica: Replica, options: argparse.Namespace, out: Output) -> int:
    """Resend a rejected or parked op."""
    problem = next((p for p in replica.conflicts() if p.n == options.n), None)
    if problem is None:
        raise MoatError(words.NO_PROBLEM.format(n=options.n), code="no_problem")
    edit = parse_values(replica.object_type(problem.table), options.edit) if options.edit else None
    replica.retry(options.n, edit=edit)
    return _report(out, options.n, words.PENDING_AGAIN)


def discard(replica: Replica, options: argparse.Namespace, out: Output) -> int:
    """Discard an op the server did not accept."""
    replica.discard(options.n)
    return _report(out, options.n, words.DISCARDED)


def _report(out: Output, n: int, result: str) -> int:
    if out.as_json:
        out.json({"n": n, "result": result})
    else:
        out.say(words.PROBLEM_RESULT.format(n=n, result=result))
    return 0
