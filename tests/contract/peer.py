"""A client of the wire protocol, written from the spec alone. It shares no code with Moat."""

import hashlib
import itertools
import json
import multiprocessing
from typing import Any

from websockets.sync.client import ClientConnection, connect

_ids = itertools.count(1)


class Peer:
    """One connection. It checks every `changes` frame: gap-free cursors and the server's chain."""

    def __init__(self, port: int, device: str, token: str) -> None:
        self.device, self.token = device, token
        self.socket: ClientConnection = connect(
            f"ws://127.0.0.1:{port}/ws/sync",
            max_size=64 << 20,
            compression=None,
            ping_interval=None,
            open_timeout=30,
            close_timeout=2,
            legacy=True,
        )
        self.cursor, self.state_hash, self.schema_version = 0, b"", 0
        self.lines: list[dict[str, Any]] = []
        self.acks: list[dict[str, Any]] = []
        self.errors: list[dict[str, Any]] = []
        self.op_id = 0

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, envelope: dict[str, Any], *lines: dict[str, Any]) -> None:
        self.socket.send("\n".join(json.dumps(part, ensure_ascii=False) for part in (envelope, *lines)))

    def receive(self, timeout: float = 20) -> dict[str, Any]:
        """The next envelope. Lines of `changes` frames are added to the chain."""
        text = self.socket.recv(timeout)
        assert isinstance(text, str), "a binary frame came unasked"
        head, *rest = text.split("\n")
        envelope = json.loads(head)
        if envelope["type"] == "changes":
            self._fold(envelope, rest)
        elif envelope["type"] == "ping":
            self.send({"type": "pong", "ref": envelope.get("ref"), "cursor": self.cursor})
        elif envelope["type"] == "ack":
            self.acks.append(envelope)
        elif envelope["type"] == "error":
            self.errors.append(envelope)
        return envelope

    def _fold(self, envelope: dict[str, Any], rest: list[str]) -> None:
        assert envelope["from"] == self.cursor, f"frame builds on {envelope['from']}, this peer is at {self.cursor}"
        for text in rest:
            line = json.loads(text)
            assert line["cursor"] == self.cursor + 1, "a cursor is missing or out of order"
            assert line["schema_version"] == envelope["schema_version"]
            self.cursor = line["cursor"]
            self.state_hash = hashlib.sha256(hashlib.sha256(text.encode()).digest() + self.state_hash).digest()
            self.lines.append(line)
        assert envelope["to"] == self.cursor
        assert envelope["state_hash"] == self.state_hash.hex(), "the chain differs"

    def until(self, kind: str, timeout: float = 20) -> dict[str, Any]:
        """Receive until an envelope of this type. An unexpected `error` fails the test."""
        while (envelope := self.receive(timeout))["type"] != kind:
            assert envelope["type"] != "error", envelope
        return envelope

    def state(self) -> dict[str, Any]:
        return {"cursor": self.cursor, "state_hash": self.state_hash.hex(), "schema_version": self.schema_version}

    def at(self, tenant: Any) -> "Peer":
        """Pretend to have everything up to the tenant's head."""
        tenant.refresh_from_db()
        self.cursor, self.state_hash, self.schema_version = (
            tenant.cursor,
            bytes(tenant.state_hash),
            tenant.schema_version,
        )
        return self

    def hello(self, **changed: Any) -> dict[str, Any]:
        hello = {
            "type": "hello",
            "protocol": "moat.v1",
            "token": self.token,
            "device": self.device,
            "client": {"name": "peer"},
            **self.state(),
        }
        self.send({**hello, **changed})
        return self.until("welcome")

    def live(self) -> "Peer":
        """Say hello, subscribe, and catch up."""
        self.hello()
        self.send({"type": "subscribe", **self.state()})
        self.until("live")
        return self

    def op(
        self, table: str, record: str, op: str, payload: Any = None, *, base: int = 0, **more: Any
    ) -> dict[str, Any]:
        """An op line with this peer's next op_id."""
        self.op_id += 1
        line = {
            "op_id": self.op_id,
            "table": table,
            "id": record,
            "op": op,
            "base_version": base,
            "payload": payload,
            **more,
        }
        return {k: v for k, v in line.items() if v is not None}

    def push(self, *ops: dict[str, Any]) -> list[dict[str, Any]]:
        """Push and return the results."""
        ref = next(_ids)
        self.send({"type": "push", "ref": ref, **self.state()}, *ops)
        while (ack := self.until("ack"))["ref"] != ref:
            pass
        return list(ack["results"])

    def catch_up_to(self, cursor: int, timeout: float = 30) -> None:
        """Receive until this peer reaches a cursor."""
        while self.cursor < cursor:
            self.receive(timeout)


def replace(field: str, value: Any) -> list[dict[str, Any]]:
    return [{"op": "replace", "path": f"/{field}", "value": value}]


def storm(
    port: int,
    device: str,
    token: str,
    start: dict[str, int | str],
    name: str,
    count: int,
    out: "multiprocessing.Queue[int]",
) -> None:
    """Push `count` frames of five inserts in a separate process, and report how many were applied."""
    with Peer(port, device, token) as peer:
        peer.cursor, peer.schema_version = int(start["cursor"]), int(start["schema_version"])
        peer.state_hash = bytes.fromhex(str(start["state_hash"]))
        peer.hello()
        accepted = 0
        for n in range(count):
            accepted += sum(
                r["status"] == "applied"
                for r in peer.push(*(peer.op("jobs", f"{name}-{n}-{k}", "insert", {"title": "t"}) for k in range(5)))
            )
        out.put(accepted)
