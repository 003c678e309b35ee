"""The baseline on the same machine without Moat: a bare ASGI broadcast hub and a bare SQLite log."""

import hashlib
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson

_sends: set[Any] = set()


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Broadcast every text frame unchanged to all connections; the sender's own copy serves as its ack."""
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    _sends.add(send)
    try:
        while (message := await receive())["type"] == "websocket.receive":
            for other in list(_sends):
                await other({"type": "websocket.send", "text": message["text"]})
    finally:
        _sends.discard(send)


def sqlite_ops_per_second(per_commit: int, seconds: float = 1.5) -> float:
    """Return durable ops/s of bare sqlite3, with `per_commit` ops per commit and synchronous=FULL.

    Each op checks a version, upserts a row, and adds a log entry with its hash and JSON.
    """
    with tempfile.TemporaryDirectory(prefix="moat-bench-") as folder:
        db = sqlite3.connect(Path(folder) / "bare.sqlite3", isolation_level=None)
        db.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
            "CREATE TABLE jobs (id TEXT PRIMARY KEY, version INTEGER, title TEXT, notes TEXT);"
            "CREATE TABLE log (cursor INTEGER PRIMARY KEY, line BLOB, hash BLOB);"
        )
        state, cursor, started = b"", 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            db.execute("BEGIN IMMEDIATE")
            for _ in range(per_commit):
                cursor += 1
                record = f"job-{cursor % 5000}"
                row = db.execute("SELECT version FROM jobs WHERE id = ?", (record,)).fetchone()
                version = row[0] + 1 if row else 1
                payload = [{"op": "replace", "path": "/title", "value": f"Job number {cursor}"}]
                line = orjson.dumps(
                    {
                        "cursor": cursor,
                        "table": "jobs",
                        "id": record,
                        "op": "update",
                        "version": version,
                        "payload": payload,
                    }
                )
                state = hashlib.sha256(hashlib.sha256(line).digest() + state).digest()
                db.execute(
                    "INSERT OR REPLACE INTO jobs VALUES (?, ?, ?, ?)",
                    (record, version, f"Job number {cursor}", "Ring twice."),
                )
                db.execute("INSERT INTO log VALUES (?, ?, ?)", (cursor, line, state))
            db.execute("COMMIT")
        elapsed = time.perf_counter() - started
        db.close()
    return cursor / elapsed


def sqlite_rows_per_second(rows: int = 200_000) -> float:
    """Return rows/s of one executemany INSERT into a bare SQLite table with a primary key."""
    with tempfile.TemporaryDirectory(prefix="moat-bench-") as folder:
        db = sqlite3.connect(Path(folder) / "bare.sqlite3", isolation_level=None)
        db.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
            "CREATE TABLE jobs (id TEXT PRIMARY KEY, version INTEGER, title TEXT, notes TEXT);"
        )
        data = [(f"job-{n}", 1, f"Job number {n}", "Ring twice.") for n in range(rows)]
        started = time.perf_counter()
        db.execute("BEGIN")
        db.executemany("INSERT INTO jobs VALUES (?, ?, ?, ?)", data)
        db.execute("COMMIT")
        elapsed = time.perf_counter() - started
        db.close()
    return rows / elapsed
