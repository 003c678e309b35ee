"""Two devices and one record under every policy: conflicts are stored, sent again, and resolved."""

import pytest

from sync.errors import SyncError
from sync.models import Conflict
from sync.settle import resolvers
from sync.settle.push import resolve_conflict
from sync.settle.signals import conflict_settled
from sync.wire.codes import Code
from sync.wire.ops import Op
from tests.sync.pushing import Pusher, lines, noted, row, values

pytestmark = pytest.mark.django_db


def meet(policy="field_merge", **start):
    """A record `n` at version 1, and two devices that know it."""
    tenant = noted(policy)
    olga, tom = Pusher(tenant), Pusher(tenant)
    olga.ok(olga.insert("notes", "n", **(start or {"title": "a", "body": "b"})))
    return tenant, olga, tom


def test_changes_of_different_fields_merge_silently():
    tenant, olga, tom = meet()
    olga.ok(olga.update("notes", "n", 1, title="A"))
    assert tom.one(tom.update("notes", "n", 1, body="B")).status == "merged"
    assert values(tenant, "notes", "n") == {"title": "A", "body": "B"}


def test_the_same_change_made_twice_is_no_conflict():
    tenant, olga, tom = meet()
    olga.ok(olga.update("notes", "n", 1, title="A"))
    result = tom.one(tom.update("notes", "n", 1, title="A"))
    assert (result.status, result.version) == ("merged", 3)
    assert lines(tenant)[-1]["payload"] == []


def test_a_field_changed_differently_is_a_conflict_with_base_mine_and_theirs():
    tenant, olga, tom = meet()
    olga.ok(olga.update("notes", "n", 1, title="A"))
    before = lines(tenant)
    result = tom.one(tom.update("notes", "n", 1, title="T", body="B"))
    seen = result.wire()
    assert seen["status"] == "conflict"
    assert seen["fields"] == ["title"]
    assert (seen["base"], seen["mine"]) == ({"title": "a", "body": "b"}, {"title": "T", "body": "B"})
    assert seen["theirs"] == {"title": "A", "body": "b"}
    assert (seen["version"], seen["by"]) == (2, olga.user.username)
    assert seen["at"] == before[-1]["at"]
    assert lines(tenant) == before
    kept = Conflict.objects.get()
    assert (kept.by, kept.device_id, kept.op_id, kept.state) == (tom.user.username, tom.device.pk, 1, "open")
    assert (kept.base_version, kept.server_version, kept.theirs_by) == (1, 2, olga.user.username)


def test_an_op_in_conflict_sent_again_returns_the_same_conflict():
    _, olga, tom = meet()
    olga.ok(olga.update("notes", "n", 1, title="A"))
    op = tom.update("notes", "n", 1, title="T")
    first, again = tom.one(op), tom.one(op)
    assert again.wire()["conflict"] == first.wire()["conflict"]
    (here, there) = tom.push(op, tom.update("notes", "n", 1, body="x"))
    assert (here.status, there.status) == ("conflict", "merged")
    assert Conflict.objects.count() == 1


def test_a_conflict_rejects_its_whole_tx_every_time_it_is_sent():
    tenant, olga, tom = meet()
    olga.ok(olga.update("notes", "n", 1, title="A"))
    ops = [
        tom.op("insert", "notes", "m", 0, {"title": "m"}, tx="t"),
        tom.op("update", "notes", "n", 1, [{"op": "replace", "path": "/title", "value": "T"}], tx="t"),
    ]
    for _ in range(2):
        results = tom.push(*ops)
        assert [r.status for r in results] == ["rejected", "conflict"]
        assert results[0].code == Code.TX_ABORTED
    resolve_conflict(Conflict.objects.get().pk, "theirs", "olga")
    results = tom.push(*ops)
    assert [r.status for r in results] == ["rejected", "duplicate"]
    assert [line["id"] for line in lines(tenant)] == ["n", "n"]


