"""Signals about resolved conflicts, sent after COMMIT in the process and thread that wrote."""

from dataclasses import dataclass

from django.dispatch import Signal

from sync.models import Conflict
from sync.settle import Settlement

#: Sent with `settled=Settled` when a conflict was resolved, so that its device is notified at once.
conflict_settled = Signal()


@dataclass(frozen=True, slots=True)
class Settled:
    """A resolved conflict. `at` is in wire form; `device_notified`: its device already knows."""

    tenant_id: int
    device_id: str | None
    conflict: str
    resolution: str
    by: str
    at: str
    device_notified: bool = False


def send_conflict_settled(settlement: Settlement) -> None:
    """Notify the receivers. Django logs one that fails; the others still run."""
    conflict: Conflict = settlement.conflict
    settled = Settled(
        conflict.tenant_id,
        conflict.device_id,
        str(conflict.pk),
        settlement.resolution,
        settlement.by,
        settlement.at,
        settlement.device_notified,
    )
    conflict_settled.send_robust(sender=Conflict, settled=settled)
