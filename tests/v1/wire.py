"""The server in memory, as `moat_client.v1`'s engine reaches it, with configurable faults."""

import random
from pathlib import Path
from typing import Any

from moat_client.errors import Unreachable
from moat_client.v1 import Config, EntityStore, Refusal, SyncEngine
from moat_client.v1 import cbor as client_cbor
from sync.entities import cbor
from tests.v1.http import Http


class Wire:
    """The server in memory. `luck` may drop requests, drop responses, and send twice."""

    def __init__(self, http: Http, luck: random.Random | None = None) -> None:
        self.http, self.luck = http, luck
        self.sent: list[str] = []
        self.held: list[tuple[str, Any]] = []

    def call(self, path: str, message: dict[str, Any]) -> dict[str, Any]:
        self.sent.append(path)
        if self.luck is not None:
            fate = self.luck.random()
            if fate < 0.1:
                raise Unreachable("The request was lost.")
            if fate < 0.2:
                self.held.append((path, message))  # it arrives much later
                raise Unreachable("The request is late.")
            if fate < 0.3:
                self._send(path, message)
                raise Unreachable("The answer was lost.")
            if fate < 0.4:
                self._send(path, message)
        return self._send(path, message)

    def late(self) -> None:
        """Deliver what was held back, in random order."""
        if self.luck is not None:
            self.luck.shuffle(self.held)
        while self.held:
            self.http.call(*self.held.pop())

    def _send(self, path: str, message: dict[str, Any]) -> dict[str, Any]:
        status, answer = self.http.call(path, client_to_server(message))
        if status == 200:
            return answer  # type: ignore[no-any-return]
        if status in (429, 503):
            raise Unreachable(answer["message"])
        raise Refusal(status, answer["code"], answer["message"], answer.get("field"))

    def events(self, last_id: str | None, device: str) -> Any:
        raise Unreachable("no events here")


def client_to_server(message: Any) -> Any:
    return cbor.decode(client_cbor.encode(message))


def store_at(path: Path, http: Http, **more: Any) -> tuple[EntityStore, SyncEngine, Wire]:
    store = EntityStore(path)
    wire = Wire(http, more.pop("luck", None))
    config = Config("https://x", http.tenant.slug, http.device, lambda: http.token)
    return store, SyncEngine(store, config, calls=wire, **more), wire


def contents(store: EntityStore) -> dict[tuple[str, str], bytes]:
    found = store.query('SELECT "collection", "id", "cbor" FROM "entities" WHERE "cbor" IS NOT NULL')
    return {(c, i): data for c, i, data in found}


# The store on its own