def test_a_devices_queue_never_conflicts_with_itself():
    tenant, _, tom = meet()
    results = tom.push(
        tom.update("notes", "n", 1, title="1"),
        tom.update("notes", "n", 1, title="2"),
        tom.update("notes", "n", 1, title="3"),
    )
    assert [r.status for r in results] == ["applied"] * 3
    assert values(tenant, "notes", "n")["title"] == "3"


def test_the_device_resolves_a_conflict_with_its_own_value():
    tenant, olga, tom = meet()
    olga.ok(olga.update("notes", "n", 1, title="A"))
    conflict = tom.one(tom.update("notes", "n", 1, title="T")).wire()
    op = tom.op(
        "update",
        "notes",
        "n",
        conflict["version"],
        [{"op": "replace", "path": "/title", "value": "T"}],
        settles=conflict["conflict"],
    )
    assert tom.one(op).status == "applied"
    kept = Conflict.objects.get()
    assert (kept.state, kept.resolution, kept.settled_by, kept.told_device) == (
        "settled",
        "mine",
        tom.user.username,
        True,
    )
    assert values(tenant, "notes", "n")["title"] == "T"


def test_the_device_resolves_a_conflict_with_an_edit():
    _, olga, tom = meet()
    olga.ok(olga.update("notes", "n", 1, title="A"))
    conflict = tom.one(tom.update("notes", "n", 1, title="T")).wire()
    op = tom.op(
        "update",
        "notes",
        "n",
        2,
        [{"op": "replace", "path": "/title", "value": "A and T"}],
        settles=conflict["conflict"],
    )
    assert tom.one(op).status == "applied"
    assert Conflict.objects.get().resolution == "edit"


def test_the_device_resolves_a_conflict_with_the_servers_value_and_writes_nothing():
    tenant, olga, tom = meet()
    olga.ok(olga.update("notes", "n", 1, title="A"))
    conflict = tom.one(tom.update("notes", "n", 1, title="T")).wire()
    op = tom.op("settle", "notes", "n", 0, {"conflict": conflict["conflict"], "resolution": "theirs"})
    before = lines(tenant)
    result = tom.one(op)
    assert (result.status, result.cursor) == ("applied", before[-1]["cursor"])
    assert tom.one(op).status == "applied"
    assert lines(tenant) == before
    assert Conflict.objects.get().resolution == "theirs"


def test_a_settling_op_with_concurrent_changes_causes_a_conflict_that_replaces_the_old_one():
    _, olga, tom = meet()
    olga.ok(olga.update("notes", "n", 1, title="A"))
    first = tom.one(tom.update("notes", "n", 1, title="T")).wire()
    olga.ok(olga.update("notes", "n", 2, title="AA"))
    op = tom.op(
        "update", "notes", "n", 2, [{"op": "replace", "path": "/title", "value": "T"}], settles=first["conflict"]
    )
    assert tom.one(op).status == "conflict"
    assert sorted(Conflict.objects.values_list("state", "resolution")) == [("open", ""), ("settled", "superseded")]


def test_a_user_cannot_resolve_another_users_conflict():
    tenant, olga, tom = meet()
    olga.ok(olga.update("notes", "n", 1, title="A"))
    conflict = tom.one(tom.update("notes", "n", 1, title="T")).wire()["conflict"]
    assert (
        olga.one(olga.op("settle", "notes", "n", 0, {"conflict": conflict, "resolution": "theirs"})).code
        == Code.UNKNOWN_CONFLICT
    )
    stolen = olga.op("update", "notes", "n", 2, [{"op": "replace", "path": "/title", "value": "T"}], settles=conflict)
    assert olga.one(stolen).code == Code.UNKNOWN_CONFLICT
    stranger = Pusher(noted())
    assert (
        stranger.one(stranger.op("settle", "notes", "n", 0, {"conflict": conflict, "resolution": "theirs"})).code
        == Code.UNKNOWN_CONFLICT
    )
    # Another device of the same user may resolve it.
    second = Pusher(tenant, like=tom)
    assert (
        second.one(second.op("settle", "notes", "n", 0, {"conflict": conflict, "resolution": "theirs"})).status
        == "applied"
    )
    assert Conflict.objects.get().told_device is False


