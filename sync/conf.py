"""The engine's knobs, typed, from `settings.MOAT`. docs/guides/operate.md explains each."""

from dataclasses import dataclass

from django.conf import settings


@dataclass(frozen=True, slots=True)
class EngineKnobs:
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


def knobs() -> EngineKnobs:
    """Return the knobs in force: `MOAT["BATCH_OPS"]` and so on, or the defaults."""
    given = settings.MOAT
    return EngineKnobs(**{name: given[name.upper()] for name in EngineKnobs.__dataclass_fields__ if name.upper() in given})
