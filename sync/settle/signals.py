"""Signals of the engine, sent after COMMIT in the process and thread that wrote."""

from dataclasses import dataclass

from django.dispatch import Signal

from sync.models import Conflict
from sync.settle import Settlement

#: Sent with `settled=Settled` when a conflict was settled, so that its device can be told at once.
conflict_settled = Signal()


@dataclass(frozen=True, slots=True)
class Settled:
    """A conflict that was settled. `at` is in wire form; `told` when its own device settled it and knows."""

    tenant_id: int
    device_id: str | None
    conflict: str
    resolution: str
    by: str
    at: str
    told: bool = False


def send_conflict_settled(settlement: Settlement) -> None:
    """Tell whoever listens; a receiver that fails is logged by Django and disturbs nobody."""
    conflict: Conflict = settlement.conflict
    settled = Settled(
        conflict.tenant_id,
        conflict.device_id,
        str(conflict.pk),
        settlement.resolution,
        settlement.by,
        settlement.at,
        settlement.told,
    )
    conflict_settled.send_robust(sender=Conflict, settled=settled)
