"""One connection to a FakeTenant: text frames in, frames out. For tests only."""

import json
from pathlib import Path
from typing import Any

from fake_tenant import AT, FakeTenant

LIMITS = {
    "frame": 65536,
    "line": 32768,
    "ops": 5,
    "pushes_in_flight": 2,
    "requests_in_flight": 8,
    "ranges_per_verify": 4,
}


class FakeSession:
    def __init__(self, tenant: FakeTenant, folder: Path, tokens: dict[str, str]) -> None:
        self.tenant, self.folder, self.tokens = tenant, folder, tokens
        self.device = ""
        self.cursor: int | None = None
        self.closed = 0
        self.log: list[str] = []

    def receive(self, data: bytes) -> list[bytes | str]:
        """Answer a text frame; `str` items are text frames, `bytes` binary ones."""
        head, *lines = data.split(b"\n")
        message = json.loads(head)
        self.log.append(message["type"])
        answer = getattr(self, f"_{message['type']}")(message, [json.loads(line) for line in lines])
        return [a if isinstance(a, (str, bytes)) else json.dumps(a) for a in answer]

    def live(self) -> list[str]:
        """Return what was committed since."""
        if self.cursor is None:
            return []
        frames = self.tenant.frames(self.cursor)
        self.cursor = self.tenant.cursor
        return [f.decode() for f in frames]

    def _error(self, code: str, **more: Any) -> dict[str, Any]:
        return {"type": "error", "code": code, "message": f"error {code}"} | more

    def _hello(self, m: dict[str, Any], _: Any) -> list[Any]:
        t = self.tenant
        if self.tokens.get(m["token"]) is None:
            self.closed = 4401
            return [self._error("bad_token")]
        self.device = self.tokens[m["token"]]
        return [
            {
                "type": "welcome",
                "tenant": t.slug,
                "user": "u",
                "device": self.device,
                "profile": "full",
                "channel": t.channel,
            }
            | {"schema_version": t.schema_version, "cursor": t.cursor, "server_epoch": t.epoch, "limits": LIMITS}
            | {"chain": self._chain(m), "settled": []}
        ]

    def _chain(self, m: dict[str, Any]) -> str:
        t = self.tenant
        if m["cursor"] == 0:
            return "new"
        if m.get("server_epoch") not in (None, t.epoch):
            return "epoch"
        if m["cursor"] > t.cursor:
            return "ahead"
        if m["cursor"] < t.pruned:
            return "pruned"
        return "ok" if t.hashes[m["cursor"]].hex() == m["state_hash"] else "mismatch"

    def _subscribe(self, m: dict[str, Any], _: Any) -> list[Any]:
        t = self.tenant
        self.cursor = None
        chain = self._chain(m)
        if chain in ("ahead", "epoch"):
            return [self._error(chain)]
        if chain == "mismatch":
            return [{"type": "catch_up", "mode": "repair", "cursor": t.cursor, "state_hash": t.hash.hex()}]
        if m["cursor"] == 0 and t.prefer_snapshot:
            return [{"type": "catch_up", "mode": "snapshot", "manifest": t.snapshot(self.folder)}]
        if m["cursor"] < t.pruned:
            return self._catch_up_rows(m)
        self.cursor = t.cursor
        head = {"type": "catch_up", "mode": "log", "from": m["cursor"], "to": t.cursor}
        live = {"type": "live", "cursor": t.cursor, "state_hash": t.hash.hex()}
        return [head, *(f.decode() for f in t.frames(m["cursor"])), live]

    def _catch_up_rows(self, m: dict[str, Any]) -> list[Any]:
        t = self.tenant
        if m["schema_version"] != t.schema_version:
            return [self._error("schema_behind")]
        since = m["cursor"]
        end = {"from": since, "to": t.cursor, "schema_version": t.schema_version, "state_hash": t.hash.hex()}
        out: list[Any] = [{"type": "catch_up", "mode": "rows", "total": len(t.changed)} | end]
        for table in sorted(t.records, reverse=True):
            ids = [i for i in t.records[table] if t.changed[table, i] > since]
            deleted = [
                i for (name, i), (_, c) in t.tombs.items() if name == table and c > since and i not in t.records[table]
            ]
            out.append(t.rows_frame(table, ids, deleted=deleted).decode())
        self.cursor = t.cursor
        return [*out, {"type": "rows_end"} | end, {"type": "live", "cursor": t.cursor, "state_hash": t.hash.hex()}]

    def _push(self, m: dict[str, Any], ops: list[dict[str, Any]]) -> list[Any]:
        if any(op.get("payload") == {"title": "MALFORMED"} for op in ops):
            return [self._error("malformed", ref=m["ref"])]
        results = self.tenant.push(self.device, ops)
        return [{"type": "ack", "ref": m["ref"], "results": results}, *self.live()]

    def _schema(self, m: dict[str, Any], _: Any) -> list[Any]:
        found = [{"schema_version": v, "commands": c} for v, c in self.tenant.revisions if v > m["from"]]
        return [{"type": "schema", "from": m["from"], "to": self.tenant.schema_version, "revisions": found}]

    def _part(self, m: dict[str, Any], _: Any) -> list[Any]:
        if m["snapshot"] not in self.tenant.snapshots:
            return [self._error("snapshot_gone")]
        header = json.dumps({"snapshot": m["snapshot"], "part": m["part"]}).encode()
        return [len(header).to_bytes(4) + header + self.tenant.snapshots[m["snapshot"]][1][m["part"]]]

    def _verify(self, m: dict[str, Any], _: Any) -> list[Any]:
        t = self.tenant
        head = {"type": "verify", "cursor": t.cursor, "state_hash": t.hash.hex()} | (
            {"ref": m["ref"]} if "ref" in m else {}
        )
        if "table" in m:
            answer = head | {"table": m["table"], "ranges": [list(t.digest(m["table"], *span)) for span in m["ranges"]]}
        else:
            answer = head | {"tables": {name: list(t.digest(name)) for name in t.records}}
        return [*self.live(), answer]

    def _repair(self, m: dict[str, Any], _: Any) -> list[Any]:
        t, low, high = self.tenant, m.get("low"), m.get("high")
        ids = [i for i in t.records[m["table"]] if (low is None or i >= low) and (high is None or i <= high)]
        return [t.rows_frame(m["table"], ids, range=[low, high], ref=m["ref"]).decode()]

    def _ping(self, m: dict[str, Any], _: Any) -> list[Any]:
        return [{"type": "pong", "cursor": self.tenant.cursor, "at": AT}]

    def _pong(self, m: dict[str, Any], _: Any) -> list[Any]:
        return []

    def _bye(self, m: dict[str, Any], _: Any) -> list[Any]:
        self.closed = 1000
        return []
