"""A tenant in memory, written from docs/spec alone: log, chain, records, schema, ops, snapshots. For tests only."""

import gzip
import hashlib
import json
import sqlite3
import uuid
from pathlib import Path
from typing import Any

from moat_client.replica.catalog import load_catalog
from moat_client.replica.ddl import APPLICATION_ID, SYSTEM_TABLES_SQL, USER_VERSION, command_sql
from moat_client.replica.tables import SYSTEM
from moat_client.wire import chain
from moat_client.wire.patch import PatchFailed, apply_patch, same, split_pointer
from moat_client.wire.schema import SYSTEM_COLUMNS

AT = "2026-11-21T09:00:00.000000Z"


def field(name: str, kind: str = "text", **more: Any) -> dict[str, Any]:
    base = {
        "name": name,
        "kind": kind,
        "label": name,
        "required": False,
        "unique": False,
        "indexed": False,
        "default": None,
    }
    return (
        base
        | {"help_text": "", "choices": [], "reference": None, "reference_table": None, "decimal_places": None}
        | more
    )


JOB_FIELDS = [
    field("title"),
    field("price", "decimal", decimal_places=2, default="0.00"),
    field("attrs", "json"),
    field("done", "boolean"),
]


class FakeTenant:
    def __init__(self, slug: str = "acme") -> None:
        self.slug, self.epoch, self.channel = slug, uuid.uuid4().hex, "c1"
        self.schema_version, self.cursor = 0, 0
        self.genesis = chain.genesis(self.epoch, slug)
        self.lines: list[tuple[int, bytes]] = []
        self.hashes: list[bytes] = [self.genesis]
        self.pruned = 0
        self.revisions: list[tuple[int, list[dict[str, Any]]]] = []
        self.records: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in SYSTEM_COLUMNS}
        self.tombs: dict[tuple[str, str], tuple[int, int]] = {}
        self.changed: dict[tuple[str, str], int] = {}
        self.touched: dict[tuple[str, str, str], tuple[int, str | None]] = {}
        self.answers: dict[tuple[str, int], dict[str, Any]] = {}
        self.applied_ops: list[tuple[str, int]] = []
        self.conflicts: dict[str, dict[str, Any]] = {}
        self.snapshots: dict[str, tuple[dict[str, Any], list[bytes]]] = {}
        self.prefer_snapshot = False
        self.listeners: list[Any] = []

    @property
    def hash(self) -> bytes:
        return self.hashes[-1]

    # Schema

    def publish(
        self,
        name: str = "job",
        fields: list[dict[str, Any]] | None = None,
        commands: list[dict[str, Any]] | None = None,
        **more: Any,
    ) -> None:
        """Publish an object type: a new one, or what changes it."""
        fields = JOB_FIELDS if fields is None else fields
        table = f"{name}s"
        if commands is None:
            commands = [
                {"command": "create_table", "table": table, "object_name": name, "columns": fields, "indexes": []}
            ]
        self.schema_version += 1
        self.revisions.append((self.schema_version, commands))
        for command in commands:
            if command["command"] == "create_table":
                self.records[command["table"]] = {}
            elif command["command"] == "retire_table":
                del self.records[command["table"]]
            elif command["command"] == "retire_column":
                for record in self.records[table].values():
                    record.pop(command["field"], None)
            elif command["command"] == "add_column":
                for record in self.records[table].values():
                    record.setdefault(command["column"]["name"], command["column"]["default"])
        values = {
            "table_name": table,
            "label": name,
            "fields": fields,
            "subtypes": [],
            "statuses": more.get("statuses", []),
            "json_schema": {},
        }
        old = self.records["object_metadata"].get(name)
        if any(c["command"] == "retire_table" for c in commands):
            self.change("object_metadata", name, "delete", None)
        elif old is None:
            self.change("object_metadata", name, "insert", values)
        else:
            patch = [{"op": "replace", "path": f"/{k}", "value": v} for k, v in values.items()]
            self.change("object_metadata", name, "update", patch)

    # The log

    def change(
        self,
        table: str,
        record_id: str,
        op: str,
        payload: Any,
        *,
        device: str | None = None,
        op_id: int | None = None,
        by: str = "olga",
    ) -> int:
        """Apply and log one change; returns the record's new version."""
        old = self.records[table].get(record_id)
        version = (old["version"] if old else self.tombs.get((table, record_id), (0, 0))[0]) + 1
        self.cursor += 1
        if op == "insert":
            self.records[table][record_id] = {"id": record_id, "version": version} | {
                k: v for k, v in payload.items() if v is not None
            }
            fields = list(payload)
        elif op == "update":
            self.records[table][record_id] = apply_patch(old, payload) | {"version": version}
            fields = [split_pointer(step["path"])[0] for step in payload]
        else:
            del self.records[table][record_id]
            self.tombs[table, record_id] = (version, self.cursor)
            fields = []
        for name in fields if op == "update" else ():
            self.touched[table, record_id, name] = (version, device)
        self.changed[table, record_id] = self.cursor
        line = {
            "cursor": self.cursor,
            "schema_version": self.schema_version,
            "table": table,
            "id": record_id,
            "op": op,
            "version": version,
        }
        line |= {"payload": payload, "at": AT, "by": by}
        if device is not None:
            line |= {"device": device, "op_id": op_id}
        data = json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode()
        self.lines.append((self.schema_version, data))
        self.hashes.append(chain.link(self.hash, data))
        for listener in list(self.listeners):
            listener()
        return version

    def frames(self, after: int, most: int = 3) -> list[bytes]:
        """Return `changes` frames after a cursor, few lines each."""
        out, at = [], after
        while at < self.cursor:
            version = self.lines[at][0]
            to = at
            while to < self.cursor and self.lines[to][0] == version and to - at < most:
                to += 1
            head = {
                "type": "changes",
                "channel": self.channel,
                "schema_version": version,
                "from": at,
                "to": to,
                "state_hash": self.hashes[to].hex(),
            }
            out.append(b"\n".join([json.dumps(head).encode(), *(line for _, line in self.lines[at:to])]))
            at = to
        return out

    # Pushing

    def push(self, device: str, ops: list[dict[str, Any]]) -> list[dict[str, Any]]:
        results: list[dict[str, Any]] = []
        at = 0
        while at < len(ops):
            tx = ops[at].get("tx")
            end = at + 1
            while tx is not None and end < len(ops) and ops[end].get("tx") == tx:
                end += 1
            results += self._settle(device, ops[at:end])
            at = end
        return results

    def _settle(self, device: str, group: list[dict[str, Any]]) -> list[dict[str, Any]]:
        known = [self.answers.get((device, op["op_id"])) for op in group]
        if any(known):
            return [k or self._rejected(op, "tx_aborted") for k, op in zip(known, group, strict=True)]
        made = {(op["table"], op["id"]) for op in group if op["op"] == "insert"}
        verdicts = [
            None if op["op"] != "insert" and (op["table"], op["id"]) in made else self._judge(device, op)
            for op in group
        ]
        if any(v is not None for v in verdicts):
            return [v or self._rejected(op, "tx_aborted") for v, op in zip(verdicts, group, strict=True)]
        return [self._accept(device, op) for op in group]

    def _rejected(self, op: dict[str, Any], code: str) -> dict[str, Any]:
        return {"op_id": op["op_id"], "status": "rejected", "code": code, "message": f"refused: {code}"}

    def _judge(self, device: str, op: dict[str, Any]) -> dict[str, Any] | None:
        if op["op"] == "settle":
            return None
        if op["table"] not in self.records or op["table"] in SYSTEM_COLUMNS:
            return self._rejected(op, "unknown_table")
        record = self.records[op["table"]].get(op["id"])
        tomb = self.tombs.get((op["table"], op["id"]), (0, 0))[0]
        if op["op"] == "insert":
            ok = record is None and op.get("base_version", 0) >= tomb
            return None if ok else self._rejected(op, "exists")
        if (op.get("payload") or {}) and any(
            step.get("value") == "REFUSE" for step in op["payload"] if isinstance(step, dict)
        ):
            return self._rejected(op, "bad_value")
        if record is None:
            return self._conflict(device, op, []) if tomb and op["op"] == "update" else self._rejected(op, "not_found")
        if op["op"] == "update":
            known = {
                f["name"]
                for t in self.records["object_metadata"].values()
                if t["table_name"] == op["table"]
                for f in t["fields"]
            }
            names = [split_pointer(step["path"])[0] for step in op["payload"]]
            if not set(names) <= known | {"status", "object_type"}:
                return self._rejected(op, "retired")
            try:
                wanted = apply_patch(record, op["payload"])
            except PatchFailed:
                return self._rejected(op, "bad_patch")
            clash = [
                n
                for n in dict.fromkeys(names)
                if self._foreign(device, op, n) and not same(wanted.get(n), record.get(n))
            ]
            return self._conflict(device, op, clash) if clash else None
        foreign = any(self._foreign(device, op, name) for name in record)
        return self._conflict(device, op, []) if foreign else None

    def _foreign(self, device: str, op: dict[str, Any], name: str) -> bool:
        version, who = self.touched.get((op["table"], op["id"], name), (1, None))
        return version > op["base_version"] and who != device

    def _conflict(self, device: str, op: dict[str, Any], fields: list[str]) -> dict[str, Any]:
        theirs = self.records[op["table"]].get(op["id"])
        mine = None if op["op"] == "delete" else apply_patch(theirs or {}, op["payload"], lenient=True)
        version = theirs["version"] if theirs else self.tombs[op["table"], op["id"]][0]
        conflict = {
            "op_id": op["op_id"],
            "status": "conflict",
            "conflict": uuid.uuid4().hex,
            "version": version,
            "base": None,
        }
        conflict |= {"mine": mine, "theirs": theirs, "fields": fields, "by": "olga", "at": AT, "cursor": self.cursor}
        self.conflicts[conflict["conflict"]] = conflict
        self.answers[device, op["op_id"]] = conflict
        return conflict

    def _accept(self, device: str, op: dict[str, Any]) -> dict[str, Any]:
        for settled in (op.get("settles"), (op.get("payload") or {}).get("conflict") if op["op"] == "settle" else None):
            self.conflicts.pop(settled, None)
        if op["op"] == "settle":
            return {"op_id": op["op_id"], "status": "applied"}
        version = self.change(
            op["table"], op["id"], op["op"], op.get("payload"), device=device, op_id=op["op_id"], by="me"
        )
        self.applied_ops.append((device, op["op_id"]))
        self.answers[device, op["op_id"]] = {
            "op_id": op["op_id"],
            "status": "duplicate",
            "cursor": self.cursor,
            "version": version,
        }
        return {"op_id": op["op_id"], "status": "applied", "version": version, "cursor": self.cursor}

    # Rows, snapshots, digests

    def columns(self, table: str) -> list[str]:
        if table in SYSTEM_COLUMNS:
            return list(SYSTEM_COLUMNS[table])
        (record,) = [r for r in self.records["object_metadata"].values() if r["table_name"] == table]
        return ["id", "version", "object_type", "status", *(f["name"] for f in record["fields"])]

    def rows_frame(self, table: str, ids: list[str], **more: Any) -> bytes:
        columns = self.columns(table)
        head = {"type": "rows", "table": table, "columns": columns, "deleted": [], "remaining": 0} | more
        rows = [json.dumps([self.records[table][i].get(c) for c in columns]).encode() for i in ids]
        return b"\n".join([json.dumps(head).encode(), *rows])

    def digest(self, table: str, low: str | None = None, high: str | None = None) -> tuple[int, str]:
        found = [
            (i, r["version"])
            for i, r in self.records[table].items()
            if (low is None or i >= low) and (high is None or i <= high)
        ]
        return chain.table_digest(found)

    def snapshot(self, folder: Path) -> dict[str, Any]:
        """Build a snapshot of now; returns its manifest."""
        path = folder / f"{uuid.uuid4().hex}.sqlite3"
        con = sqlite3.connect(path, isolation_level=None)
        con.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        con.execute(f"PRAGMA user_version = {USER_VERSION}")
        con.execute("BEGIN")
        for sql in SYSTEM_TABLES_SQL:
            con.execute(sql)
        for _, commands in self.revisions:
            for command in commands:
                for sql in command_sql(command):
                    if "_patched_" not in sql:
                        con.execute(sql)
        for name in SYSTEM_COLUMNS:
            con.executemany(SYSTEM[name].upsert_sql, [SYSTEM[name].row(r) for r in self.records[name].values()])
        catalog = load_catalog(con)
        for name, table in catalog.tables.items():
            con.executemany(table.upsert_sql, [table.row(r) for r in self.records[name].values()])
        state = [self.slug, self.channel, self.cursor, self.hash.hex(), self.schema_version, self.epoch]
        con.execute("INSERT INTO sync_state VALUES (1, ?, ?, ?, ?, ?, ?)", state)
        con.execute("COMMIT")
        con.close()
        data = path.read_bytes()
        parts = [gzip.compress(data[at : at + 4096 * 4]) for at in range(0, len(data), 4096 * 4)]
        manifest = {
            "snapshot": uuid.uuid4().hex,
            "channel": self.channel,
            "cursor": self.cursor,
            "schema_version": self.schema_version,
        }
        manifest |= {
            "state_hash": self.hash.hex(),
            "server_epoch": self.epoch,
            "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        manifest["parts"] = [{"size": len(p), "sha256": hashlib.sha256(p).hexdigest()} for p in parts]
        manifest["tables"] = {name: list(self.digest(name)) for name in self.records}
        self.snapshots[manifest["snapshot"]] = (manifest, parts)
        return manifest
