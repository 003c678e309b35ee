"""The engine and the replica against a tenant in memory, message by message."""

import json

from fake_tenant import JOB_FIELDS, FakeTenant, field
from rig import Rig

from moat_client.engine import State
from moat_client.engine import events as ev


def test_a_new_replica_catches_up_by_the_log_and_goes_live(rig: Rig) -> None:
    rig.settle()
    rig.assert_in_step()
    assert rig.replica.get("jobs", "job-3")["price"] == "1.50"


def test_a_local_edit_is_seen_at_once_and_confirmed_by_its_own_line(rig: Rig) -> None:
    rig.settle()
    rig.replica.update("jobs", "job-1", {"title": "mine", "attrs": {"n": 1, "colour": "red"}})
    assert rig.replica.get("jobs", "job-1")["title"] == "mine"
    assert rig.replica.state_of("jobs", "job-1") == "pending"
    rig.settle()
    rig.assert_in_step()
    assert rig.replica.status().pending == 0
    assert rig.replica.state_of("jobs", "job-1") == "synced"
    assert json.loads(rig.tenant.lines[-1][1])["payload"] == [
        {"op": "replace", "path": "/title", "value": "mine"},
        {"op": "add", "path": "/attrs/colour", "value": "red"},
    ]


def test_an_edit_stays_visible_between_its_ack_and_its_line(rig: Rig) -> None:
    rig.settle()
    rig.replica.update("jobs", "job-1", {"title": "mine"})
    rig.local = False
    rig.tell(ev.LocalChange())
    rig.step_up()
    rig.step_down()  # the ack
    assert rig.replica.status().pending == 1
    assert rig.replica.get("jobs", "job-1")["title"] == "mine"
    rig.step_down()  # the line
    assert rig.replica.status().pending == 0
    assert rig.replica.get("jobs", "job-1")["title"] == "mine"


def test_others_changes_show_under_a_pending_edit(rig: Rig) -> None:
    rig.settle()
    rig.replica.update("jobs", "job-1", {"title": "mine"})
    rig.local = False
    rig.tenant.change("jobs", "job-1", "update", [{"op": "replace", "path": "/price", "value": "9.99"}])
    rig.down.extend(rig.session.live())
    rig.step_down()
    record = rig.replica.get("jobs", "job-1")
    assert (record["title"], record["price"]) == ("mine", "9.99")
    rig.local = True
    rig.settle()
    rig.assert_in_step()


def test_a_schema_bump_is_run_at_its_place_in_the_log(rig: Rig) -> None:
    rig.settle()
    rig.replica.update("jobs", "job-1", {"title": "before the bump"})
    new = field("urgent", "boolean", default=False)
    rig.tenant.publish(fields=[*JOB_FIELDS, new], commands=[{"command": "add_column", "table": "jobs", "column": new}])
    rig.tenant.change("jobs", "job-2", "update", [{"op": "replace", "path": "/urgent", "value": True}])
    rig.tenant.publish("customer", [field("name")])
    rig.tenant.change("customers", "c1", "insert", {"name": "Ann"})
    rig.settle()
    rig.assert_in_step()
    assert rig.replica.get("jobs", "job-1")["urgent"] is False
    assert rig.replica.get("jobs", "job-2")["urgent"] is True
    assert rig.replica.get("customers", "c1")["name"] == "Ann"


def test_an_edit_of_a_retired_field_is_parked_with_its_transaction_and_shown(rig: Rig) -> None:
    rig.settle()
    with rig.replica.transaction() as tx:
        tx.update("jobs", "job-1", {"done": True})
        tx.update("jobs", "job-2", {"title": "belongs to it"})
    rig.replica.update("jobs", "job-3", {"title": "unharmed"})
    rig.local = False
    rest = [f for f in JOB_FIELDS if f["name"] != "done"]
    rig.tenant.publish(fields=rest, commands=[{"command": "retire_column", "table": "jobs", "field": "done"}])
    rig.drop()
    rig.settle()
    rig.assert_in_step()
    assert [(p.state, p.id, p.n) for p in rig.replica.conflicts()] == [("parked", "job-1", 1), ("parked", "job-2", 2)]
    assert rig.replica.get("jobs", "job-2")["title"] == "Job 2"
    assert rig.replica.get("jobs", "job-3")["title"] == "unharmed"


