"""Turns of the writer, the work it allows, and what its thread survives."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import OperationalError

from sync import metrics
from sync.log.changes import record_lines
from sync.models import Change
from sync.settle import writer
from sync.wire.codes import Code
from sync.wire.lines import decode_line
from tenants.locks import tenant_transaction
from tests.sync.pushing import Pusher, gathered, job, lines, noted

pytestmark = pytest.mark.django_db(transaction=True)


def spend_turns(monkeypatch, ops):
    """End every turn after so many txs."""

    class Counted:
        def __init__(self, settings):
            self.asked = 0

        def is_over(self, work):
            self.asked += 1
            return self.asked >= ops

    monkeypatch.setattr(writer, "Turn", Counted)


def test_a_long_push_is_written_in_turns_and_lets_other_tenants_in_between(loom, monkeypatch, announced):
    spend_turns(monkeypatch, 3)
    long, short = Pusher(noted()), Pusher(noted())
    announced.clear()
    ops = [long.insert("notes", f"n{n}", title="x") for n in range(10)]
    tail = [long.insert("notes", f"z{n}") for n in range(5)]
    for op in tail:
        op.tx = "together"
    with ThreadPoolExecutor(1) as pool:
        with tenant_transaction(long.actor.tenant_id):
            answers = pool.submit(
                asyncio.run, gathered(loom, [job(long, *ops, *tail), job(short, short.insert("notes", "s"))])
            )
            time.sleep(0.3)
        mine, theirs = answers.result()
    loom.stop()
    assert [result.status for result in mine] == ["applied"] * 15
    assert [result.op_id for result in mine] == [op.op_id for op in (*ops, *tail)]
    assert [result.status for result in theirs] == ["applied"]
    tenants = [commit.tenant_id for commit in announced]
    assert tenants.count(long.actor.tenant_id) > 2, "several turns"
    assert tenants.index(short.actor.tenant_id) == 1, "the other tenant waits for one turn"
    sizes = [len(commit.lines) for commit in announced if commit.tenant_id == long.actor.tenant_id]
    assert max(sizes) >= 5, "a tx is never divided"
    assert sum(sizes) == 15


def test_a_batch_that_fails_is_retried_in_smaller_pieces(loom, monkeypatch):
    """An error that only the write finds: nothing tells which op is to blame but trying fewer."""
    tenant = noted()
    pusher = Pusher(tenant)
    flush, tried = writer.settle.__globals__["flush"], []

    def fragile(batch):
        tried.append(len(batch.entries))
        if any(entry.record_id == "poison" for entry in batch.entries):
            raise ValueError("the database would not take a value")
        return flush(batch)

    monkeypatch.setitem(writer.settle.__globals__, "flush", fragile)
    ops = [pusher.insert("notes", "poison" if n == 5 else f"n{n}") for n in range(16)]
    (answer,) = asyncio.run(gathered(loom, [job(pusher, *ops)]))
    assert [result.code for result in answer] == [Code.INTERNAL if n == 5 else None for n in range(16)]
    assert len(lines(tenant)) == 15
    assert len(tried) < 16, "pieces are halved, not tried op by op"


def test_an_op_with_oddly_typed_members_never_reaches_the_engine(loom, monkeypatch):
    pusher = Pusher(noted())
    seen = []
    decide = writer.settle.__globals__["decide"]
    monkeypatch.setitem(writer.settle.__globals__, "decide", lambda tx, op: seen.append(op.id) or decide(tx, op))
    odd = [
        pusher.patch("notes", "a", 1, {"op": [], "path": "/title", "value": 1}),
        pusher.op("update", "notes", "b", 1, {"op": "add"}),
        pusher.op("insert", "notes", {}, 0, {}),
    ]
    good = pusher.insert("notes", "good")
    (answer,) = asyncio.run(gathered(loom, [job(pusher, *odd, good)]))
    assert [result.code for result in answer] == [Code.BAD_PATCH, Code.BAD_PATCH, Code.BAD_ID, None]
    assert seen == ["good"]


def test_the_writer_survives_a_log_that_cannot_be_written(loom, monkeypatch):
    class Full:
        def warning(self, event, **values):
            raise OSError(28, "No space left on device")

        error = warning

    monkeypatch.setattr("sync.settle.quiet_log.logger", Full())
    pusher = Pusher(noted())
    settle, failures = writer.settle, iter([OperationalError("disk is full"), ZeroDivisionError()])

    def full(locked, pushes, turn):
        for error in failures:
            raise error
        return settle(locked, pushes, turn)

    monkeypatch.setattr(writer, "settle", full)
    postponed, failed = (
        asyncio.run(gathered(loom, [job(pusher, pusher.insert("notes", name))]))[0] for name in ("a", "b")
    )
    assert [result.code for result in postponed] == [Code.INTERNAL]
    assert [result.status for result in failed] == ["applied"]
    assert loom.healthy


def test_an_error_in_the_writer_itself_answers_the_push_and_spares_the_thread(loom, monkeypatch):
    pusher = Pusher(noted())
    with monkeypatch.context() as broken:
        broken.setattr(loom, "_settled", lambda *_: 1 / 0)
        (answer,) = asyncio.run(gathered(loom, [job(pusher, pusher.insert("notes", "a"))]))
    assert (answer.code, answer.retry_after) == (Code.UNAVAILABLE, 5)
    thread = loom._thread
    (answer,) = asyncio.run(gathered(loom, [job(pusher, pusher.insert("notes", "b"))]))
    assert answer[0].status == "applied"
    assert loom._thread is thread


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ended_is_started_again(loom, monkeypatch):
    pusher = Pusher(noted())
    with monkeypatch.context() as broken:
        broken.setattr(loom, "_write", lambda *_: (_ for _ in ()).throw(SystemExit))
        (answer,) = asyncio.run(gathered(loom, [job(pusher, pusher.insert("notes", "a"))]))
        assert answer.code == Code.UNAVAILABLE
        loom._thread.join()
    assert not loom.healthy
    (answer,) = asyncio.run(gathered(loom, [job(pusher, pusher.insert("notes", "b"))]))
    assert answer[0].status == "applied"
    assert loom.healthy


def test_the_changes_that_a_merge_reads_back_are_bounded_by_their_size(loom):
    tenant = noted()
    pusher = Pusher(tenant)
    pusher.ok(pusher.insert("notes", "n", attrs={"a": "x" * 1000}))
    for n in range(1, 6):
        pusher.ok(pusher.update("notes", "n", n, body=str(n) * 1000))
    newest = Change.objects.filter(tenant=tenant).latest("cursor").cursor
    assert len(record_lines(tenant.pk, newest, 100)) == 6
    some = record_lines(tenant.pk, newest, 100, most_bytes=2500)
    assert [decode_line(line)["version"] for line in some] == [4, 5, 6]


def test_the_work_of_a_tx_is_bounded_as_a_whole(loom, settings):
    settings.MOAT = {**settings.MOAT, "TX_WORK": 30_000}
    pusher = Pusher(noted())
    big = {"a": "x" * 5000}
    ops = [pusher.op("insert", "notes", f"n{n}", 0, {"attrs": big}) for n in range(3)]
    asyncio.run(gathered(loom, [job(pusher, *ops)]))
    updates = [pusher.patch("notes", f"n{n}", 1, {"op": "add", "path": "/attrs/b", "value": 1}) for n in range(3)]
    (alone,) = asyncio.run(gathered(loom, [job(pusher, updates[0])]))
    assert alone[0].status == "applied"
    for op in updates[1:]:
        op.tx = "t"
    before = metrics.limit_rejections.labels("tx_work")._value.get()
    (answer,) = asyncio.run(gathered(loom, [job(pusher, *updates[1:])]))
    assert sorted(result.code for result in answer) == [Code.TOO_LARGE, Code.TX_ABORTED]
    assert metrics.limit_rejections.labels("tx_work")._value.get() == before + 1
