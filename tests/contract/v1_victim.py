"""A process that syncs a v1 store and kills itself (SIGKILL) at a chosen moment.

Moments: `apply:3` before the third record of a page is written, `cursor:1` after a page's records but before its
cursor, `pushed:1` after the server's response to a push but before it is written, `settle:2` while it is written,
`never`.
"""

import os
import signal
import sys
from typing import Any

from moat_client.v1 import Config, EntityStore, SyncEngine, last_write_wins
from moat_client.v1.http import Http


class Bomb:
    """Kills the process at the nth call of one kind."""

    def __init__(self, moment: str) -> None:
        self.kind, _, count = moment.partition(":")
        self.left = int(count or 0)

    def tick(self, kind: str) -> None:
        if kind == self.kind:
            self.left -= 1
            if self.left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


class FragileStore(EntityStore):
    """A store that kills the process while it writes."""

    bomb: Bomb
    step = "apply"

    def write(self, entity: Any) -> None:
        self.bomb.tick(self.step)
        super().write(entity)

    def set_meta(self, key: str, value: object) -> None:
        if key == "cursor":
            self.bomb.tick("cursor")
        super().set_meta(key, value)


class FragileHttp(Http):
    """A connection that kills the process after the response arrived."""

    bomb: Bomb
    store: FragileStore

    def call(self, path: str, message: dict[str, Any]) -> dict[str, Any]:
        answer = super().call(path, message)
        self.store.step = "settle" if path == "push" else "apply"
        if path == "push":
            self.bomb.tick("pushed")
        return answer


def main(path: str, url: str, database: str, device: str, token: str, moment: str) -> None:
    """Sync once."""
    FragileStore.bomb = FragileHttp.bomb = Bomb(moment)
    with FragileStore(path) as store:
        FragileHttp.store = store
        calls = FragileHttp(url, lambda: token)
        SyncEngine(store, Config(url, database, device, lambda: token), resolver=last_write_wins, calls=calls).sync()


if __name__ == "__main__":
    main(*sys.argv[1:])
