"""Compare a replica file with the server, or update it from the log by the wire's rules alone."""

import json
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonpatch

from metadata.canonical import canonical_json
from metadata.export import revisions
from metadata.replica_ddl import command_sql
from sync.catchup.snapshots.build import build
from sync.channels.channel import Channel
from sync.models import Change
from tenants.models import Tenant


def contents(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Everything in a replica file: its schema, and each table's rows by column name, sorted."""
    with closing(sqlite3.connect(path)) as replica:
        assert replica.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        found: dict[str, list[tuple[Any, ...]]] = {
            "pragmas": [replica.execute(f"PRAGMA {name}").fetchone() for name in ("user_version", "application_id")],
            "indexes": sorted(
                replica.execute("SELECT name, tbl_name FROM sqlite_master WHERE type = 'index'").fetchall()
            ),
        }
        for (name,) in replica.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            columns = sorted((c[1], c[2], c[4]) for c in replica.execute(f'PRAGMA table_info("{name}")'))
            names = ", ".join(f'"{c[0]}"' for c in columns)
            types = ", ".join(f'typeof("{c[0]}")' for c in columns)
            found[name] = [
                tuple(columns),
                *sorted(replica.execute(f'SELECT {names}, {types} FROM "{name}"').fetchall(), key=repr),
            ]
    return found


def fresh(tenant: Tenant, path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """The content of a snapshot built from scratch."""
    build(path, Channel(tenant.pk, tenant.slug))
    return contents(path)


def replay(path: Path, tenant: Tenant) -> None:
    """Apply the log after the file's cursor line by line, as the simplest client would."""
    with closing(sqlite3.connect(path)) as replica:
        cursor, version = replica.execute('SELECT "cursor", "schema_version" FROM sync_state').fetchone()
        changes = Change.objects.filter(tenant=tenant, cursor__gt=cursor).order_by("cursor")
        for change in changes:
            line = json.loads(bytes(change.line))
            if line["schema_version"] > version:
                for revision in revisions(tenant.pk, version, line["schema_version"]):
                    for command in revision["commands"]:
                        for statement in command_sql(command):
                            replica.execute(statement)
                version = line["schema_version"]
            _apply(replica, line)
            replica.execute(
                "UPDATE sync_state SET cursor = ?, state_hash = ?, schema_version = ?",
                [line["cursor"], bytes(change.state_hash).hex(), version],
            )
        replica.commit()


def _apply(replica: sqlite3.Connection, line: dict[str, Any]) -> None:
    table, key = line["table"], line["id"]
    if line["op"] in ("insert", "delete"):
        replica.execute(f'DELETE FROM "{table}" WHERE id = ?', [key])
    if line["op"] == "insert":
        record = line["payload"]
        names = ["id", "version", *record]
        values = [key, line["version"], *map(_stored, record.values())]
        replica.execute(
            f'INSERT INTO "{table}" ({", ".join(_quoted(n) for n in names)}) VALUES ({", ".join("?" * len(names))})',
            values,
        )
        missing = [
            c[1] for c in replica.execute(f'PRAGMA table_info("{table}")') if c[1] not in names and c[4] is not None
        ]
        for name in missing:  # a missing key is null, not the column's default
            replica.execute(f'UPDATE "{table}" SET {_quoted(name)} = NULL WHERE id = ?', [key])
    elif line["op"] == "update":
        columns = [c[1] for c in replica.execute(f'PRAGMA table_info("{table}")')]
        row = dict(
            zip(columns, replica.execute(f'SELECT * FROM "{table}" WHERE id = ?', [key]).fetchone(), strict=True)
        )
        for step in line["payload"]:
            field, *rest = step["path"].removeprefix("/").split("/")
            if rest:
                inner = json.loads(row[field])
                row[field] = jsonpatch.apply_patch({field: inner}, [step])[field]
            else:
                row[field] = None if step["op"] == "remove" else step["value"]
            replica.execute(f'UPDATE "{table}" SET {_quoted(field)} = ? WHERE id = ?', [_stored(row[field]), key])
            row[field] = _stored(row[field])
        replica.execute(f'UPDATE "{table}" SET version = ? WHERE id = ?', [line["version"], key])


def _quoted(name: str) -> str:
    return f'"{name}"'


def _stored(value: Any) -> Any:
    if isinstance(value, dict | list):
        return canonical_json(value)
    return str(value) if isinstance(value, Decimal) else value
