"""I12: any message gets a coded response, the server keeps running, and other clients are unaffected."""

import json

import pytest
from websockets.exceptions import ConnectionClosed

from tenants.models import Tenant
from tests.contract.conftest import Connect
from tests.contract.peer import Peer, replace
from tests.contract.servers import ServerProcess

pytestmark = pytest.mark.contract

PUSH = '{"type":"push","ref":1,"schema_version":1,"cursor":0,"state_hash":""}\n'
OP = '{"op_id":1,"table":"jobs","id":"a","op":"insert","base_version":0,"payload":%s}'

BROKEN_FRAMES = {
    "not json": "hello",
    "empty": "",
    "truncated": PUSH + OP[:30],
    "an array": "[]",
    "no type": "{}",
    "NaN": PUSH + OP % '{"title":NaN}',
    "infinity": PUSH + OP % '{"title":"t","distance":Infinity}',
    "lone surrogate": PUSH + OP % '{"title":"\\ud800"}',
    "duplicate keys": PUSH + OP % '{"title":"a","title":"b"}',
    "duplicate keys in the envelope": '{"type":"ping","type":"push"}',
    "10,000 deep": PUSH + OP % ('{"title":"t","attrs":' + "[" * 10_000 + "]" * 10_000 + "}"),
    "40 deep objects": PUSH + OP % ('{"title":"t","attrs":' + '{"a":' * 200 + "1" + "}" * 200 + "}"),
    "ref of a wrong kind": '{"type":"push","ref":{"a":1}}',
}


@pytest.mark.parametrize("name", BROKEN_FRAMES)
def test_a_broken_frame_is_rejected_as_malformed_and_applies_nothing(name: str, peer: Connect, tenant: Tenant) -> None:
    bad, good = peer(tenant).live(), peer(tenant).live()
    before = bad.cursor
    bad.socket.send(BROKEN_FRAMES[name])
    answer = bad.receive()
    assert answer["type"] == "error", answer
    assert answer["code"] == "malformed", answer
    assert "Traceback" not in answer["message"]
    assert good.push(good.op("jobs", "fine", "insert", {"title": "still works"}))[0]["status"] == "applied"
    assert bad.push(bad.op("jobs", "mine", "insert", {"title": "so does this"}))[0]["status"] == "applied"
    bad.catch_up_to(before + 2)


GOOD = {"title": "t"}
HOSTILE_OPS = {
    "unknown table": ({"table": "nothing"}, "unknown_table"),
    "a physical table": ({"table": "t1_jobs"}, "unknown_table"),
    "a server table": ({"table": "auth_user"}, "unknown_table"),
    "a system table": ({"table": "object_metadata"}, "read_only"),
    "SQL for a table": ({"table": 'jobs"; DROP TABLE jobs; --'}, "unknown_table"),
    "unknown field": ({"payload": {**GOOD, "nothing": 1}}, "unknown_field"),
    "a system column": ({"payload": {**GOOD, "_cursor": 1}}, "unknown_field"),
    "__proto__ as a field": ({"payload": {**GOOD, "__proto__": {"a": 1}}}, "unknown_field"),
    "__proto__ inside json": ({"payload": {**GOOD, "attrs": {"__proto__": {"a": 1}}}}, "bad_value"),
    "unknown op": ({"op": "upsert"}, "unknown_op"),
    "a number for a text": ({"payload": {"title": 5}}, "bad_value"),
    "a text for a number": ({"payload": {**GOOD, "crew": "five"}}, "bad_value"),
    "true for a number": ({"payload": {**GOOD, "crew": True}}, "bad_value"),
    "2^53": ({"payload": {**GOOD, "crew": 2**53}}, "bad_value"),
    "2^63": ({"payload": {**GOOD, "crew": 2**63}}, "bad_value"),
    "2^63 inside json": ({"payload": {**GOOD, "attrs": {"n": 2**63}}}, "bad_value"),
    "NUL in a text": ({"payload": {"title": "a\0b"}}, "bad_value"),
    "a date that is none": ({"payload": {**GOOD, "due": "2026-02-30"}}, "bad_value"),
    "a decimal with too many digits": ({"payload": {**GOOD, "price": "1234567890123456.00"}}, "bad_value"),
    "an unknown choice": ({"payload": {**GOOD, "priority": "middling"}}, "bad_value"),
    "an unknown status": ({"payload": {**GOOD, "status": "nowhere"}}, "bad_value"),
    "an unknown subtype": ({"payload": {**GOOD, "object_type": "nothing"}}, "bad_value"),
    "a missing required field": ({"payload": {"notes": "n"}}, "required"),
    "null in a required field": ({"payload": {"title": None}}, "required"),
    "a reference to nothing": ({"payload": {**GOOD, "customer": "nobody"}}, "missing_reference"),
    "an id of a wrong kind": ({"id": 5}, "bad_id"),
    "an object for an id": ({"id": {}}, "bad_id"),
    "a list for a table": ({"table": []}, "unknown_table"),
    "an object for an op": ({"op": {}}, "unknown_op"),
    "a list for a base version": ({"base_version": []}, "bad_op"),
    "a list for a status": ({"payload": {**GOOD, "status": []}}, "bad_value"),
    "an object for a reference": ({"payload": {**GOOD, "customer": {}}}, "bad_value"),
    "a list for a settled conflict": ({"settles": []}, "unknown_conflict"),
    "an object for a time": ({"at": {}}, "bad_value"),
    "an empty id": ({"id": ""}, "bad_id"),
    "a long id": ({"id": "x" * 129}, "bad_id"),
    "control characters in an id": ({"id": "a\nb"}, "bad_id"),
    "payload of a wrong kind": ({"payload": [1, 2]}, "bad_op"),
    "a patch for a record that is not there": (
        {"op": "update", "payload": replace("title", "x"), "base_version": 1},
        "not_found",
    ),
    "a base version from the future": ({"base_version": 9}, "base_version"),
    "a negative base version": ({"base_version": -1}, "bad_op"),
}


