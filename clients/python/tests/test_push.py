"""The queue of ops to push: what is read, framed, repeated, and rejected, one event at a time."""

import json
from typing import Any

import pytest

from moat_client.engine.events import Action, OpsRead, ReadOps, RecordResults, RejectOps, Renumber, Send, SetTimer
from moat_client.engine.push import _ENVELOPE_BYTES, Pusher, _TooLarge, pack, transactions
from moat_client.wire.lines import PendingOp, encode_op
from moat_client.wire.messages import Ack, Limits, OpResult, ServerError
from moat_client.wire.position import Position

AT = Position("acme", "c1", 7, "ab", 3, "e1")


def op(number: int, tx: str | None = None, size: int = 0) -> PendingOp:
    payload = json.dumps({"title": "x" * size})
    return PendingOp(number, tx, "jobs", f"job-{number}", "insert", 0, payload, "2026-11-21T09:00:00.000000Z")


def ids(group: Any) -> list[int]:
    return [each.op_id for each in group]


def sent(actions: list[Action]) -> list[tuple[dict[str, Any], list[int]]]:
    """The envelopes of the push frames, each with the numbers of its ops."""
    found = []
    for action in actions:
        if isinstance(action, Send):
            head, *lines = map(json.loads, action.data.split(b"\n"))
            found.append((head, [line["op_id"] for line in lines]))
    return found


def error(ref: int, code: str, retry_after: float | None = None) -> ServerError:
    return ServerError(code, "because", ref, retry_after)


def reading(pusher: Pusher, *ops: PendingOp, fresh_after: int = 0) -> list[Action]:
    """Let the pusher read these ops."""
    return pusher.ops_read(OpsRead(ops, fresh_after), AT)


def limited(**limits: int) -> Pusher:
    pusher = Pusher()
    pusher.connected(Limits(**limits))
    return pusher


# One push after another


def test_a_push_carries_the_position_and_a_number_of_its_own() -> None:
    pusher = limited(ops=1, pushes_in_flight=2)
    assert pusher.pump() == [ReadOps(0, 1)]
    actions = reading(pusher, op(1), op(2))
    assert sent(actions) == [
        ({"type": "push", "schema_version": 3, "cursor": 7, "state_hash": "ab", "ref": 1}, [1]),
        ({"type": "push", "schema_version": 3, "cursor": 7, "state_hash": "ab", "ref": 2}, [2]),
    ]
    assert [pusher.owns(ref) for ref in (None, 0, 1, 2, 3)] == [False, False, True, True, False]


def test_reading_goes_on_after_the_last_op_sent_and_stops_when_enough_is_in_flight() -> None:
    pusher = limited(ops=1, pushes_in_flight=2)
    pusher.pump()
    actions = reading(pusher, op(4))
    assert actions[-1] == ReadOps(4, 1)
    actions = reading(pusher, op(5), op(6))
    assert [numbers for _, numbers in sent(actions)] == [[5]]
    assert len(actions) == 1, "a third push would be one too many"
    assert pusher.pump() == []
    assert pusher.acked(Ack(1, ())) == [RecordResults((), 0), ReadOps(5, 1)]


def test_what_is_added_while_reading_is_read_afterwards() -> None:
    pusher = limited()
    assert pusher.pump() == [ReadOps(0, 500)]
    assert pusher.pump() == []
    assert reading(pusher) == [ReadOps(0, 500)]
    assert reading(pusher) == []
    assert pusher.idle


def test_results_come_with_what_had_been_sent_before_and_only_once() -> None:
    pusher = limited()
    pusher.pump()
    reading(pusher, op(1), op(2), fresh_after=1)
    results = (OpResult(1, "applied", {}), OpResult(2, "applied", {}))
    reading(pusher)
    assert not pusher.idle
    assert pusher.acked(Ack(None, results)) == pusher.acked(Ack(9, results)) == []
    assert pusher.acked(Ack(1, results)) == [RecordResults(results, 1), ReadOps(2, 500)]
    assert pusher.acked(Ack(1, results)) == []


def test_a_new_connection_sends_everything_again_and_takes_the_new_limits() -> None:
    pusher = limited(ops=1, pushes_in_flight=1)
    pusher.pump()
    reading(pusher, op(1))
    pusher.connected(Limits(ops=9))
    assert pusher.idle
    assert not pusher.owns(1)
    assert pusher.pump() == [ReadOps(0, 9)]


# Rejected as a whole


@pytest.mark.parametrize(("retry_after", "seconds"), [(None, 2.0), (0.0, 0.0), (7.5, 7.5)])
def test_a_busy_server_is_left_alone_for_a_while(retry_after: float | None, seconds: float) -> None:
    pusher = limited(pushes_in_flight=1)
    pusher.pump()
    reading(pusher, op(3), op(4))
    assert pusher.rejected(error(1, "busy", retry_after)) == [SetTimer("push", seconds)]
    assert pusher.pump() == []
    assert pusher.resume() == [ReadOps(2, 500)]
    assert [head["ref"] for head, _ in sent(reading(pusher, op(3), op(4)))] == [2]


def test_later_pushes_in_flight_are_sent_again_and_earlier_ones_are_not() -> None:
    pusher = limited(ops=2, pushes_in_flight=3)
    pusher.pump()
    reading(pusher, op(1), op(2), op(3), op(4), op(5), op(6))
    pusher.rejected(error(2, "busy"))
    assert [pusher.owns(ref) for ref in (1, 2, 3)] == [True, False, False]
    assert pusher.resume() == [ReadOps(2, 2)]
    assert sent(reading(pusher, op(3)))[0][1] == [3]
    reading(pusher, op(4), op(5))
    pusher.rejected(error(5, "busy"))
    assert [pusher.owns(ref) for ref in (1, 4, 5)] == [True, True, False], "of one op or of many"


