"""Pack pending ops into push frames, and turn acknowledgments into results.

Pure: no I/O, clock, or randomness.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from moat_client.engine.events import Action, OpsRead, ReadOps, RecordResults, RejectOps, Renumber, Send, SetTimer
from moat_client.wire.lines import PendingOp, encode_op
from moat_client.wire.messages import Ack, Limits, ServerError, encode
from moat_client.wire.position import Position

_ENVELOPE_BYTES = 512
_ALONE = frozenset({"too_large", "too_many_ops", "malformed", "op_order"})


@dataclass(slots=True)
class _Flight:
    ops: list[PendingOp]
    fresh_after: int


@dataclass(slots=True)
class Pusher:
    """Send pending ops in order, several frames ahead of their acks. A tx is never split.

    Ops are sent once per connection. Ops without a result when the connection breaks are sent again on the next.
    """

    limits: Limits = field(default_factory=Limits)
    _next_ref: int = 1
    _sent: int = 0
    _reading: bool = False
    _more: bool = False
    _alone_until: int = 0
    _paused: bool = False
    _flights: dict[int, _Flight] = field(default_factory=dict)

    def connected(self, limits: Limits) -> None:
        """Start over on a new connection."""
        self.limits = limits
        self.restart()

    def restart(self) -> None:
        """Reset what counts as sent: every op that is still pending is sent again."""
        self._sent = self._alone_until = 0
        self._reading = self._more = self._paused = False
        self._flights.clear()

    @property
    def idle(self) -> bool:
        """Whether every push was acknowledged."""
        return not self._flights and not self._reading

    @property
    def _batch(self) -> int:
        """How many ops a frame may hold: one tx at a time while searching for the one that makes a frame invalid."""
        return 1 if self._sent < self._alone_until else self.limits.ops

    def pump(self) -> list[Action]:
        """Read more ops if another push may be sent."""
        if self._reading:
            self._more = True
            return []
        if self._paused or len(self._flights) >= self.limits.pushes_in_flight:
            return []
        self._reading, self._more = True, False
        return [ReadOps(self._sent, self._batch)]

    def ops_read(self, event: OpsRead, position: Position) -> list[Action]:
        """Send the ops that were read, in as many frames as may be in flight."""
        self._reading = False
        if not event.ops:
            return self.pump() if self._more else []
        actions: list[Action] = []
        frames = pack(event.ops, self.limits, self._batch)
        for group in frames:
            if isinstance(group, _TooLarge):
                actions.append(RejectOps(tuple(o.op_id for o in group.ops), "too_large", group.reason))
                self._sent = group.ops[-1].op_id
                continue
            if len(self._flights) >= self.limits.pushes_in_flight:
                break
            actions.append(Send(self._frame(group, position, event.fresh_after)))
        return actions + self.pump()

    def _frame(self, ops: list[PendingOp], position: Position, fresh_after: int) -> bytes:
        ref, self._next_ref = self._next_ref, self._next_ref + 1
        self._sent = ops[-1].op_id
        self._flights[ref] = _Flight(ops, fresh_after)
        lines = map(encode_op, ops)
        keys = {"schema_version": position.schema_version, "cursor": position.cursor, "state_hash": position.state_hash}
        return encode("push", lines, **keys, ref=ref)

    def acked(self, ack: Ack) -> list[Action]:
        """Record the results of a push, and continue."""
        flight = self._flights.pop(ack.ref, None) if ack.ref is not None else None
        if flight is None:
            return []
        return [RecordResults(ack.results, flight.fresh_after), *self.pump()]

    def owns(self, ref: int | None) -> bool:
        """Return whether an error belongs to a push."""
        return ref in self._flights

    def rejected(self, error: ServerError) -> list[Action]:
        """Handle a push that was rejected as a whole.

        Wait and repeat, or find the invalid op by sending one tx at a time.
        """
        flight = self._flights.pop(error.ref or 0)
        first = flight.ops[0].op_id
        self._sent = min(self._sent, first - 1)
        # Later pushes in flight are sent again too, to keep the order; the server recognizes them as duplicates.
        self._flights = {ref: other for ref, other in self._flights.items() if other.ops[0].op_id < first}
        if error.code not in _ALONE:
            self._paused = True
            return [SetTimer("push", error.retry_after if error.retry_after is not None else 2.0)]
        if len({(o.tx or o.op_id) for o in flight.ops}) > 1:
            self._alone_until = flight.ops[-1].op_id
            return self.pump()
        self._sent = flight.ops[-1].op_id
        if error.code == "op_order":
            return [Renumber(first), *self.pump()]
        return [RejectOps(tuple(o.op_id for o in flight.ops), error.code, error.message), *self.pump()]

    def resume(self) -> list[Action]:
        """Continue after a pause."""
        self._paused = False
        return self.pump()


@dataclass(frozen=True, slots=True)
class _TooLarge:
    ops: list[PendingOp]
    reason: str


def transactions(ops: Iterable[PendingOp]) -> list[list[PendingOp]]:
    """Group the ops of each tx."""
    groups: list[list[PendingOp]] = []
    for op in ops:
        if groups and op.tx is not None and groups[-1][0].tx == op.tx:
            groups[-1].append(op)
        else:
            groups.append([op])
    return groups


def pack(
    ops: Sequence[PendingOp], limits: Limits, batch: int, size_of: Callable[[PendingOp], int] | None = None
) -> list[list[PendingOp] | _TooLarge]:
    """Fill frames with whole transactions within the limits; one that can never fit comes alone, with the reason."""
    measure = size_of or (lambda op: len(encode_op(op)) + 1)
    room = limits.frame - _ENVELOPE_BYTES
    frames: list[list[PendingOp] | _TooLarge] = []
    current: list[PendingOp] = []
    used = 0
    for group in transactions(ops):
        sizes = [measure(op) for op in group]
        reason = _misfit(sizes, limits, room)
        if current and (reason or len(current) + len(group) > batch or used + sum(sizes) > room):
            frames.append(current)
            current, used = [], 0
        if reason:
            frames.append(_TooLarge(group, reason))
            continue
        current = current + group
        used += sum(sizes)
    return [*frames, current] if current else frames


def _misfit(sizes: list[int], limits: Limits, room: int) -> str | None:
    if max(sizes) > limits.line:
        return f"This edit is too large: the limit is {limits.line} bytes."
    if len(sizes) > limits.ops:
        return f"This transaction has too many edits: the limit is {limits.ops}."
    if sum(sizes) > room:
        return f"This transaction is too large: the limit is {room} bytes."
    return None
