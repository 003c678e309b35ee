"""Notifications of commits, for subscribers in this process (the hub).

Commits of one tenant can be announced out of cursor order when several threads write to it. A subscriber that finds a
gap reads the log.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from sync.channels.projection import Side

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Commit:
    """The changes of a tenant with cursors in (`from_cursor`, `to_cursor`], as (schema_version, line).

    `state_hash` is the chain value at `to_cursor`. For filtered channels: `sides` by cursor, and the tenant's
    `access_version`, which is not older than the changes. `rerouted` lists the records that got an empty update because
    a change to another record moved them: (table, ID, version, cursor).
    """

    tenant_id: int
    from_cursor: int
    to_cursor: int
    lines: list[tuple[int, bytes]]
    state_hash: bytes
    sides: Mapping[int, Side] = field(default_factory=dict)
    access_version: int = 0
    rerouted: tuple[tuple[str, str, int, int], ...] = ()


Subscriber = Callable[[Commit], None]
_subscribers: list[Subscriber] = []


def subscribe(callback: Subscriber) -> Callable[[], None]:
    """Call `callback` after every commit, in the committing thread, and return a function that unsubscribes it.

    The callback must be quick.
    """
    _subscribers.append(callback)
    return lambda: _subscribers.remove(callback) if callback in _subscribers else None


def announce(commit: Commit) -> None:
    """Notify the subscribers. Call it only after COMMIT. A failing subscriber is logged and affects no other."""
    for callback in tuple(_subscribers):
        try:
            callback(commit)
        except Exception:
            logger.exception("commit_listener_failed", tenant_id=commit.tenant_id, to_cursor=commit.to_cursor)