def test_an_op_that_resolves_an_unknown_conflict_and_would_cause_one_is_rejected():
    """It is not looked at further: a new conflict could not take the place of one that is not there."""
    _, olga, tom = meet()
    olga.ok(olga.update("notes", "n", 1, title="A"))
    unknown = "00000000-0000-0000-0000-000000000000"
    op = tom.op("update", "notes", "n", 1, [{"op": "replace", "path": "/title", "value": "T"}], settles=unknown)
    fine = tom.update("notes", "n", 2, body="b")
    assert [result.code for result in tom.push(op, fine)] == [Code.UNKNOWN_CONFLICT, None]
    assert not Conflict.objects.exists()


def test_only_an_op_on_its_record_resolves_a_conflict():
    _, olga, tom = meet()
    olga.ok(olga.update("notes", "n", 1, title="A"))
    conflict = tom.one(tom.update("notes", "n", 1, title="T")).wire()["conflict"]
    assert tom.one(tom.op("insert", "notes", "m", 0, {"title": "x"}, settles=conflict)).code == Code.UNKNOWN_CONFLICT


@pytest.mark.parametrize(
    ("resolution", "given", "title"), [("mine", None, "T"), ("theirs", None, "A"), ("edit", {"title": "E"}, "E")]
)
def test_the_inbox_resolves_a_conflict_and_notifies(resolution, given, title, django_capture_on_commit_callbacks):
    tenant, olga, tom = meet()
    olga.ok(olga.update("notes", "n", 1, title="A"))
    op = tom.update("notes", "n", 1, title="T")
    conflict = tom.one(op).wire()["conflict"]
    on_commit = []

    def receive(settled, **_):
        on_commit.append((settled.conflict, settled.device_id, settled.resolution, settled.by))

    conflict_settled.connect(receive)
    with django_capture_on_commit_callbacks(execute=True):
        assert resolve_conflict(conflict, resolution, "boss", given).status == "applied"
    conflict_settled.disconnect(receive)
    assert on_commit == [(conflict, tom.device.pk, resolution, "boss")]
    assert values(tenant, "notes", "n")["title"] == title
    # The op in conflict is now a duplicate.
    assert tom.one(op).status == "duplicate"
    with pytest.raises(SyncError):
        resolve_conflict(conflict, "theirs", "boss")


def test_an_update_of_a_deleted_record_is_a_conflict_and_mine_restores_it():
    tenant, olga, tom = meet()
    olga.ok(olga.delete("notes", "n", 1))
    seen = tom.one(tom.update("notes", "n", 1, title="T")).wire()
    assert seen["status"] == "conflict"
    assert seen["theirs"] is None
    assert (seen["mine"]["title"], seen["mine"]["body"]) == ("T", "b")
    resolve_conflict(seen["conflict"], "mine", "boss")
    assert values(tenant, "notes", "n") == {"title": "T", "body": "b"}
    assert Conflict.objects.get().resolution == "mine"
    assert lines(tenant)[-1]["op"] == "insert"


def test_a_delete_of_a_changed_record_is_a_conflict_and_mine_deletes_it():
    tenant, olga, tom = meet()
    olga.ok(olga.update("notes", "n", 1, title="A"))
    seen = tom.one(tom.delete("notes", "n", 1)).wire()
    assert (seen["status"], seen["mine"], seen["fields"]) == ("conflict", None, ["title"])
    assert (seen["theirs"]["title"], seen["base"]["title"]) == ("A", "a")
    resolve_conflict(seen["conflict"], "mine", "boss")
    assert row(tenant, "notes", "n").deleted
    assert Conflict.objects.get().resolution == "mine"


