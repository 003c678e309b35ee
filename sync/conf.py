"""Typed engine settings, from `settings.MOAT`. docs/guides/operate.md lists the most useful ones."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings

from sync.wire import limits


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How ops are written. Times are seconds; sizes are counts unless the name says otherwise.

    `batch_ops`: ops per transaction. `queue_ops`: ops that may wait in a process; further pushes are rejected as
    `overloaded`. `push_ops`: ops per push. `patch_ops`, `patch_bytes`: limits of one update's JSON Patch. `op_work`,
    `tx_work`: what the patches of one op, and of one tx, may copy and produce. `base_lines`, `base_bytes`: how many
    changes of a record, and how many bytes of them, are read to rebuild what a device knew. `turn_seconds`,
    `turn_work`: time and work after which a tenant's turn in the writer ends. `give_up_after`: how long a push is
    retried while the database does not respond. `lock_seconds`: how long the writer waits for a tenant's lock before
    it turns to another tenant. `prune_chunk`: changes deleted per transaction. `resolvers`: dotted paths allowed as a
    conflict policy.
    """

    batch_ops: int = 1000
    queue_ops: int = 50_000
    push_ops: int = limits.PUSH_OPS
    patch_ops: int = limits.PATCH_OPS
    patch_bytes: int = limits.PATCH_BYTES
    op_work: int = limits.OP_WORK
    tx_work: int = limits.TX_WORK
    base_lines: int = 1000
    base_bytes: int = limits.BASE_BYTES
    turn_seconds: float = limits.TURN_SECONDS
    turn_work: int = limits.TURN_WORK
    give_up_after: float = 30.0
    lock_seconds: float = 2.0
    prune_chunk: int = 2000
    resolvers: tuple[str, ...] = ()


_read: tuple[Any, EngineSettings] | None = None


def engine_settings() -> EngineSettings:
    """Return the current settings: `MOAT["BATCH_OPS"]` and so on, or the defaults.

    Every push calls this, so the result is cached per `MOAT` dictionary.
    """
    global _read
    given = settings.MOAT
    if _read is None or _read[0] is not given:
        _read = (
            given,
            EngineSettings(
                **{name: given[name.upper()] for name in EngineSettings.__dataclass_fields__ if name.upper() in given}
            ),
        )
    return _read[1]


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """How clients are served. Times are seconds, rows and lines are counts, the rest are bytes.

    `outbox_bytes`, `outbox_frames`: send buffer of a connection; a slower reader leaves the live stream.
    `window_bytes`: bytes in flight to a client that no `pong` has confirmed. `pong_seconds`: how long a client may
    take to send a `pong`. `chunk_bytes`, `chunk_lines`: one frame of catch-up. `log_always`: up to this many missed
    changes are always sent as log lines. `snapshot_rows`: a client that misses more rows than this, and more than
    half of the data, gets a snapshot. `snapshot_tail`: a snapshot is fresh if fewer changes follow it.
    `snapshots_kept`: snapshots per channel. `snapshot_channel_bytes`, `snapshot_tenant_bytes`, `snapshot_bytes`:
    what snapshots may take on the disk per channel, per tenant, and in total. `read_threads`, `scan_threads`,
    `hello_threads`: concurrent database reads; scans of tables (verify, repair, changed rows) and hellos have threads
    of their own. `device_reads`, `device_scans`: reads and scans that one device may have queued or running before it
    receives `overloaded`. `poll_seconds`: time between polls for commits of other processes. `revocation_seconds`:
    time between checks of connected devices. `drain_seconds`: how long clients wait before they reconnect.
    `drain_timeout`: how long a stopping server waits for its clients.
    """

    outbox_bytes: int = 1_048_576
    outbox_frames: int = 256
    window_bytes: int = 8_388_608
    pong_seconds: float = 60.0
    chunk_bytes: int = 1_048_576
    chunk_lines: int = 10_000
    log_always: int = 20_000
    snapshot_rows: int = 20_000
    snapshot_tail: int = 5_000
    snapshots_kept: int = 2
    snapshot_channel_bytes: int = 4 * 1024**3
    snapshot_tenant_bytes: int = 8 * 1024**3
    snapshot_bytes: int = 32 * 1024**3
    read_threads: int = 4
    scan_threads: int = 2
    hello_threads: int = 2
    device_reads: int = 16
    device_scans: int = 4
    poll_seconds: float = 0.5
    revocation_seconds: float = 5.0
    drain_seconds: float = 2.0
    drain_timeout: float = 10.0


def stream_settings() -> StreamSettings:
    """Return the current settings: `MOAT["OUTBOX_BYTES"]` and so on, or the defaults."""
    given = settings.MOAT
    return StreamSettings(
        **{name: given[name.upper()] for name in StreamSettings.__dataclass_fields__ if name.upper() in given}
    )


def limits_given() -> dict[str, int | float]:
    """Return the connection limits set in `MOAT["LIMITS"]`. `sync.wire.limits.Limits` has names and defaults."""
    return dict(settings.MOAT.get("LIMITS", {}))
