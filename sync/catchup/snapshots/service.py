"""Decide whether to reuse a snapshot or build one. Blocks on the database: call it in a thread."""

import shutil
import sqlite3
import time
from pathlib import Path

import structlog

from sync import metrics
from sync.catchup.plan import tenant_state
from sync.catchup.snapshots import room, store
from sync.catchup.snapshots.build import Base, Built, build
from sync.channels import channel_log
from sync.channels.channel import Channel
from sync.conf import stream_settings
from sync.errors import SyncError
from sync.models import Snapshot
from sync.records.read_transaction import read_transaction
from sync.wire.codes import Code
from tenants.rows import TenantRow

logger = structlog.get_logger(__name__)
TAIL_SHARE = 10
"""A snapshot is also fresh if fewer changes follow it than a tenth of its records."""


def fresh(channel: Channel) -> Snapshot | None:
    """Return the newest snapshot of a channel if the changes after it are cheap to send; else None."""
    with read_transaction() as reader:
        state = tenant_state(reader, channel.tenant_id)
    snapshot = _newest(channel, state)
    if snapshot is None or not _is_fresh(channel, snapshot, state):
        return None
    store.touch(snapshot)
    return snapshot


def make(channel: Channel) -> Snapshot:
    """Return a fresh snapshot of a channel, and build it if necessary.

    Concurrent callers, also in other processes, wait and share it. Raises SyncError `overloaded` if the disk limits
    leave no room for it.
    """
    with store.build_lock(channel):
        found = fresh(channel)
        if found is None:
            found = _build_or_reuse(channel)
        return found


def _build_or_reuse(channel: Channel) -> Snapshot:
    """Build a snapshot. If there is no room for one, return an older one if the log can always bring it up to date."""
    with read_transaction() as reader:
        state = tenant_state(reader, channel.tenant_id)
    previous = _newest(channel, state)
    store.remove_old(channel)
    try:
        room.make_room(channel, 0 if previous is None else previous.manifest["size"])
        snapshot = _build(channel, previous)
    except SyncError as error:
        if (
            error.code != Code.OVERLOADED
            or previous is None
            or channel.filtered  # see `_is_fresh`
            or state.cursor - previous.cursor > stream_settings().log_always
        ):
            raise
        store.touch(previous)
        return previous
    store.remove_old(channel)
    return snapshot


def _newest(channel: Channel, state: TenantRow) -> Snapshot | None:
    """Return the newest snapshot that the log still connects to the head and whose files are on this machine."""
    oldest = max(state.pruned_cursor, channel.born_cursor)
    candidates = Snapshot.objects.filter(
        tenant_id=channel.tenant_id, channel=channel.key, cursor__lte=state.cursor, cursor__gte=oldest
    )
    for snapshot in candidates.order_by("-cursor", "-created_at"):
        if snapshot.manifest["server_epoch"] == state.server_epoch and (store.home(snapshot) / store.REPLICA).exists():
            return snapshot
    return None


def _is_fresh(channel: Channel, snapshot: Snapshot, state: TenantRow) -> bool:
    if channel.filtered:
        # A new client must not receive records that left the channel earlier, so nothing may follow the snapshot.
        later = channel_log.read(channel, snapshot.cursor)
        return not later.lines and later.to_cursor >= state.cursor
    records = sum(count for count, _ in snapshot.manifest["tables"].values())
    limit: int = max(stream_settings().snapshot_tail, records // TAIL_SHARE)
    changes: int = state.cursor - snapshot.cursor
    return changes <= limit


def _build(channel: Channel, previous: Snapshot | None) -> Snapshot:
    started = time.monotonic()
    with store.workplace(channel) as folder:
        built = _file(channel, folder / store.REPLICA, previous)
        parts = store.cut(folder, previous)
        room.make_room(channel)  # counts what is in the folder
        snapshot = store.publish(channel, folder, built, parts)
    seconds = time.monotonic() - started
    how = "new" if previous is None else "refreshed"
    metrics.snapshot_builds.labels(how).inc()
    metrics.snapshot_seconds.observe(seconds)
    records = sum(count for count, _ in built.tables.values())
    logger.info(
        "snapshot_built",
        tenant=channel.tenant,
        channel=channel.key,
        how=how,
        cursor=snapshot.cursor,
        records=records,
        seconds=seconds,
    )
    return snapshot


def _file(channel: Channel, path: Path, previous: Snapshot | None) -> Built:
    if previous is None:
        return build(path, channel)
    try:
        shutil.copyfile(store.home(previous) / store.REPLICA, path)
        return build(path, channel, Base(previous.cursor, previous.schema_version))
    except (OSError, sqlite3.Error, ValueError):
        logger.exception("snapshot_not_refreshed", channel=channel, cursor=previous.cursor)
        path.unlink(missing_ok=True)
        return build(path, channel)
