"""Properties that hold for random devices with random old versions that send ops again."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metadata.canonical import canonical_json
from metadata.catalog import schema_of
from sync.log.verify import verify_log
from sync.models import Change, Conflict
from sync.records.rows import records
from sync.wire.ops import Op
from sync.wire.patch import apply_patch
from tests.sync.pushing import Pusher, lines, noted, row

pytestmark = pytest.mark.django_db

FIELDS = ("title", "number", "attrs")
IDS = ("a", "b")
value_of = {
    "title": st.sampled_from(["x", "y", None]),
    "number": st.integers(0, 2) | st.none(),
    "attrs": st.dictionaries(st.sampled_from("kl"), st.integers(0, 2), max_size=2) | st.none(),
}
contents = st.fixed_dictionaries({}, optional=value_of)
step = st.tuples(
    st.integers(0, 2),  # device
    st.sampled_from(["insert", "update", "update", "update", "delete"]),
    st.sampled_from(IDS),
    st.integers(0, 3),  # how many versions behind
    contents,
    st.booleans(),  # in one tx with the previous op
    st.integers(0, 3),  # 0: the op is sent again afterwards
)
scenarios = st.tuples(
    st.sampled_from(["field_merge", "field_merge", "last_write_wins", "server_wins", "manual"]),
    st.lists(step, min_size=1, max_size=14),
)
few = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def play(scenario):
    """Push a scenario; return the tenant, and each (device, op, result)."""
    policy, steps = scenario
    tenant = noted(policy)
    devices = [Pusher(tenant) for _ in range(3)]
    decided = []
    for number, (who, verb, record_id, behind, payload, joined, again) in enumerate(steps):
        found = records(tenant.pk, spec_of(tenant), [record_id]).get(record_id)
        version = found.version if found else 0
        base = max(version - behind, 0)
        given_payload = {
            "insert": payload,
            "update": [{"op": "replace", "path": f"/{name}", "value": value} for name, value in payload.items()],
            "delete": None,
        }[verb]
        pusher = devices[who]
        ops = [pusher.op(verb, "notes", record_id, base, given_payload, tx=f"t{number}")]
        if joined:
            ops.append(pusher.op("insert", "notes", f"extra{number}", 0, {"title": "e"}, tx=f"t{number}"))
        results = pusher.push(*ops)
        decided += [(pusher, op, result) for op, result in zip(ops, results, strict=True)]
        assert len({r.status in ("applied", "merged") for r in results}) == 1, "a tx is applied whole or not at all"
        if again == 0:
            before = Change.objects.filter(tenant=tenant).count(), Conflict.objects.filter(tenant=tenant).count()
            repeated = pusher.push(*ops)
            assert [r.status in ("duplicate", "rejected", "conflict") for r in repeated] == [True] * len(ops)
            assert all(
                r.status != "duplicate" or r.cursor == first.cursor for r, first in zip(repeated, results, strict=True)
            )
            assert (
                Change.objects.filter(tenant=tenant).count(),
                Conflict.objects.filter(tenant=tenant).count(),
            ) == before
    return tenant, decided


def spec_of(tenant):
    tenant.refresh_from_db()
    return schema_of(tenant.pk, tenant.schema_version).by_table["notes"]


def replay(log):
    """The records that a client has after applying lines: {id: (version, values or None)}."""
    state = {}
    for line in log:
        version, now = state.get(line["id"], (0, None))
        assert line["version"] == version + 1, "versions of a record rise by one"
        if line["op"] == "insert":
            now = dict(line["payload"])
        elif line["op"] == "update":
            assert now is not None
            now = apply_patch(now, line["payload"])
        else:
            now = None
        state[line["id"]] = (line["version"], now)
    return state


@few
@given(scenarios)
def test_replaying_the_log_gives_exactly_the_records(scenario):
    tenant, _ = play(scenario)
    for record_id, (version, now) in replay(lines(tenant)).items():
        found = row(tenant, "notes", record_id)
        assert (found.version, found.deleted) == (version, now is None)
        if now is not None:
            expected = {name: value for name, value in now.items() if value is not None}
            assert canonical_json({k: v for k, v in found.values().items() if v is not None}) == canonical_json(
                expected
            )
    report = verify_log(tenant.pk)
    assert report.problems == []


@few
@given(scenarios)
def test_every_accepted_op_is_one_change_and_every_other_op_is_none(scenario):
    tenant, decided = play(scenario)
    changes = {(line["device"], line["op_id"]): line for line in lines(tenant)}
    accepted = {(p.device.pk, op.op_id): result for p, op, result in decided if result.accepted}
    assert set(changes) == set(accepted)
    for key, result in accepted.items():
        assert (changes[key]["cursor"], changes[key]["version"]) == (result.cursor, result.version)
    cursors = [line["cursor"] for line in lines(tenant)]
    assert cursors == list(range(cursors[0], cursors[0] + len(cursors))) if cursors else True


@few
@given(scenarios)
def test_no_accepted_value_is_lost(scenario):
    """A value of an accepted update is stored, was overwritten by a later change, or is reported as kept."""
    tenant, decided = play(scenario)
    log = lines(tenant)
    for _, op, result in decided:
        if not result.accepted or op.op != "update":
            continue
        after = [line for line in log if line["id"] == op.id and line["cursor"] <= result.cursor]
        now = replay(after)[op.id][1]
        for change in op.payload:
            name, wanted = change["path"][1:], change["value"]
            if name in result.kept:
                assert Conflict.objects.filter(tenant=tenant, op_id=op.op_id, resolution="server_wins").exists()
            elif name == "attrs" and isinstance(wanted, dict) and result.status == "merged":
                assert now["attrs"] is not None
            else:
                assert now is not None
                assert now.get(name) == wanted


@few
@given(scenarios)
def test_no_rejected_value_is_lost_silently(scenario):
    tenant, decided = play(scenario)
    for pusher, op, result in decided:
        if result.status == "conflict":
            kept = Conflict.objects.get(tenant=tenant, device_id=pusher.device.pk, op_id=op.op_id)
            assert (kept.state, kept.record_id) == ("open", op.id)
            if op.op == "update":
                assert {step["path"][1:]: step["value"] for step in op.payload}.items() <= kept.mine.items()
        elif result.status == "rejected":
            assert result.code
            assert result.message


def test_one_push_gives_the_same_result_as_many():
    one, many = noted(), noted()
    outcomes = []
    for tenant, together in ((one, True), (many, False)):
        pusher = Pusher(tenant)
        ops: list[Op] = []
        for n in range(60):
            ops.append(pusher.insert("notes", f"n{n % 20}", title=str(n)))
            ops.append(pusher.update("notes", f"n{n % 7}", 0, number=n, attrs={"k": n}))
            if n % 5 == 0:
                ops.append(pusher.delete("notes", f"n{n % 3}", 0))
        results = pusher.push(*ops) if together else [pusher.one(op) for op in ops]
        outcomes.append([(r.status, r.version, r.code) for r in results])
        content = [{k: v for k, v in line.items() if k not in ("at", "by", "device")} for line in lines(tenant)]
        outcomes.append(content)
    assert outcomes[0] == outcomes[2]
    assert outcomes[1] == outcomes[3]
