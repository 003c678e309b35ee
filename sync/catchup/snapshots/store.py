"""Snapshots on disk: `MOAT_DATA_DIR/snapshots/<tenant>/<snapshot>/` holds the file and its gzipped parts.

A snapshot is written once, then only read or removed.
"""

import fcntl
import gzip
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from sync.catchup.snapshots.build import Built
from sync.channels.channel import Channel
from sync.conf import stream_settings
from sync.models import Snapshot

PART_BYTES = 1024 * 1024
GZIP_LEVEL = 5
REPLICA = "replica.sqlite3"
UNUSED_SECONDS = 900
"""An old snapshot is kept until none of its parts has been requested for this many seconds."""


def directory(tenant_id: int) -> Path:
    """Return the directory of a tenant's snapshots."""
    return Path(settings.DATA_DIR) / "snapshots" / str(tenant_id)


def home(snapshot: Snapshot) -> Path:
    """Return the directory of one snapshot."""
    return directory(snapshot.tenant_id) / str(snapshot.pk)


@contextmanager
def build_lock(channel: Channel) -> Iterator[None]:
    """Lock the building of a channel's snapshot for one thread of one process. The lock ends with the process."""
    folder = directory(channel.tenant_id)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{channel.key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def try_build_lock(tenant_id: int, channel_key: str) -> Iterator[bool]:
    """Take a channel's build lock if it is free. Yield whether it was."""
    with (directory(tenant_id) / f"{channel_key}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def workplaces(channel: Channel) -> list[Path]:
    """Return the directories that snapshots of a channel are built in."""
    return list(directory(channel.tenant_id).glob(f".building-{channel.key}-*"))


@contextmanager
def workplace(channel: Channel) -> Iterator[Path]:
    """Provide a directory to build in. It is removed unless it was published."""
    folder = directory(channel.tenant_id) / f".building-{channel.key}-{uuid.uuid4()}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a replica file: size and SHA-256 of the file and of each part's gzip bytes."""

    size: int
    sha256: str
    parts: list[dict[str, Any]]


def publish(channel: Channel, folder: Path, built: Built, parts: Parts) -> Snapshot:
    """Move a folder with a file and its parts into place, and store the snapshot in the database."""
    key = uuid.uuid4()
    state = built.state
    manifest: dict[str, Any] = {
        "snapshot": str(key),
        "channel": channel.key,
        "cursor": state.cursor,
        "schema_version": state.schema_version,
        "state_hash": state.state_hash.hex(),
        "server_epoch": state.server_epoch,
        "size": parts.size,
        "sha256": parts.sha256,
        "parts": parts.parts,
        "tables": {name: list(found) for name, found in built.tables.items()},
    }
    folder.rename(directory(channel.tenant_id) / str(key))
    return Snapshot.objects.create(
        id=key,
        tenant_id=channel.tenant_id,
        channel=channel.key,
        cursor=state.cursor,
        schema_version=state.schema_version,
        manifest=manifest,
    )


def cut(folder: Path, previous: Snapshot | None) -> Parts:
    """Split the file in `folder` into parts. Parts that are identical in `previous` are not compressed again."""
    whole, size = hashlib.sha256(), 0
    parts: list[dict[str, Any]] = []
    before = None if previous is None else home(previous)
    with (
        (folder / REPLICA).open("rb") as replica,
        (before / REPLICA if before else Path(os.devnull)).open("rb") as older,
    ):
        while data := replica.read(PART_BYTES):
            whole.update(data)
            size += len(data)
            if previous is not None and before is not None and older.read(PART_BYTES) == data:
                os.link(before / _name(len(parts)), folder / _name(len(parts)))
                parts.append(previous.manifest["parts"][len(parts)])
            else:
                parts.append(_write_part(folder / _name(len(parts)), data))
    return Parts(size, whole.hexdigest(), parts)


def _write_part(path: Path, data: bytes) -> dict[str, Any]:
    packed = gzip.compress(data, GZIP_LEVEL, mtime=0)
    with path.open("wb") as part:
        part.write(packed)
        part.flush()
        os.fsync(part.fileno())
    return {"size": len(packed), "sha256": hashlib.sha256(packed).hexdigest()}


def _name(part: int) -> str:
    return f"{part:06d}.gz"


def read_part(tenant_id: int, channel_key: str, snapshot: str, part: int) -> bytes | None:
    """Return a part's gzip bytes; None if the part does not exist or belongs to another channel."""
    try:
        key = uuid.UUID(snapshot)
    except ValueError:
        return None
    if not Snapshot.objects.filter(pk=key, tenant_id=tenant_id, channel=channel_key).exists():
        return None
    folder = directory(tenant_id) / str(key)
    try:
        data = (folder / _name(part)).read_bytes()
        os.utime(folder)  # marks the snapshot as in use
    except OSError:
        return None
    return data


def touch(snapshot: Snapshot) -> None:
    """Mark a snapshot as in use: a client is about to download it."""
    with suppress(OSError):
        os.utime(home(snapshot))


def remove_old(channel: Channel) -> int:
    """Remove old snapshots that no client downloads, and what failed builds left. Return the number of snapshots.

    An old snapshot that is kept keeps its parts only: the next build starts from the newest one's file.
    """
    folder = directory(channel.tenant_id)
    mine = Snapshot.objects.filter(tenant_id=channel.tenant_id, channel=channel.key).order_by("-created_at")
    removed = 0
    for number, snapshot in enumerate(mine[1:], 1):
        (home(snapshot) / REPLICA).unlink(missing_ok=True)
        if number >= stream_settings().snapshots_kept and _idle(home(snapshot)):
            snapshot.delete()
            shutil.rmtree(folder / str(snapshot.pk), ignore_errors=True)
            removed += 1
    for leftover in folder.glob(".building-*"):
        if _idle(leftover):
            shutil.rmtree(leftover, ignore_errors=True)
    return removed


def _idle(folder: Path) -> bool:
    try:
        return time.time() - folder.stat().st_mtime > UNUSED_SECONDS
    except OSError:
        return True