def test_a_pruned_log_is_caught_up_by_rows_and_overlays_stay(rig: Rig) -> None:
    rig.settle()
    rig.drop()
    rig.replica.update("jobs", "job-1", {"title": "offline"})
    tenant = rig.tenant
    new = field("tags", "json", default=[])
    tenant.publish(fields=[*JOB_FIELDS, new], commands=[{"command": "add_column", "table": "jobs", "column": new}])
    tenant.change("jobs", "job-0", "delete", None)
    tenant.change("jobs", "job-9", "insert", {"title": "new", "attrs": {"b": 1, "a": 2}, "tags": ["x"]})
    tenant.pruned = tenant.cursor
    rig.settle()
    rig.assert_in_step()
    assert rig.replica.get("jobs", "job-0") is None
    assert rig.replica.get("jobs", "job-9")["tags"] == ["x"]
    assert rig.replica.get("jobs", "job-2")["tags"] == []
    assert rig.replica.get("jobs", "job-1")["title"] == "offline"


def test_a_first_sync_installs_a_snapshot_in_parts(rig: Rig) -> None:
    rig.tenant.prefer_snapshot = True
    for n in range(300):
        rig.tenant.change("jobs", f"more-{n:03}", "insert", {"title": "x" * 100})
    rig.settle()
    rig.assert_in_step()
    assert "part" in rig.session.log
    assert not rig.path.with_name("d1.db.parts").exists()


def test_an_interrupted_download_goes_on_at_the_next_part(rig: Rig) -> None:
    tenant = rig.tenant
    tenant.prefer_snapshot = True
    for n in range(300):
        tenant.change("jobs", f"more-{n:03}", "insert", {"title": "x" * 100})
    manifest = tenant.snapshot(rig.folder)
    tenant.snapshot = lambda folder: manifest  # the server caches it
    while len(list(rig.folder.glob("d1.db.parts/*/*.gz"))) < 3:
        rig.step()
    rig.restart()
    rig.settle()
    rig.assert_in_step()
    assert rig.session.log.count("part") == len(manifest["parts"]) - 3


def test_a_damaged_part_is_requested_again(rig: Rig) -> None:
    rig.tenant.prefer_snapshot = True
    while not any(isinstance(m, bytes) for m in rig.down):
        rig.step()
    at = next(n for n, m in enumerate(rig.down) if isinstance(m, bytes))
    rig.down[at] = rig.down[at][:-9] + b"corrupted"
    rig.settle()
    rig.assert_in_step()


def test_a_reset_takes_the_servers_data_and_keeps_overlays(rig: Rig) -> None:
    rig.settle()
    rig.drop()
    rig.replica.update("jobs", "job-1", {"title": "mine"})
    rig.tell(ev.ResetWanted())
    rig.tenant.prefer_snapshot = True
    rig.settle()
    rig.assert_in_step()
    assert rig.tenant.records["jobs"]["job-1"]["title"] == "mine"


def test_a_conflict_is_kept_with_both_versions_and_resolved_as_mine(rig: Rig) -> None:
    make_conflict(rig)
    (problem,) = rig.replica.conflicts()
    assert (problem.state, problem.n, problem.fields) == ("conflict", 1, ("title",))
    assert (problem.mine["title"], problem.theirs["title"]) == ("mine", "theirs")
    assert rig.replica.get("jobs", "job-1")["title"] == "theirs"
    assert rig.replica.state_of("jobs", "job-1") == "conflict"
    rig.replica.resolve(1, "mine")
    assert rig.replica.get("jobs", "job-1")["title"] == "mine"
    rig.settle()
    rig.assert_in_step()
    assert rig.tenant.records["jobs"]["job-1"]["title"] == "mine"
    assert not rig.replica.conflicts()
    assert not rig.tenant.conflicts


def make_conflict(rig: Rig) -> None:
    rig.settle()
    rig.drop()
    rig.replica.update("jobs", "job-1", {"title": "mine"})
    rig.tenant.change("jobs", "job-1", "update", [{"op": "replace", "path": "/title", "value": "theirs"}])
    rig.settle()