@pytest.mark.parametrize("name", HOSTILE_OPS)
def test_a_hostile_op_is_rejected_with_a_code_and_the_other_ops_are_applied(
    name: str, peer: Connect, tenant: Tenant
) -> None:
    bad = peer(tenant).live()
    before = bad.op("jobs", "before", "insert", {"title": "before"})
    hostile = {**bad.op("jobs", "hostile", "insert", GOOD), **HOSTILE_OPS[name][0]}
    after = bad.op("jobs", "after", "insert", {"title": "after"})
    results = bad.push(before, hostile, after)
    assert [r["status"] for r in results] == ["applied", "rejected", "applied"], results
    assert results[1]["code"] == HOSTILE_OPS[name][1], results[1]
    assert results[1]["message"]


PATCHES = {
    "test that fails": [{"op": "test", "path": "/title", "value": "other"}],
    "a pointer into nothing": [{"op": "replace", "path": "/attrs/a/b/c", "value": 1}],
    "remove what is not there": [{"op": "remove", "path": "/attrs/zzz"}],
    "an unknown operation": [{"op": "explode", "path": "/title"}],
    "no path": [{"op": "replace", "value": 1}],
    "the whole document": [{"op": "replace", "path": "", "value": {}}],
    "the id": [{"op": "replace", "path": "/id", "value": "other"}],
    "the version": [{"op": "replace", "path": "/version", "value": 99}],
    "not a list": {"op": "replace"},
    "a list of numbers": [1, 2, 3],
    "a list for an operation": [{"op": [], "path": "/title", "value": 1}],
    "an object for an operation": [{"op": {}, "path": "/title", "value": 1}],
    "a list for a path": [{"op": "add", "path": [], "value": 1}],
    "an object for a source": [{"op": "copy", "from": {}, "path": "/title"}],
    "a bad escape": [{"op": "replace", "path": "/attrs~2", "value": 1}],
    "a copy that doubles for ever": [{"op": "copy", "from": "/attrs", "path": f"/attrs/{n}"} for n in range(60)],
}


@pytest.mark.parametrize("name", PATCHES)
def test_a_hostile_patch_is_rejected_and_does_not_change_the_record(name: str, peer: Connect, tenant: Tenant) -> None:
    bad = peer(tenant).live()
    bad.push(bad.op("jobs", "a", "insert", {"title": "t", "attrs": {"x": 1}}))
    result = bad.push(bad.op("jobs", "a", "update", PATCHES[name], base=1))[0]
    assert result["status"] == "rejected", result
    assert result["code"] in {"bad_patch", "unknown_field", "read_only", "too_large", "bad_value"}, result
    assert bad.push(bad.op("jobs", "a", "update", replace("title", "fine"), base=1))[0]["version"] == 2


def test_a_push_with_decreasing_op_ids_is_rejected(peer: Connect, tenant: Tenant) -> None:
    bad = peer(tenant).live()
    first, second = bad.op("jobs", "a", "insert", GOOD), bad.op("jobs", "b", "insert", GOOD)
    bad.send({"type": "push", "ref": 1, **bad.state()}, second, first)
    assert bad.receive()["code"] == "op_order"
    assert [r["status"] for r in bad.push(first, second)] == ["applied", "applied"]


def test_ten_megabytes_are_rejected_without_being_buffered(peer: Connect, tenant: Tenant) -> None:
    bad, good = peer(tenant).live(), peer(tenant).live()
    line = json.dumps(bad.op("jobs", "big", "insert", {"title": "x" * 10_000_000}))
    bad.socket.send(PUSH + line)
    try:
        answer = bad.receive()
        assert (answer["type"], answer["code"]) == ("error", "too_large")
    except ConnectionClosed as closed:
        assert closed.rcvd is not None
        assert closed.rcvd.code == 1009
    assert good.push(good.op("jobs", "fine", "insert", GOOD))[0]["status"] == "applied"


