"""The pure state machine of a connection."""

import json

from hypothesis import given
from hypothesis import strategies as st

from sync.transports.socket.session import Action, Close, Do, Reply, Session, State
from sync.wire.codes import Code
from sync.wire.limits import Limits
from sync.wire.protocol import Hello, Push

HELLO = json.dumps(
    {"type": "hello", "protocol": "moat.v1", "token": "t", "device": "d", "schema_version": 0, "cursor": 0}
)
PUSH = '{"type":"push","ref":7,"schema_version":1,"cursor":0}\n{"op_id":1}'


def ready(**limits: int) -> Session:
    session = Session(Limits(**limits))
    assert isinstance(session.receive(HELLO)[0], Do)
    session.greeted()
    return session


def codes(actions: list[Action]) -> list[Code | None]:
    return [action.code for action in actions if isinstance(action, Reply)]


def closes(actions: list[Action]) -> list[int]:
    return [action.code for action in actions if isinstance(action, Close)]


def test_a_frame_with_too_many_values_is_too_large_whatever_holds_them() -> None:
    session = ready(items=100)
    push = '{"type":"push","schema_version":1,"cursor":0,"ref":1}'
    line = '{"op_id":%d,"table":"jobs","id":"a","op":"insert","base_version":0,"payload":{"attrs":[%s]}}'
    lines = [line % (n, ",".join(["[]"] * 20)) for n in range(1, 9)]
    (reply,) = session.receive("\n".join([push, *lines]))
    assert (reply.code, reply.limit) == (Code.TOO_LARGE, "items")
    assert isinstance(session.receive("\n".join([push, *lines[:1]]))[0], Do)


def test_a_large_first_frame_is_not_parsed() -> None:
    session = Session(Limits())
    (reply,) = session.receive(HELLO[:-1] + " " * 20_000 + "}")
    assert (reply.code, reply.limit) == (Code.TOO_LARGE, "hello")
    assert isinstance(session.receive(HELLO)[0], Do)


def test_a_frame_that_is_nothing_but_lines_is_too_many_ops() -> None:
    session = ready(ops=5)
    (reply,) = session.receive('{"type":"push","schema_version":1,"cursor":0}' + "\n" * 1_000_000)
    assert (reply.code, reply.limit) == (Code.TOO_MANY_OPS, "ops")


def test_hello_comes_first_and_once() -> None:
    session = Session(Limits())
    assert codes(session.receive('{"type":"ping"}')) == [Code.NOT_READY]
    (do,) = session.receive(HELLO)
    assert isinstance(do, Do)
    assert isinstance(do.message, Hello)
    assert codes(session.receive('{"type":"ping"}')) == [Code.NOT_READY]
    session.greeted()
    assert session.state is State.READY
    assert codes(session.receive(HELLO)) == [Code.NOT_READY]


def test_another_protocol_is_turned_away() -> None:
    session = Session(Limits())
    actions = session.receive(HELLO.replace("moat.v1", "moat.v9"))
    assert (codes(actions), closes(actions)) == ([Code.PROTOCOL], [4426])


def test_a_client_that_says_nothing_is_turned_away_and_a_greeted_one_is_not() -> None:
    assert closes(Session(Limits()).hello_timed_out()) == [4408]
    assert ready().hello_timed_out() == []


def test_forbidden_closes_only_at_hello() -> None:
    session = Session(Limits())
    session.receive(HELLO)
    assert closes(session.fail(Code.FORBIDDEN, "no")) == [4403]
    assert closes(ready().fail(Code.FORBIDDEN, "no")) == []


def test_errors_do_not_close_until_they_are_too_many() -> None:
    session = ready(errors=3)
    for _ in range(3):
        assert closes(session.receive("rubbish")) == []
    actions = session.receive("rubbish")
    assert codes(actions) == [Code.MALFORMED, Code.TOO_MANY_ERRORS]
    assert closes(actions) == [4429]
    assert session.receive('{"type":"ping"}') == []


def test_pushes_in_flight_are_bounded() -> None:
    session = ready(pushes_in_flight=2)
    assert [isinstance(a, Do) and isinstance(a.message, Push) for _ in range(2) for a in session.receive(PUSH)] == [
        True,
        True,
    ]
    assert codes(session.receive(PUSH)) == [Code.OVERLOADED]
    session.push_answered()
    assert isinstance(session.receive(PUSH)[0], Do)


def test_other_requests_in_flight_are_bounded_and_pings_are_not() -> None:
    session = ready(requests_in_flight=1)
    assert isinstance(session.receive('{"type":"schema","from":0}')[0], Do)
    assert codes(session.receive('{"type":"schema","from":0}')) == [Code.OVERLOADED]
    assert isinstance(session.receive('{"type":"ping"}')[0], Do)
    session.request_answered()
    assert isinstance(session.receive('{"type":"schema","from":0}')[0], Do)


def test_bye_from_either_side_ends_it() -> None:
    assert closes(ready().receive('{"type":"bye"}')) == [1000]
    session = ready()
    assert closes(session.bye("drain", 2, 1012)) == [1012]
    assert session.bye("drain", 2, 1012) == []


@given(
    st.lists(
        st.sampled_from(
            [HELLO, PUSH, "rubbish", '{"type":"ping"}', '{"type":"bye"}', '{"type":"verify"}', "greeted", "binary"]
        )
    )
)
def test_whatever_comes_nothing_is_done_before_the_hello_is_good_or_after_the_close(steps: list[str]) -> None:
    session = Session(Limits(errors=5))
    greeted = closed = False
    for step in steps:
        if step == "greeted":
            session.greeted()
            greeted = greeted or session.state is State.READY
            continue
        actions = session.receive_binary() if step == "binary" else session.receive(step)
        if closed:
            assert actions == []
        for action in actions:
            if isinstance(action, Do):
                assert greeted or isinstance(action.message, Hello)
        closed = closed or bool(closes(actions))
