"""Keep snapshots within their share of the disk: per channel, per tenant, and in total.

What is counted is what lies on this machine's disk. Files being built count too; a build can exceed a limit until it
ends, and is then discarded.
"""

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from sync.catchup.snapshots import store
from sync.channels.channel import Channel
from sync.conf import stream_settings
from sync.errors import SyncError
from sync.models import Snapshot
from sync.wire.codes import Code

logger = structlog.get_logger(__name__)
IN_USE_SECONDS = 60
"""When room is needed, an old snapshot goes if none of its parts has been requested for this many seconds."""
FILE_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class _Scope:
    """What one limit counts."""

    name: str
    limit: int
    folders: list[Path]


def make_room(channel: Channel, size: int = 0) -> None:
    """Remove snapshots that no client downloads until `size` more bytes fit the limits.

    Raises SyncError `overloaded` with `retry_after` if they do not fit.
    """
    for name in ("channel", "tenant", "total"):
        wait = 0.0
        while (used := disk_usage((scope := _scope(name, channel)).folders)) + size > scope.limit:
            wait = _remove_one(scope, channel)
            if wait:
                break
        if wait:
            logger.error(
                "snapshot_rejected",
                tenant=channel.tenant,
                channel=channel.key,
                scope=name,
                used=used,
                size=size,
                limit=scope.limit,
            )
            raise SyncError(
                Code.OVERLOADED, "The server has no room for another snapshot. Try again later.", retry_after=wait
            )


def disk_usage(folders: list[Path]) -> int:
    """Return the bytes that files in these folders take on disk. A file with several names counts once."""
    sizes: dict[int, int] = {}
    for folder in folders:
        for found in _files(folder):
            sizes[found.st_ino] = -(-found.st_size // FILE_BLOCK) * FILE_BLOCK
    return sum(sizes.values())


def _files(folder: Path) -> Iterator[os.stat_result]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    yield entry.stat(follow_symlinks=False)
    except OSError:  # removed in the meantime
        return


def _scope(name: str, channel: Channel) -> _Scope:
    settings, tenant = stream_settings(), store.directory(channel.tenant_id)
    if name == "channel":
        own = Snapshot.objects.filter(tenant_id=channel.tenant_id, channel=channel.key)
        folders = [*(tenant / str(key) for key in own.values_list("pk", flat=True)), *store.workplaces(channel)]
        return _Scope(name, settings.snapshot_channel_bytes, folders)
    if name == "tenant":
        return _Scope(name, settings.snapshot_tenant_bytes, _folders_of(tenant))
    folders = [folder for each in _folders_of(tenant.parent) for folder in _folders_of(each)]
    return _Scope(name, settings.snapshot_bytes, folders)


def _folders_of(folder: Path) -> list[Path]:
    try:
        return [each for each in folder.iterdir() if each.is_dir()]
    except OSError:
        return []


def _remove_one(scope: _Scope, channel: Channel) -> float:
    """Remove the snapshot that is needed least. Return 0, or after how many seconds it is worth to try again."""
    here = {folder.name: folder for folder in scope.folders if _is_uuid(folder.name)}
    found = Snapshot.objects.filter(pk__in=list(here)).only("pk", "tenant_id", "channel").order_by("-created_at")
    newest: set[tuple[int, str]] = set()
    old: list[tuple[float, Snapshot]] = []
    latest: list[tuple[float, Snapshot]] = []
    orphans = dict(here)  # of tenants that were deleted
    for snapshot in found:
        del orphans[str(snapshot.pk)]
        of = (snapshot.tenant_id, snapshot.channel)
        (old if of in newest else latest).append((_idle_seconds(here[str(snapshot.pk)]), snapshot))
        newest.add(of)
    for folder in orphans.values():
        if _idle_seconds(folder) >= store.UNUSED_SECONDS and _remove_folder(folder):
            return 0
    for idle, snapshot in sorted(old, key=lambda each: -each[0]):
        if idle >= IN_USE_SECONDS:
            _remove(snapshot)
            return 0
    for idle, snapshot in sorted(latest, key=lambda each: -each[0]):
        if idle < store.UNUSED_SECONDS or (snapshot.tenant_id, snapshot.channel) == (channel.tenant_id, channel.key):
            continue
        with store.try_build_lock(snapshot.tenant_id, snapshot.channel) as locked:
            if locked:
                _remove(snapshot)
                return 0
    return max(1.0, IN_USE_SECONDS - max((idle for idle, _ in old), default=0.0))


def _is_uuid(name: str) -> bool:
    try:
        uuid.UUID(name)
    except ValueError:
        return False
    return True


def _remove_folder(folder: Path) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def _idle_seconds(folder: Path) -> float:
    try:
        return time.time() - folder.stat().st_mtime
    except OSError:
        return float("inf")


def _remove(snapshot: Snapshot) -> None:
    folder = store.home(snapshot)
    snapshot.delete()
    _remove_folder(folder)
    logger.info("snapshot_evicted", tenant_id=snapshot.tenant_id, channel=snapshot.channel)