def test_last_write_wins_per_field_and_restores_deleted_records():
    tenant, olga, tom = meet("last_write_wins")
    olga.ok(olga.update("notes", "n", 1, title="A", body="B"))
    assert tom.one(tom.update("notes", "n", 1, title="T")).status == "merged"
    assert values(tenant, "notes", "n") == {"title": "T", "body": "B"}
    olga.ok(olga.delete("notes", "n", 2))
    assert tom.one(tom.update("notes", "n", 2, number=7)).status == "merged"
    assert lines(tenant)[-1]["op"] == "insert"
    assert lines(tenant)[-1]["payload"] == {"title": "T", "body": "B", "number": 7}
    assert tom.one(tom.delete("notes", "n", 2)).status == "merged"
    assert Conflict.objects.count() == 0


def test_server_wins_and_the_devices_value_stays_readable():
    tenant, olga, tom = meet("server_wins")
    olga.ok(olga.update("notes", "n", 1, title="A"))
    op = tom.update("notes", "n", 1, title="T", body="B")
    result = tom.one(op)
    assert (result.status, result.wire()["kept"]) == ("merged", ["title"])
    assert values(tenant, "notes", "n") == {"title": "A", "body": "B"}
    kept = Conflict.objects.get()
    assert (kept.state, kept.resolution, kept.mine["title"], kept.told_device) == ("settled", "server_wins", "T", True)
    assert tom.one(op).status == "duplicate"


def test_server_wins_over_a_delete_and_over_an_update_of_a_deleted_record():
    tenant, olga, tom = meet("server_wins")
    olga.ok(olga.update("notes", "n", 1, title="A"))
    assert tom.one(tom.delete("notes", "n", 1)).wire()["kept"] == ["title"]
    assert values(tenant, "notes", "n")["title"] == "A"
    olga.ok(olga.delete("notes", "n", 3))
    assert tom.one(tom.update("notes", "n", 3, title="T")).wire()["kept"] == ["title"]
    assert row(tenant, "notes", "n").deleted
    assert [line["op"] for line in lines(tenant)] == ["insert", "update", "update", "delete", "delete"]
    assert Conflict.objects.filter(resolution="server_wins").count() == 2


def test_manual_makes_every_concurrent_change_a_conflict():
    _, olga, tom = meet("manual")
    olga.ok(olga.update("notes", "n", 1, title="A"))
    assert tom.one(tom.update("notes", "n", 1, body="B")).wire()["fields"] == ["body"]
    assert tom.one(tom.update("notes", "n", 2, body="B")).status == "applied"


def test_json_merges_key_by_key_with_the_base_from_the_log():
    tenant, olga, tom = meet(attrs={"a": 1, "list": [{"id": 1, "n": "x"}]})
    olga.ok(olga.patch("notes", "n", 1, {"op": "add", "path": "/attrs/list/-", "value": {"id": 2, "n": "olga"}}))
    results = tom.push(
        tom.patch("notes", "n", 1, {"op": "add", "path": "/attrs/list/-", "value": {"id": 3, "n": "tom"}}),
        tom.patch(
            "notes",
            "n",
            1,
            {"op": "replace", "path": "/attrs/list/0/n", "value": "first"},
            {"op": "add", "path": "/attrs/b", "value": 2},
        ),
        tom.patch("notes", "n", 1, {"op": "remove", "path": "/attrs/list/1"}),
    )
    assert [r.status for r in results] == ["merged"] * 3
    assert values(tenant, "notes", "n")["attrs"] == {
        "a": 1,
        "b": 2,
        "list": [{"id": 1, "n": "first"}, {"id": 2, "n": "olga"}],
    }