def test_records_of_another_tenant_do_not_exist_for_a_client(
    peer: Connect, tenant: Tenant, other_tenant: Tenant
) -> None:
    owner, stranger = peer(other_tenant).live(), peer(tenant).live()
    assert owner.push(owner.op("jobs", "theirs", "insert", {"title": "secret"}))[0]["status"] == "applied"
    results = stranger.push(
        stranger.op("jobs", "theirs", "update", replace("title", "mine"), base=1),
        stranger.op("jobs", "nothing", "update", replace("title", "mine"), base=1),
        stranger.op("jobs", "theirs", "insert", {"title": "my own, same id"}),
    )
    assert [r["status"] for r in results] == ["rejected", "rejected", "applied"]
    assert results[0]["code"] == results[1]["code"]
    assert results[0]["message"].replace("theirs", "nothing") == results[1]["message"]
    stranger.catch_up_to(stranger.cursor + 1)
    assert [line["payload"]["title"] for line in stranger.lines] == ["my own, same id"]


def test_a_bad_token_and_a_silent_client_are_disconnected(server, peer: Connect, tenant: Tenant) -> None:
    for change, code, close in (
        ({"token": "nonsense"}, "bad_token", 4401),
        ({"protocol": "moat.v9"}, "protocol", 4426),
    ):
        bad = peer(tenant)
        bad.send(
            {
                "type": "hello",
                "protocol": "moat.v1",
                "token": bad.token,
                "device": bad.device,
                "client": {},
                **bad.state(),
                **change,
            }
        )
        assert bad.receive()["code"] == code
        with pytest.raises(ConnectionClosed) as closed:
            bad.receive()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == close
    early = peer(tenant)
    early.send({"type": "push", "ref": 1}, early.op("jobs", "a", "insert", GOOD))
    assert early.receive()["code"] == "not_ready"


def test_i12_a_hostile_message_gets_a_coded_error_and_affects_no_one_else(peer: Connect, tenant: Tenant) -> None:
    """Send everything until the server closes the connection. Another client keeps working and misses nothing."""
    good: Peer = peer(tenant).live()
    bad = peer(tenant).live()
    answers, accepted = [], 0
    try:
        for round_ in range(50):
            for name, frame in BROKEN_FRAMES.items():
                if round_ and name == "10,000 deep":
                    continue
                bad.socket.send(frame)
                while (answer := bad.receive())["type"] == "changes":
                    pass
                answers.append(answer)
            accepted += good.push(good.op("jobs", f"job-{round_}", "insert", GOOD))[0]["status"] == "applied"
    except ConnectionClosed:
        pass
    assert all(answer.get("code") for answer in answers)
    assert len(answers) < 50 * len(BROKEN_FRAMES), "a client that only sends rubbish is closed in the end"
    for round_ in range(5):
        accepted += good.push(good.op("jobs", f"later-{round_}", "insert", GOOD))[0]["status"] == "applied"
    good.catch_up_to(good.cursor if accepted == len(good.lines) else good.cursor + accepted - len(good.lines))
    assert accepted == len(good.lines)


def test_oddly_typed_ops_and_large_copies_disturb_no_other_tenant(
    server: ServerProcess, peer: Connect, tenant: Tenant, other_tenant: Tenant
) -> None:
    """Each op is answered with its code, the bystander's pushes go on, and the log quotes nothing of the records."""
    bad, bystander = peer(tenant).live(), peer(other_tenant).live()
    secret = "word-that-must-not-be-logged"
    start = len(server.log)
    big = {"a": [[] for _ in range(80_000)], "w": secret}
    assert bad.push(bad.op("jobs", "a", "insert", {"title": secret, "attrs": big}))[0]["status"] == "applied"
    odd = [bad.op("jobs", "a", "update", [{"op": [], "path": "/title", "value": secret}], base=1) for _ in range(50)]
    copies = [{"op": "copy", "from": "/attrs/a", "path": "/attrs/b"}, {"op": "remove", "path": "/attrs/b"}] * 250
    heavy = [bad.op("jobs", "a", "update", copies, base=1) for _ in range(10)]
    bad.send({"type": "push", "ref": 900, **bad.state()}, *odd, *heavy)
    for n in range(10):
        assert bystander.push(bystander.op("jobs", f"b{n}", "insert", GOOD))[0]["status"] == "applied"
    results = bad.until("ack", timeout=60)["results"]
    assert [result["code"] for result in results] == ["bad_patch"] * 50 + ["too_large"] * 10
    assert bystander.errors == []
    assert secret not in server.log[start:]


def test_a_frame_of_many_small_values_is_refused_as_a_whole(peer: Connect, tenant: Tenant) -> None:
    bad, good = peer(tenant).live(), peer(tenant).live()
    values = [[] for _ in range(30_000)]
    ops = [bad.op("jobs", f"j{n}", "insert", {"title": "t", "attrs": values}) for n in range(9)]
    bad.send({"type": "push", "ref": 5, **bad.state()}, *ops)
    answer = bad.receive()
    assert (answer["code"], "values" in answer["message"]) == ("too_large", True)
    assert good.push(good.op("jobs", "fine", "insert", GOOD))[0]["status"] == "applied"
    assert bad.push(*ops[:2])[1]["status"] == "applied", "a large frame within the limits is taken"