def test_a_conflict_resolved_as_theirs_or_edited_leaves_nothing_behind(rig: Rig) -> None:
    make_conflict(rig)
    rig.replica.resolve(1, "theirs")
    rig.settle()
    rig.assert_in_step()
    assert rig.replica.status().pending == 0
    assert not rig.tenant.conflicts
    make_conflict_again(rig, "job-2")
    rig.replica.resolve(2, edit={"title": "both"})
    rig.settle()
    rig.assert_in_step()
    assert rig.tenant.records["jobs"]["job-2"]["title"] == "both"


def make_conflict_again(rig: Rig, record_id: str) -> None:
    rig.drop()
    rig.replica.update("jobs", record_id, {"title": "mine"})
    rig.tenant.change("jobs", record_id, "update", [{"op": "replace", "path": "/title", "value": "theirs"}])
    rig.settle()


def test_mine_brings_back_a_record_that_others_deleted(rig: Rig) -> None:
    rig.settle()
    rig.drop()
    rig.replica.update("jobs", "job-1", {"title": "mine"})
    rig.tenant.change("jobs", "job-1", "delete", None)
    rig.settle()
    assert rig.replica.get("jobs", "job-1") is None
    rig.replica.resolve(1, "mine")
    rig.settle()
    rig.assert_in_step()
    assert rig.replica.get("jobs", "job-1")["title"] == "mine"
    assert rig.replica.get("jobs", "job-1")["price"] == "1.50"


def test_a_conflict_resolved_in_the_inbox_disappears_here(rig: Rig) -> None:
    make_conflict(rig)
    (problem,) = rig.replica.conflicts()
    note = {"type": "settled", "conflict": problem.conflict, "resolution": "theirs", "by": "admin", "at": "now"}
    rig.down.append(json.dumps(note))
    rig.settle()
    assert not rig.replica.conflicts()


def test_a_rejected_op_does_not_hold_up_later_ones_and_can_be_fixed(rig: Rig) -> None:
    rig.settle()
    rig.replica.update("jobs", "job-1", {"title": "REFUSE"})
    rig.replica.update("jobs", "job-2", {"title": "fine"})
    rig.settle()
    rig.assert_in_step()
    (problem,) = rig.replica.conflicts()
    assert (problem.state, problem.code) == ("rejected", "bad_value")
    assert rig.replica.get("jobs", "job-1")["title"] == "Job 1"
    rig.replica.retry(problem.n, edit={"title": "better"})
    rig.settle()
    assert rig.tenant.records["jobs"]["job-1"]["title"] == "better"
    assert not rig.replica.conflicts()


def test_a_transaction_is_rejected_and_sent_again_as_a_whole(rig: Rig) -> None:
    rig.settle()
    with rig.replica.transaction() as tx:
        tx.update("jobs", "job-1", {"title": "REFUSE"})
        tx.update("jobs", "job-2", {"title": "with it"})
    rig.settle()
    assert [(p.n, p.code) for p in rig.replica.conflicts()] == [(1, "bad_value"), (2, "tx_aborted")]
    assert rig.tenant.records["jobs"]["job-2"]["title"] == "Job 2"
    rig.replica.retry(1, edit={"title": "better"})
    rig.settle()
    rig.assert_in_step()
    assert rig.tenant.records["jobs"]["job-2"]["title"] == "with it"


def test_a_poisonous_op_is_found_and_set_aside_and_the_rest_is_sent(rig: Rig) -> None:
    rig.settle()
    rig.drop()
    for n in range(12):
        rig.replica.insert(
            "jobs",
            {"title": "MALFORMED" if n == 4 else f"n{n}"} | ({"price": None} if n == 4 else {}),
            record_id=f"p{n:02}",
        )
    with rig.replica.store.write() as writing:
        writing.con.execute("UPDATE overlays SET payload = '{\"title\":\"MALFORMED\"}' WHERE record_id = 'p04'")
    rig.settle()
    rig.assert_in_step()
    assert [(p.id, p.code) for p in rig.replica.conflicts()] == [("p04", "malformed")]
    assert {i for i in rig.tenant.records["jobs"] if i.startswith("p")} == {f"p{n:02}" for n in range(12)} - {"p04"}
    assert len(rig.tenant.applied_ops) == 11