def test_a_devices_second_op_cannot_overwrite_what_its_first_merged_with():
    tenant, olga, tom = meet(attrs={"a": 1})
    olga.ok(olga.update("notes", "n", 1, attrs={"a": 1, "olga": 1}))
    tom.ok(tom.update("notes", "n", 1, attrs={"a": 1, "tom": 1}))
    tom.ok(tom.update("notes", "n", 1, attrs={"a": 1, "tom": 2}))
    assert values(tenant, "notes", "n")["attrs"] == {"a": 1, "olga": 1, "tom": 2}


def test_json_changed_differently_at_the_same_path_is_a_conflict():
    _, olga, tom = meet(attrs={"a": 1})
    olga.ok(olga.update("notes", "n", 1, attrs={"a": 2}))
    assert tom.one(tom.update("notes", "n", 1, attrs={"a": 3})).wire()["fields"] == ["attrs"]


def test_the_base_of_changes_in_the_same_push_is_known_too():
    tenant, olga, tom = meet(attrs={})
    both = [olga.update("notes", "n", 1, attrs={"olga": 1}), olga.update("notes", "n", 1, title="x")]
    olga.push(*both)
    assert tom.one(tom.update("notes", "n", 1, attrs={"tom": 1})).status == "merged"
    assert values(tenant, "notes", "n")["attrs"] == {"olga": 1, "tom": 1}


class AddUp(resolvers.Resolver):
    """Adds both sides' differences."""

    def resolve(self, conflict):
        if conflict.mine is None:
            return resolvers.Reject("Never deleted.")
        if conflict.theirs is None:
            return resolvers.Accept()
        if conflict.mine.get("title") == "ask":
            return resolvers.Ask()
        if conflict.mine.get("title") == "fail":
            raise RuntimeError("a bug in the application")
        return resolvers.Merged(
            {"number": conflict.theirs["number"] + conflict.mine["number"] - conflict.base["number"]}
        )


ADD_UP = f"{__name__}.AddUp"


def test_a_resolver_of_the_application_decides(settings):
    settings.MOAT = {**settings.MOAT, "RESOLVERS": (ADD_UP,)}
    resolvers._load.cache_clear()
    tenant, olga, tom = meet(ADD_UP, number=10)
    olga.ok(olga.update("notes", "n", 1, number=15))
    assert tom.one(tom.update("notes", "n", 1, number=7)).status == "merged"
    assert values(tenant, "notes", "n")["number"] == 12
    refused = tom.one(tom.delete("notes", "n", 1))
    assert (refused.code, refused.message) == (Code.RESOLVER, "Never deleted.")
    assert tom.one(tom.update("notes", "n", 1, title="ask", number=1)).status == "conflict"
    assert tom.one(tom.update("notes", "n", 1, title="fail", number=1)).status == "conflict"
    olga.ok(olga.delete("notes", "n", 3))
    assert tom.one(tom.update("notes", "n", 1, number=1)).status == "merged"
    assert values(tenant, "notes", "n")["number"] == 1


def test_a_resolver_that_is_no_longer_allowed_leaves_conflicts_to_a_user(settings):
    settings.MOAT = {**settings.MOAT, "RESOLVERS": (ADD_UP,)}
    _, olga, tom = meet(ADD_UP, number=10)
    settings.MOAT = {**settings.MOAT, "RESOLVERS": ()}
    olga.ok(olga.update("notes", "n", 1, number=15))
    assert tom.one(tom.update("notes", "n", 1, number=7)).status == "conflict"


def test_the_admins_own_stale_write_is_a_conflict_like_any_other():
    tenant, _, _ = meet()
    boss = Pusher(tenant)
    boss.actor = type(boss.actor)(tenant.pk, "boss")
    boss.ok(Op(1, None, "notes", "n", "update", 1, [{"op": "replace", "path": "/title", "value": "B"}]))
    result = boss.one(Op(1, None, "notes", "n", "update", 1, [{"op": "replace", "path": "/title", "value": "C"}]))
    assert result.status == "conflict"
    assert Conflict.objects.get().device_id is None
