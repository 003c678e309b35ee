"""A process that syncs a v1 store and kills itself (SIGKILL) at a chosen moment: `apply:3` before the third record of a page is written,
`cursor:1` when a page's records are written and its cursor is not yet, `pushed:1` when the server has answered a push and nothing of the
answer is written, `settle:2` in the middle of writing it, `never`."""

import os
import signal
import sys
from typing import Any

from moat_client.v1 import Config, EntityStore, SyncEngine, last_write_wins
from moat_client.v1.http import Http


class Bomb:
    """Counts down calls of one kind."""

    def __init__(self, moment: str) -> None:
        self.kind, _, count = moment.partition(":")
        self.left = int(count or 0)

    def tick(self, kind: str) -> None:
        if kind == self.kind:
            self.left -= 1
            if self.left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


class FragileStore(EntityStore):
    """A store that dies on the way."""

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
    """A connection that dies with the answer in its hands."""

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
