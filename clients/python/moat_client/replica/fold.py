"""Fold many change lines into one write per record.

Pure: no I/O, clock, or randomness.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from moat_client.errors import Diverged
from moat_client.wire.patch import PatchFailed, patch_value, split_pointer

Known = Callable[[str, str], int | None]
Current = Callable[[str, str, str], Any]


@dataclass(slots=True)
class Folded:
    """The net effect on a table: whole new rows, changed columns of existing rows, and deleted IDs."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    patches: dict[str, dict[str, Any]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)

    @property
    def ids(self) -> set[str]:
        """The IDs of all affected records."""
        return self.rows.keys() | self.patches.keys() | self.gone


def fold_changes(
    changes: Iterable[Mapping[str, Any]], *, current: Current, known: Known | None = None
) -> dict[str, Folded]:
    """Fold parsed change lines, in order, by table and record.

    `current(table, id, field)` returns the json value of a base row that a nested patch starts from. After a repair,
    `known(table, id)` returns the version of a base row: lines that it already holds are skipped, and so are changes to
    records that a later line deletes. Raise Diverged when lines contradict each other.
    """
    tables: dict[str, Folded] = {}
    for change in changes:
        folded = tables.get(change["table"])
        if folded is None:
            folded = tables[change["table"]] = Folded()
        if known is not None and _is_applied(folded, change, known):
            continue
        record_id, op = change["id"], change["op"]
        if op == "update":
            _fold_update(folded, change, current)
        elif op == "insert":
            row = change["payload"]
            row["id"], row["version"] = record_id, change["version"]
            folded.rows[record_id] = row
            folded.patches.pop(record_id, None)
            folded.gone.discard(record_id)
        elif op in ("delete", "evict"):
            folded.rows.pop(record_id, None)
            folded.patches.pop(record_id, None)
            folded.gone.add(record_id)
        else:
            raise Diverged(f"unknown op {op!r} in a change line")
    return tables


def _fold_update(folded: Folded, change: Mapping[str, Any], current: Current) -> None:
    record_id = change["id"]
    target = folded.rows.get(record_id)
    if target is None:
        if record_id in folded.gone:
            raise Diverged(f"{change['table']}/{record_id} was updated after it was deleted")
        target = folded.patches.get(record_id)
        if target is None:
            target = folded.patches[record_id] = {}
    target["version"] = change["version"]
    for step in change["payload"]:
        path: str = step["path"]
        name = path[1:]
        if "/" in name:  # field names need no escapes
            _fold_nested(folded, target, change, step, current)
        elif step["op"] == "remove":
            target[name] = None
        else:
            target[name] = step["value"]


def _fold_nested(
    folded: Folded, target: dict[str, Any], change: Mapping[str, Any], step: Mapping[str, Any], current: Current
) -> None:
    name, *inner = split_pointer(step["path"])
    record_id = change["id"]
    if name in target:
        value = target[name]
    elif record_id in folded.rows:
        value = None
    else:
        try:
            value = current(change["table"], record_id, name)
        except KeyError:  # a column that is retired in this replica
            return
    try:
        # In place: the parsed lines belong to this fold alone.
        patch_value(value, inner, step["op"], step.get("value"))
    except PatchFailed as problem:
        raise Diverged(f"{change['table']}/{record_id}: {problem}") from problem
    target[name] = value


def _is_applied(folded: Folded, change: Mapping[str, Any], known: Known) -> bool:
    record_id, version = change["id"], change["version"]
    here = folded.rows.get(record_id) or folded.patches.get(record_id)
    have = here["version"] if here else None if record_id in folded.gone else known(change["table"], record_id)
    if have is None:  # already deleted by a later line than this one: only an insert, or its deletion, can follow
        return bool(change["op"] == "update")
    return bool(have >= version)
