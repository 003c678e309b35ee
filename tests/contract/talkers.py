"""One interface to records over either protocol, to run the same scenario over both and between them."""

from typing import Any, Protocol

import cbor2

from tenants.models import Tenant
from tests.contract.peer import Peer
from tests.contract.v1_peer import Refused, V1Peer

Values = dict[str, Any]


class Talker(Protocol):
    """A device that holds and edits its tenant's jobs."""

    device: str

    def insert(self, record: str, values: Values) -> str: ...
    def update(self, record: str, values: Values) -> str: ...
    def delete(self, record: str) -> str: ...
    def send_again(self) -> set[str]:
        """Send everything sent so far again, and return the results."""

    def jobs(self) -> dict[str, Values]:
        """Catch up to the head, and return all jobs without null fields."""

    def go_offline(self) -> None: ...
    def reopen(self) -> None:
        """Reconnect after the server was down."""

    def is_let_in(self) -> bool: ...
    def close(self) -> None: ...


class OverSocket:
    """Speaks `moat.v1`. It edits the version it has seen. Conflicting fields keep the server's value."""

    def __init__(self, tenant: Tenant, port: int, device: str, token: str) -> None:
        self.tenant, self.port, self.device, self.token = tenant, port, device, token
        self.peer = Peer(port, device, token).at(tenant).live()
        self.sent: list[dict[str, Any]] = []
        self.records: dict[str, tuple[int, Values | None]] = {}
        self.folded = 0

    def insert(self, record: str, values: Values) -> str:
        return self._push(self._peer.op("jobs", record, "insert", values, base=self._version(record)))

    def update(self, record: str, values: Values) -> str:
        patch = [{"op": "replace", "path": f"/{name}", "value": value} for name, value in values.items()]
        return self._push(self._peer.op("jobs", record, "update", patch, base=self._version(record)))

    def delete(self, record: str) -> str:
        return self._push(self._peer.op("jobs", record, "delete", base=self._version(record)))

    def send_again(self) -> set[str]:
        return {result["status"] for result in self._peer.push(*self.sent)}

    def jobs(self) -> dict[str, Values]:
        peer = self._peer
        self.tenant.refresh_from_db()
        peer.catch_up_to(self.tenant.cursor)
        for line in peer.lines[self.folded :]:
            if line["table"] == "jobs":
                self.records[line["id"]] = (line["version"], self._after(line))
            peer.schema_version = line["schema_version"]
        self.folded = len(peer.lines)
        return {record: _plain(values) for record, (_, values) in self.records.items() if values is not None}

    def go_offline(self) -> None:
        self.peer.socket.close()

    def reopen(self) -> None:
        self.peer.socket.close()
        old, self.peer = self.peer, Peer(self.port, self.device, self.token)
        self.peer.cursor, self.peer.state_hash, self.peer.schema_version = (
            old.cursor,
            old.state_hash,
            old.schema_version,
        )
        self.peer.lines, self.peer.op_id = old.lines, old.op_id
        self.peer.live()

    def is_let_in(self) -> bool:
        self.peer.socket.close()
        with Peer(self.port, self.device, self.token) as peer:
            peer.send(
                {
                    "type": "hello",
                    "protocol": "moat.v1",
                    "token": self.token,
                    "device": self.device,
                    "client": {},
                    **peer.state(),
                }
            )
            return peer.receive()["type"] == "welcome"

    def close(self) -> None:
        self.peer.socket.close()

    @property
    def _peer(self) -> Peer:
        if self.peer.socket.protocol.close_sent or self.peer.socket.protocol.close_rcvd:
            self.reopen()
        return self.peer

    def _version(self, record: str) -> int:
        return self.records.get(record, (0, None))[0]

    def _push(self, op: dict[str, Any]) -> str:
        self.sent.append(op)
        (result,) = self.peer.push(op)
        return str(result["status"])

    def _after(self, line: dict[str, Any]) -> Values | None:
        if line["op"] == "delete":
            return None
        if line["op"] == "insert":
            return dict(line["payload"])
        values = dict(self.records[line["id"]][1] or {})
        for step in line["payload"]:
            values[step["path"].removeprefix("/")] = step.get("value")
        return values


class OverHttp:
    """Speaks SyncProtocol v1. On a conflict it writes its keys over the server's document, like a merging client."""

    def __init__(self, tenant: Tenant, port: int, device: str, token: str) -> None:
        self.device = device
        self.peer = V1Peer(port, tenant.slug, device, token)
        self.sent: list[dict[str, Any]] = []
        self.records: dict[str, tuple[int, Values | None]] = {}

    def insert(self, record: str, values: Values) -> str:
        return self._push(record, values, {})

    def update(self, record: str, values: Values) -> str:
        return self._push(record, values, self.records[record][1] or {})

    def delete(self, record: str) -> str:
        return self._push(record, None, {})

    def send_again(self) -> set[str]:
        before = self.peer.call("handshake", {})["headCursor"]
        answer = self.peer.push(*self.sent)
        assert answer == {"acknowledgedUpToOpId": self.peer.op_id, "conflicts": []}
        return {"duplicate"} if self.peer.call("handshake", {})["headCursor"] == before else {"applied"}

    def jobs(self) -> dict[str, Values]:
        for op in self.peer.pull(3, collections=["jobs"]):
            body = op.get("entityCbor")
            self.records[op["entityId"]] = (op["entityVersion"], None if body is None else cbor2.loads(body))
        return {record: _plain(values) for record, (_, values) in self.records.items() if values is not None}

    def go_offline(self) -> None:
        self.peer.close()

    def reopen(self) -> None:
        self.peer.close()

    def is_let_in(self) -> bool:
        try:
            self.peer.call("handshake", {})
        except Refused as refused:
            assert refused.code == 2
            return False
        return True

    def close(self) -> None:
        self.peer.close()

    def _push(self, record: str, values: Values | None, before: Values) -> str:
        version = self.records.get(record, (0, None))[0]
        op = self.peer.op("jobs", record, version + 1, None if values is None else {**before, **values})
        answer = self.peer.push(op)
        if not answer["conflicts"]:
            self.sent.append(op)
            return "applied"
        (conflict,) = answer["conflicts"]
        state = conflict["serverState"]
        theirs = cbor2.loads(state["entityCbor"]) if state["entityCbor"] else {}
        merged = None if values is None else {**theirs, **values}
        again = self.peer.op("jobs", record, state["entityVersion"] + 1, merged, op_id=op["opId"])
        assert self.peer.push(again)["conflicts"] == []
        self.sent.append(again)
        return "merged"


def _plain(values: Values) -> Values:
    """Omit nulls, and the default of `crew`: the column has it, a document that omits `crew` does not."""
    named = {
        name: value
        for name, value in values.items()
        if value is not None and name not in ("object_type", "status", "id")
    }
    if named.get("crew") == 1:
        del named["crew"]
    return named
