"""A client of SyncProtocol v1, written from the spec alone with another CBOR library. It shares no code with Moat."""

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cbor2


class Refused(Exception):
    """The server responded with an ErrorResponse."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(f"{status} {body}")
        self.status, self.code = status, body.get("code")


class V1Peer:
    """A device. It checks every page: cursors increase, and `nextCursor` is not before the last one."""

    def __init__(self, port: int, database: str, device: str, token: str) -> None:
        self.port, self.database, self.device, self.token = port, database, device, token
        self.cursor = self.op_id = 0
        self.connection: http.client.HTTPConnection | None = None

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def call(self, path: str, message: dict[str, Any]) -> dict[str, Any]:
        """POST a message, and retry while the server is busy.

        Raises `Refused`, and OSError or HTTPException if the connection breaks.
        """
        while True:
            status, answer = self._post(path, {"dbId": self.database, "deviceId": self.device, **message})
            if status == 200:
                return answer
            if status != 503:
                raise Refused(status, answer)
            time.sleep(answer["retryAfterSeconds"])

    def _post(self, path: str, message: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            headers = {"Content-Type": "application/cbor", "Authorization": f"Bearer {self.token}"}
            self.connection.request("POST", f"/v1/{path}", cbor2.dumps(message), headers)
            response = self.connection.getresponse()
            return response.status, dict(cbor2.loads(response.read()))
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def op(
        self, collection: str, record: str, version: int, document: Any = None, *, op_id: int | None = None
    ) -> dict[str, Any]:
        """An op with this device's next op_id: an upsert of a document (or raw bytes), or a delete without one."""
        if op_id is None:
            self.op_id += 1
            op_id = self.op_id
        out = {"opId": op_id, "collection": collection, "entityId": record, "entityVersion": version, "timestampMs": 1}
        if document is None:
            return {**out, "opType": "delete"}
        return {
            **out,
            "opType": "PUT",
            "entityCbor": document if isinstance(document, bytes) else cbor2.dumps(document),
        }

    def push(self, *ops: dict[str, Any]) -> dict[str, Any]:
        return self.call("push", {"ops": list(ops)})

    def pull(self, limit: int = 1000, **more: Any) -> list[dict[str, Any]]:
        """The rest of the log, read page by page."""
        found: list[dict[str, Any]] = []
        more_to_come = True
        while more_to_come:
            page = self.call("pull", {"sinceCursor": self.cursor, "limit": limit, **more})
            cursors = [op["opId"] for op in page["ops"]]
            assert len(cursors) <= limit
            assert cursors == sorted(set(cursors))
            assert all(self.cursor < cursor <= page["nextCursor"] for cursor in cursors)
            found += page["ops"]
            self.cursor, more_to_come = page["nextCursor"], page["hasMore"]
        return found

    @contextmanager
    def stream(
        self, last_id: str | None = None, query: str = ""
    ) -> Iterator[Iterator[tuple[str, dict[str, Any], str | None]]]:
        """The event stream as (type, data, id), until the server ends it or the connection breaks."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Authorization": f"Bearer {self.token}"} | ({"Last-Event-ID": last_id} if last_id else {})
        try:
            connection.request("GET", f"/v1/stream{query}", headers=headers)
            response = connection.getresponse()
            if response.status != 200:
                raise Refused(response.status, json.loads(response.read()))
            yield _events(response)
        finally:
            connection.close()


def _events(response: http.client.HTTPResponse) -> Iterator[tuple[str, dict[str, Any], str | None]]:
    kind, data, event_id = "", "", None
    while line := response.readline():
        name, _, value = line.decode().removesuffix("\n").partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            data = value
        elif name == "id":
            event_id = value
        elif not name:
            yield kind, json.loads(data), event_id
            kind, data, event_id = "", "", None
