"""News of what was committed, for whoever listens in this process (the hub).

Announcements of one tenant can arrive out of cursor order when several threads write it; a listener that finds a gap
reads the log.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from sync.channels.projection import Side

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Commit:
    """The changes of a tenant with cursors in (`from_cursor`, `to_cursor`], as (schema_version, line); `state_hash` is the chain at `to_cursor`.

    For filtered channels: `sides` by cursor, and the tenant's `access_version`, which is not older than the changes.
    `rekeyed` names records that the changes moved without being about them: (table, id, version, cursor).
    """

    tenant_id: int
    from_cursor: int
    to_cursor: int
    lines: list[tuple[int, bytes]]
    state_hash: bytes
    sides: Mapping[int, Side] = field(default_factory=dict)
    access_version: int = 0
    rerouted: tuple[tuple[str, str, int, int], ...] = ()


Listener = Callable[[Commit], None]
_listeners: list[Listener] = []


def subscribe(callback: Listener) -> Callable[[], None]:
    """Call back after every commit, in the thread that committed, and return a function that ends it. The callback must be quick."""
    _listeners.append(callback)
    return lambda: _listeners.remove(callback) if callback in _listeners else None


def announce(commit: Commit) -> None:
    """Tell the listeners. Only after COMMIT; a listener that fails is logged and disturbs nobody."""
    for callback in tuple(_listeners):
        try:
            callback(commit)
        except Exception:
            logger.exception("commit_listener_failed", tenant_id=commit.tenant_id, to_cursor=commit.to_cursor)