def test_an_op_too_large_for_any_frame_is_rejected_locally(rig: Rig) -> None:
    rig.settle()
    rig.replica.update("jobs", "job-1", {"title": "x" * 40_000})
    rig.replica.update("jobs", "job-2", {"title": "small"})
    rig.settle()
    assert [(p.id, p.code) for p in rig.replica.conflicts()] == [("job-1", "too_large")]
    assert rig.tenant.records["jobs"]["job-2"]["title"] == "small"


def test_a_repair_fetches_only_what_differs_and_keeps_overlays(tenant: FakeTenant, rig: Rig) -> None:
    for n in range(3000):
        tenant.change("jobs", f"r-{n:05}", "insert", {"title": f"r{n}"})
    tenant.prefer_snapshot = True
    rig.settle()
    rig.drop()
    rig.replica.update("jobs", "r-00007", {"title": "pending"})
    with rig.replica.store.write() as writing:
        writing.con.execute("UPDATE main.jobs SET version = 7, title = 'rotten' WHERE id = 'r-01234'")
        writing.con.execute("DELETE FROM main.jobs WHERE id = 'r-02999'")
        writing.con.execute("INSERT INTO main.jobs (id, version) VALUES ('zz', 1)")
        writing.con.execute("UPDATE sync_state SET state_hash = ?", ["ab" * 32])
    rig.restart()
    rig.settle(20_000)
    rig.assert_in_step()
    assert rig.replica.get("jobs", "r-00007")["title"] == "pending"
    assert 1 <= rig.session.log.count("repair") <= 3
    assert rig.session.log.count("verify") < 20


def test_a_repair_of_an_emptied_table_asks_by_id_ranges_it_cannot_know(tenant: FakeTenant, rig: Rig) -> None:
    for n in range(6000):
        tenant.records["jobs"][f"r-{n:05}"] = {"id": f"r-{n:05}", "version": 1, "title": "x"}
        tenant.changed["jobs", f"r-{n:05}"] = tenant.cursor
    tenant.prefer_snapshot = True
    rig.settle()
    with rig.replica.store.write() as writing:
        writing.con.execute("DELETE FROM main.jobs")
    rig.tell(ev.VerifyWanted())
    rig.settle(20_000)
    rig.assert_in_step()
    assert rig.verified[0].differing == ("jobs",)


def test_changes_during_a_repair_are_neither_lost_nor_doubled(rig: Rig) -> None:
    rig.settle()
    rig.drop()
    with rig.replica.store.write() as writing:
        writing.con.execute("UPDATE sync_state SET state_hash = ?", ["ab" * 32])
        writing.con.execute("UPDATE main.jobs SET version = 3 WHERE id IN ('job-1', 'job-3')")
    rig.restart()
    n = 0
    while rig.step():
        if rig.state is State.REPAIRING and n < 12:
            n += 1
            rig.tenant.change(
                "jobs", f"job-{n % 3 + 1}", "update", [{"op": "replace", "path": "/title", "value": f"during {n}"}]
            )
            if n == 6:
                rig.tenant.change("jobs", "job-1", "delete", None)
                rig.tenant.change("jobs", "job-1", "insert", {"title": "again"})
    rig.assert_in_step()
    assert n >= 8


def test_verify_says_equal_and_finds_and_repairs_a_difference(rig: Rig) -> None:
    rig.settle()
    rig.tell(ev.VerifyWanted())
    rig.settle()
    assert rig.verified[-1].differing == ()
    with rig.replica.store.write() as writing:
        writing.con.execute("DELETE FROM main.jobs WHERE id = 'job-4'")
    rig.tell(ev.VerifyWanted())
    rig.settle()
    assert rig.verified[-1].differing == ("jobs",)
    rig.assert_in_step()


def test_a_wrong_token_stops_and_says_so_and_keeps_pending_work(rig: Rig) -> None:
    rig.settle()
    rig.drop()
    rig.replica.update("jobs", "job-1", {"title": "mine"})
    rig.device = "d2"
    while rig.session is None:
        rig.step()
    rig.session.tokens = {}
    rig.settle()
    assert rig.state is State.ERROR
    assert rig.engine.status.code == "bad_token"
    assert not rig.engine.status.needs_reset
    assert rig.replica.status().pending == 1


