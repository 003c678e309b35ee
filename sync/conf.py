"""The engine's knobs, typed, from `settings.MOAT`. docs/guides/operate.md explains each."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How ops are written. Times are seconds, sizes are counts unless the name says otherwise.

    `batch_ops`: ops that share one transaction. `queue_ops`: ops that may wait in a process before a push is answered
    `overloaded`. `push_ops`: ops of one push. `patch_ops`, `patch_bytes`: one update's JSON Patch. `base_lines`: how many
    changes of a record are read back to learn what a device knew. `give_up_after`: how long a push is retried when the
    database does not answer. `lock_seconds`: how long the writer waits for a tenant's lock before others get their turn.
    `resolvers`: the dotted paths that may be used as a conflict policy.
    """

    batch_ops: int = 1000
    queue_ops: int = 50_000
    push_ops: int = 10_000
    patch_ops: int = 500
    patch_bytes: int = 1_048_576
    base_lines: int = 1000
    give_up_after: float = 30.0
    lock_seconds: float = 2.0
    prune_chunk: int = 2000
    resolvers: tuple[str, ...] = ()


_read: tuple[Any, EngineSettings] | None = None


def engine_settings() -> EngineSettings:
    """Return the knobs in force: `MOAT["BATCH_OPS"]` and so on, or the defaults. Asked for with every push, so read once per `MOAT`."""
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
    """How clients are served. Times are seconds; rows and lines are counts; the rest are bytes.

    `outbox_bytes`, `outbox_frames`: what may wait for one slow reader before it leaves the live stream. `window_bytes`: what
    may be under way to a client that it has not confirmed by a `pong`. `chunk_bytes`, `chunk_lines`: one frame of catch-up.
    `log_always`: missed changes up to here are sent as they are. `snapshot_rows`: a client that misses more than this, and
    more than half of the data, gets a snapshot. `snapshot_tail`: a snapshot is fresh enough when fewer changes follow it.
    `snapshots_kept`: per channel. `read_threads`: database reads at a time. `poll_seconds`: how often other processes'
    commits are looked for. `revocation_seconds`: how often connected devices are checked. `drain_seconds`: how long a
    client should wait before it comes back. `drain_timeout`: how long a server that ends waits for its clients.
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
    read_threads: int = 4
    poll_seconds: float = 0.5
    revocation_seconds: float = 5.0
    drain_seconds: float = 2.0
    drain_timeout: float = 10.0


def stream_settings() -> StreamSettings:
    """Return the knobs in force: `MOAT["OUTBOX_BYTES"]` and so on, or the defaults."""
    given = settings.MOAT
    return StreamSettings(
        **{name: given[name.upper()] for name in StreamSettings.__dataclass_fields__ if name.upper() in given}
    )


def limits_given() -> dict[str, int | float]:
    """Return the limits on one connection that `MOAT["LIMITS"]` changes; their names and defaults are in `sync.wire.protocol.Limits`."""
    return dict(settings.MOAT.get("LIMITS", {}))
