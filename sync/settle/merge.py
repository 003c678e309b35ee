"""Pure: merge an op with concurrent changes. See docs/spec/merging.md.

Values are wire values by field name. Nothing here knows tables, logs, or databases. What is costly to read (the base)
comes from a callable, which is called only when needed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from sync.wire.patch import same

LAST_WRITE_WINS: Final = "last_write_wins"
FIELD_MERGE: Final = "field_merge"
SERVER_WINS: Final = "server_wins"
MANUAL: Final = "manual"
POLICIES: Final = frozenset({LAST_WRITE_WINS, FIELD_MERGE, SERVER_WINS, MANUAL})

_MISSING: Final = object()


class NotMergeable(Exception):
    """Both sides changed the same value differently."""


@dataclass(frozen=True, slots=True)
class MergeResult:
    """Write these values. The fields named by `kept` keep the server's value."""

    values: dict[str, Any]
    kept: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FieldConflict:
    """A conflict in these fields, which a user has to resolve."""

    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Update:
    """An update made without knowledge of others' changes.

    `mine` holds what the op sets. `theirs` returns the server's value of a field. `concurrent` names the fields of
    `mine` that someone else changed since the base. The values of `json_fields` are merged key by key. `base` returns
    the record as the device knew it, or None if the log has been pruned.
    """

    mine: Mapping[str, Any]
    theirs: Callable[[str], Any]
    concurrent: frozenset[str]
    json_fields: frozenset[str]
    base: Callable[[], Mapping[str, Any] | None]


def merge_update(policy: str, update: Update) -> MergeResult | FieldConflict:
    """Merge an update with others' changes to the same live record. `policy` is one of `POLICIES`."""
    if policy == LAST_WRITE_WINS:
        return MergeResult(dict(update.mine))
    if policy == MANUAL:
        return FieldConflict(tuple(name for name in update.mine if name in update.concurrent) or tuple(update.mine))
    values, conflicting = _merge_fields(update)
    if not conflicting:
        return MergeResult(values)
    if policy == SERVER_WINS:
        return MergeResult(values, tuple(conflicting))
    return FieldConflict(tuple(conflicting))


def _merge_fields(update: Update) -> tuple[dict[str, Any], list[str]]:
    values: dict[str, Any] = {}
    conflicting: list[str] = []
    for name, mine in update.mine.items():
        if name not in update.concurrent:
            values[name] = mine
            continue
        theirs = update.theirs(name)
        if same(mine, theirs):
            continue
        try:
            values[name] = _merge_inside(update, name, mine, theirs)
        except NotMergeable:
            conflicting.append(name)
    return values, conflicting


def _merge_inside(update: Update, name: str, mine: Any, theirs: Any) -> Any:
    if name not in update.json_fields:
        raise NotMergeable
    base = update.base()
    if base is None:
        raise NotMergeable
    return three_way(base.get(name), mine, theirs)


def merge_delete(policy: str, *, foreign: bool) -> Literal["delete", "keep", "conflict"]:
    """Decide a delete of a live record. `foreign`: someone else changed it since the base."""
    if not foreign or policy == LAST_WRITE_WINS:
        return "delete"
    return "keep" if policy == SERVER_WINS else "conflict"


def merge_with_deleted(policy: str) -> Literal["revive", "keep", "conflict"]:
    """Decide an update of a record that someone else deleted since the base."""
    if policy == LAST_WRITE_WINS:
        return "revive"
    return "keep" if policy == SERVER_WINS else "conflict"


def three_way(base: Any, mine: Any, theirs: Any) -> Any:
    """Merge two JSON values made from the same base. Raises `NotMergeable` if both changed the same value.

    Objects merge key by key. Lists merge item by item if every item is an object with an `id` that is unique in the
    list. Anything else is atomic.
    """
    if mine is theirs or _equal(mine, theirs) or _equal(base, theirs):
        return mine
    if _equal(base, mine):
        return theirs
    if isinstance(mine, dict) and isinstance(theirs, dict) and _mergeable(base, dict):
        return _merge_dicts(base if isinstance(base, dict) else {}, mine, theirs)
    if isinstance(mine, list) and isinstance(theirs, list) and _mergeable(base, list):
        return _merge_lists(base if isinstance(base, list) else [], mine, theirs)
    raise NotMergeable


def _equal(a: Any, b: Any) -> bool:
    return a is b if a is _MISSING or b is _MISSING else same(a, b)


def _mergeable(base: Any, kind: type) -> bool:
    # If the base had no value, two new containers merge as if both started from an empty one.
    return base is _MISSING or base is None or isinstance(base, kind)


def _merge_dicts(base: dict[str, Any], mine: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for key in [*theirs, *(k for k in mine if k not in theirs)]:
        value = three_way(base.get(key, _MISSING), mine.get(key, _MISSING), theirs.get(key, _MISSING))
        if value is not _MISSING:
            merged[key] = value
    return merged


def _by_id(items: list[Any]) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for item in items:
        key = item.get("id") if isinstance(item, dict) else None
        if not isinstance(key, str | int) or isinstance(key, bool) or key in found:
            raise NotMergeable
        found[key] = item
    return found


def _merge_lists(base: list[Any], mine: list[Any], theirs: list[Any]) -> list[Any]:
    before, ours, others = _by_id(base), _by_id(mine), _by_id(theirs)
    merged = _merge_dicts(before, ours, others)
    # The order is theirs, unless only mine reordered the items that both still have.
    shared = [key for key in before if key in ours and key in others]
    theirs_kept_order = [key for key in others if key in shared] == shared
    order = (
        [*ours, *(k for k in others if k not in ours)]
        if theirs_kept_order
        else [*others, *(k for k in ours if k not in others)]
    )
    return [merged[key] for key in order if key in merged]