def test_a_restored_server_is_reported_and_nothing_is_merged(rig: Rig) -> None:
    rig.settle()
    rig.drop()
    rig.replica.update("jobs", "job-1", {"title": "mine"})
    rig.tenant.epoch = "f" * 32
    rig.settle()
    assert (rig.state, rig.engine.status.code) == (State.ERROR, "epoch")
    assert rig.engine.status.needs_reset
    assert "restored" in rig.engine.status.message
    assert rig.replica.get("jobs", "job-1")["title"] == "mine"


def test_a_server_that_lost_its_end_is_reported(rig: Rig) -> None:
    rig.settle()
    rig.drop()
    tenant = rig.tenant
    tenant.cursor -= 2
    del tenant.lines[-2:], tenant.hashes[-2:]
    rig.settle()
    assert (rig.state, rig.engine.status.code) == (State.ERROR, "ahead")


def test_replaced_stops_for_good(rig: Rig) -> None:
    rig.settle()
    rig.down.append(json.dumps({"type": "error", "code": "replaced", "message": "newer"}))
    rig.settle()
    assert (rig.state, rig.engine.status.code) == (State.ERROR, "replaced")


def test_bye_is_waited_out_before_connecting_again(rig: Rig) -> None:
    rig.settle()
    rig.tell(ev.Received(b'{"type":"bye","reason":"drain","retry_after":7}'))
    rig.session = None
    rig.tell(ev.Disconnected(1012, "restart"))
    assert rig.state is State.OFFLINE
    assert rig.engine.status.retry_in >= 7


def test_a_gap_and_an_unreadable_message_lead_to_catching_up_again(rig: Rig) -> None:
    rig.settle()
    rig.tenant.change("jobs", "job-1", "update", [{"op": "replace", "path": "/title", "value": "a"}])
    rig.session.live()  # lost
    rig.tenant.change("jobs", "job-1", "update", [{"op": "replace", "path": "/title", "value": "b"}])
    rig.settle()
    rig.assert_in_step()
    rig.down.append("{not json")
    rig.settle()
    rig.assert_in_step()


def test_a_lie_in_the_chain_is_never_applied(rig: Rig) -> None:
    rig.settle()
    rig.tenant.change("jobs", "job-1", "update", [{"op": "replace", "path": "/title", "value": "true"}])
    (frame,) = rig.session.live()
    rig.down.append(frame.replace("true", "lie!"))
    rig.step_down()
    assert rig.replica.get("jobs", "job-1")["title"] == "Job 1"
    rig.settle()
    rig.assert_in_step()
    assert rig.replica.get("jobs", "job-1")["title"] == "true"


def test_a_replica_restored_from_a_copy_never_takes_another_ops_answer_for_its_own(rig: Rig) -> None:
    rig.settle()
    copy = rig.path.read_bytes()
    rig.replica.store._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    copy = rig.path.read_bytes()
    rig.replica.update("jobs", "job-1", {"title": "sent and then forgotten"})
    rig.settle()
    rig.backend.close()
    rig.replica.close()
    rig.path.write_bytes(copy)
    rig.open()
    rig.replica.update("jobs", "job-2", {"title": "made on the copy"})
    rig.settle()
    rig.assert_in_step()
    assert rig.tenant.records["jobs"]["job-1"]["title"] == "sent and then forgotten"
    assert rig.tenant.records["jobs"]["job-2"]["title"] == "made on the copy"


def test_the_servers_ping_is_answered_and_silence_is_noticed(rig: Rig) -> None:
    rig.settle()
    rig.tell(ev.Received(b'{"type":"ping","ref":3}'))
    assert json.loads(rig.up.pop())["ref"] == 3
    rig.tell(ev.TimerFired("ping"))
    rig.tell(ev.TimerFired("ping"))
    assert b'"ping"' in rig.up.pop()
    rig.tell(ev.TimerFired("pong"))
    assert rig.state is State.OFFLINE


def test_another_tenants_server_is_rejected(rig: Rig) -> None:
    rig.settle()
    rig.drop()
    rig.tenant.slug = "other"
    rig.settle()
    assert rig.engine.status.code == "wrong_tenant"