def test_the_op_that_spoils_a_push_is_found_by_sending_one_tx_at_a_time() -> None:
    pusher = limited(ops=10, pushes_in_flight=1)
    pusher.pump()
    reading(pusher, op(1), op(2, "t"), op(3, "t"), op(4))
    assert pusher.rejected(error(1, "malformed")) == [ReadOps(0, 1)]
    assert sent(reading(pusher, op(1)))[0][1] == [1]
    assert pusher.acked(Ack(2, ()))[-1] == ReadOps(1, 1)
    assert sent(reading(pusher, op(2, "t"), op(3, "t")))[0][1] == [2, 3], "a tx stays together"
    assert pusher.rejected(error(3, "malformed")) == [RejectOps((2, 3), "malformed", "because"), ReadOps(3, 1)]
    reading(pusher, op(4))
    assert pusher.acked(Ack(4, ()))[-1] == ReadOps(4, 10), "past the spoiled push, frames are full again"


def test_two_ops_alone_are_enough_to_search_among() -> None:
    pusher = limited(pushes_in_flight=1)
    pusher.pump()
    reading(pusher, op(1), op(2))
    assert pusher.rejected(error(1, "too_many_ops")) == [ReadOps(0, 1)]


def test_a_number_the_server_knows_as_older_is_replaced() -> None:
    pusher = limited(pushes_in_flight=1)
    pusher.pump()
    reading(pusher, op(5))
    assert pusher.rejected(error(1, "op_order")) == [Renumber(5), ReadOps(5, 500)]


def test_an_op_too_large_for_any_frame_is_rejected_and_the_rest_is_sent() -> None:
    pusher = limited(line=400, pushes_in_flight=1)
    pusher.pump()
    actions = reading(pusher, op(1, size=900), op(2))
    rejected = RejectOps((1,), "too_large", "This edit is too large: the limit is 400 bytes.")
    assert actions[0] == rejected
    assert sent(actions)[0][1] == [2]
    pusher.connected(pusher.limits)
    pusher.pump()
    assert reading(pusher, op(1, size=900)) == [rejected, ReadOps(1, 500)]


# Packing


def measured(*sizes: int, txs: str = "") -> tuple[list[PendingOp], Any]:
    """Ops of these sizes; `txs` names the tx of each, `-` for none."""
    ops = [op(n, tx if tx != "-" else None) for n, tx in enumerate(txs or "-" * len(sizes), 1)]
    return ops, lambda each: sizes[each.op_id - 1]


def packed(queue: list[PendingOp], measure: Any, *, room: int = 100, batch: int = 9, **limits: int) -> list[Any]:
    frames = pack(queue, Limits(frame=room + _ENVELOPE_BYTES, **limits), batch, measure)
    return [(ids(f.ops), f.reason) if isinstance(f, _TooLarge) else ids(f) for f in frames]


def test_the_ops_of_a_tx_stay_together() -> None:
    ops, _ = measured(1, 1, 1, 1, 1, 1, txs="-aab--")
    assert [ids(group) for group in transactions(ops)] == [[1], [2, 3], [4], [5], [6]]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((50, 50), [[1, 2]]),
        ((50, 51), [[1], [2]]),
        ((40, 40, 40, 40, 40), [[1, 2], [3, 4], [5]]),
        ((99, 1, 1, 99), [[1, 2], [3, 4]]),
        ((100, 1, 98, 1, 1), [[1], [2, 3, 4], [5]]),
        ((), []),
    ],
)
def test_frames_are_filled_to_the_byte(sizes: tuple[int, ...], expected: list[list[int]]) -> None:
    assert packed(*measured(*sizes)) == expected


def test_frames_hold_at_most_a_batch_of_ops() -> None:
    assert packed(*measured(1, 1, 1, 1, 1), batch=2) == [[1, 2], [3, 4], [5]]
    assert packed(*measured(1, 1, 1, 1, txs="-aa-"), batch=2) == [[1], [2, 3], [4]]
    assert packed(*measured(1, 1, 1, 1, txs="-aaa"), batch=2) == [[1], [2, 3, 4]], "a tx is never split"


def test_what_can_never_fit_comes_alone_with_the_reason() -> None:
    line = "This edit is too large: the limit is 60 bytes."
    assert packed(*measured(1, 61, 1), line=60) == [[1], ([2], line), [3]]
    assert packed(*measured(1, 60, 1), line=60) == [[1, 2, 3]]
    ops = "This transaction has too many edits: the limit is 2."
    assert packed(*measured(1, 1, 1, 1, txs="aaab"), ops=2) == [([1, 2, 3], ops), [4]]
    assert packed(*measured(1, 1, 1, txs="aab"), ops=2) == [[1, 2, 3]]
    room = "This transaction is too large: the limit is 100 bytes."
    assert packed(*measured(51, 50, 1, txs="aab")) == [([1, 2], room), [3]]
    assert packed(*measured(50, 50, 1, txs="aab")) == [[1, 2], [3]]


def test_an_op_is_measured_with_its_line_break() -> None:
    """Two frames are exactly full: of one op, and of two."""
    one = len(encode_op(op(1))) + 1
    limits = Limits(frame=_ENVELOPE_BYTES + 2 * one)
    assert [ids(f) for f in pack([op(1), op(2)], limits, 9) if not isinstance(f, _TooLarge)] == [[1, 2]]
    less = Limits(frame=_ENVELOPE_BYTES + 2 * one - 1)
    assert [ids(f) for f in pack([op(1), op(2)], less, 9) if not isinstance(f, _TooLarge)] == [[1], [2]]
