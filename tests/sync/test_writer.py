"""Group commit: many pushers, one thread, durable results, and database failures."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import OperationalError, connection, connections, transaction

from sync.errors import PushRejected
from sync.log import commit as commits
from sync.log.verify import verify_log
from sync.models import Change, Conflict
from sync.settle import writer
from sync.settle.push import push
from sync.settle.writer import PushJob
from sync.wire.codes import Code
from sync.wire.ops import Actor, Op
from tenants.locks import lock_tenant, tenant_transaction
from tenants.models import Tenant
from tests.sync.pushing import Pusher, gathered, job, lines, noted

pytestmark = pytest.mark.django_db(transaction=True)


def test_waiting_pushes_are_committed_together(loom, announced):
    tenant = noted()
    pushers = [Pusher(tenant) for _ in range(10)]
    announced.clear()
    jobs = [job(p, *(p.insert("notes", f"{n}-{k}", title="x") for k in range(5))) for n, p in enumerate(pushers)]
    with ThreadPoolExecutor(1) as pool:
        with tenant_transaction(tenant.pk):  # the writer waits for the tenant's lock, and all pushes wait with it
            answers = pool.submit(asyncio.run, gathered(loom, jobs))
            time.sleep(0.5)
        results = answers.result()
    loom.stop()  # it delivers results first and announces afterwards
    assert all(r.status == "applied" for answer in results for r in answer)
    assert len(lines(tenant)) == 50
    assert len(announced) <= 2, "one commit for the first push, one for all that arrived meanwhile"
    # The announcements of one writer cover the log without gaps or overlaps.
    ends = [(commit.from_cursor, commit.to_cursor) for commit in announced]
    assert [a for a, _ in ends[1:]] == [b for _, b in ends[:-1]]
    assert [line for commit in announced for _, line in commit.lines] == list(
        Change.objects.filter(tenant=tenant, table_name="notes").order_by("cursor").values_list("line", flat=True)
    )


def test_a_change_is_announced_after_its_commit(loom):
    tenant = noted()
    pusher = Pusher(tenant)
    seen = []

    def look(commit):
        def count():
            seen.append(Change.objects.filter(tenant=tenant, cursor__lte=commit.to_cursor).count() == commit.to_cursor)
            connections.close_all()

        other = threading.Thread(target=count)
        other.start()
        other.join()

    end = commits.subscribe(look)
    asyncio.run(gathered(loom, [job(pusher, pusher.insert("notes", "n"))]))
    loom.stop()
    end()
    assert seen == [True]


def test_a_failing_listener_does_not_affect_others(loom, announced):
    pusher = Pusher(noted())
    end = commits.subscribe(lambda commit: 1 / 0)
    (answer,) = asyncio.run(gathered(loom, [job(pusher, pusher.insert("notes", "n"))]))
    loom.stop()
    end()
    assert answer[0].status == "applied"
    assert announced


def test_an_op_that_breaks_the_engine_is_rejected_and_the_others_are_applied(loom, monkeypatch):
    tenant = noted()
    good, bad = Pusher(tenant), Pusher(tenant)
    decide = writer.settle.__globals__["decide"]

    def fragile(tx, op):
        if op.id == "poison":
            raise ZeroDivisionError
        return decide(tx, op)

    monkeypatch.setitem(writer.settle.__globals__, "decide", fragile)
    jobs = [
        job(good, good.insert("notes", "a")),
        job(bad, bad.insert("notes", "b"), bad.insert("notes", "poison"), bad.insert("notes", "c")),
    ]
    fine, mixed = asyncio.run(gathered(loom, jobs))
    assert [r.status for r in fine] == ["applied"]
    assert [r.code for r in mixed] == [None, Code.INTERNAL, None]
    assert sorted(line["id"] for line in lines(tenant)) == ["a", "b", "c"]


def test_a_push_is_retried_while_the_database_is_busy(loom, monkeypatch):
    pusher = Pusher(noted())
    settle, failures = writer.settle, iter([OperationalError("database is locked")] * 3)

    def busy(locked, pushes, turn):
        for error in failures:
            raise error
        return settle(locked, pushes, turn)

    monkeypatch.setattr(writer, "settle", busy)
    (answer,) = asyncio.run(gathered(loom, [job(pusher, pusher.insert("notes", "n"))]))
    assert answer[0].status == "applied"


def test_a_commit_whose_confirmation_was_lost_is_not_repeated(loom, monkeypatch):
    tenant = noted()
    pusher = Pusher(tenant)
    settle_once, lost = loom._settle, iter([True])

    def lose_answer(tenant_id, pushes):
        outcome = settle_once(tenant_id, pushes)
        if next(lost, False):
            raise OperationalError("the connection broke during COMMIT")
        return outcome

    monkeypatch.setattr(loom, "_settle", lose_answer)
    (answer,) = asyncio.run(gathered(loom, [job(pusher, pusher.insert("notes", "n"))]))
    assert answer[0].status == "duplicate"
    assert len(lines(tenant)) == 1


def test_a_push_is_rejected_as_unavailable_if_the_database_stays_down(loom, monkeypatch, settings):
    settings.MOAT = {**settings.MOAT, "GIVE_UP_AFTER": 0.1}
    pusher = Pusher(noted())

    def away(locked, pushes, turn):
        raise OperationalError("gone")

    monkeypatch.setattr(writer, "settle", away)
    (answer,) = asyncio.run(gathered(loom, [job(pusher, pusher.insert("notes", "n"))]))
    assert isinstance(answer, PushRejected)
    assert (answer.code, answer.retry_after) == (Code.UNAVAILABLE, 5)


def test_a_locked_tenant_does_not_delay_another(loom, monkeypatch, settings):
    settings.MOAT = {**settings.MOAT, "GIVE_UP_AFTER": 0.5}
    slow, fast = Pusher(noted()), Pusher(noted())
    settle = writer.settle

    def half(locked, pushes, turn):
        if locked.id == slow.actor.tenant_id:
            raise OperationalError("locked by a publish")
        return settle(locked, pushes, turn)

    monkeypatch.setattr(writer, "settle", half)

    async def both():
        stuck = loom.submit(job(slow, slow.insert("notes", "n")))
        done = await loom.submit(job(fast, fast.insert("notes", "n")))
        assert not stuck.done()
        with pytest.raises(PushRejected):
            await stuck
        return done

    assert asyncio.run(both())[0].status == "applied"


def in_one_batch(loom, monkeypatch, other, *jobs):
    """Submit pushes that share a batch: the writer is busy with another tenant's meanwhile."""
    settle, all_wait, sizes = writer.settle, threading.Event(), []

    def busy(locked, pushes, turn):
        all_wait.wait(20)
        sizes.append(len(pushes))
        return settle(locked, pushes, turn)

    monkeypatch.setattr(writer, "settle", busy)

    async def submit():
        waiting = [loom.submit(job(other, other.insert("notes", "busy")))]
        waiting += [loom.submit(each) for each in jobs]
        all_wait.set()
        return (await asyncio.gather(*waiting))[1:]

    results = asyncio.run(submit())
    assert sizes == [1, len(jobs)]
    return results


def test_i2_an_op_that_is_sent_twice_within_one_batch_is_applied_once(loom, monkeypatch):
    tenant = noted()
    pusher = Pusher(tenant)
    first, second = pusher.insert("notes", "a", title="x"), pusher.insert("notes", "b", title="x")
    sent = [job(pusher, first), job(pusher, first, second), job(pusher, first, second)]
    once, again, third = in_one_batch(loom, monkeypatch, Pusher(noted()), *sent)
    assert [result.status for result in (*once, *again, *third)] == [
        "applied",
        "duplicate",
        "applied",
        "duplicate",
        "duplicate",
    ]
    assert (again[0].version, again[0].cursor) == (once[0].version, once[0].cursor)
    assert [line["id"] for line in lines(tenant)] == ["a", "b"]


def test_i2_a_conflict_that_is_sent_twice_within_one_batch_is_kept_once(loom, monkeypatch):
    tenant = noted("manual")
    office, pusher = Pusher(tenant), Pusher(tenant)
    office.ok(office.insert("notes", "n", title="a"))
    office.ok(office.update("notes", "n", 1, title="b"))
    op = pusher.update("notes", "n", 1, title="c")
    one, again = in_one_batch(loom, monkeypatch, Pusher(noted()), job(pusher, op), job(pusher, op))
    assert [result.status for result in (*one, *again)] == ["conflict", "conflict"]
    assert one[0].conflict.conflict == again[0].conflict.conflict
    assert Conflict.objects.count() == 1


def test_tenants_take_turns_while_one_has_much_to_write(loom, monkeypatch, settings):
    settings.MOAT = {**settings.MOAT, "BATCH_OPS": 1}
    first, heavy, light = Pusher(noted()), Pusher(noted()), Pusher(noted())
    settle, turns, everything_waits = writer.settle, [], threading.Event()

    def in_order(locked, pushes, turn):
        everything_waits.wait(20)
        turns.append(locked.id)
        return settle(locked, pushes, turn)

    monkeypatch.setattr(writer, "settle", in_order)

    async def crowd():
        waiting = [loom.submit(job(first, first.insert("notes", "n")))]
        waiting += [loom.submit(job(heavy, heavy.insert("notes", f"n{n}"))) for n in range(4)]
        waiting += [loom.submit(job(light, light.insert("notes", f"n{n}"))) for n in range(2)]
        everything_waits.set()
        await asyncio.gather(*waiting)

    asyncio.run(crowd())
    a, b = heavy.actor.tenant_id, light.actor.tenant_id
    # Whether the writer took the first push alone before the others were there does not matter.
    assert [tenant for tenant in turns if tenant != first.actor.tenant_id] == [a, b, a, b, a, a]


def test_a_push_that_keeps_failing_is_tried_alone_so_that_the_one_after_it_gets_through(loom, monkeypatch, settings):
    settings.MOAT = {**settings.MOAT, "GIVE_UP_AFTER": 0.5}
    tenant = noted()
    first, bad, good = Pusher(tenant), Pusher(tenant), Pusher(tenant)
    settle, both_wait = writer.settle, threading.Event()

    def fragile(locked, pushes, turn):
        both_wait.wait(20)
        if any(op.id == "poison" for _, ops in pushes for op in ops):
            raise OperationalError("statement timeout")
        return settle(locked, pushes, turn)

    monkeypatch.setattr(writer, "settle", fragile)

    async def together():
        waiting = [
            loom.submit(job(each, each.insert("notes", name)))
            for each, name in ((first, "first"), (bad, "poison"), (good, "fine"))
        ]
        both_wait.set()
        return await asyncio.gather(*waiting, return_exceptions=True)

    _, refused, written = asyncio.run(together())
    assert (refused.code, [result.status for result in written]) == (Code.UNAVAILABLE, ["applied"])
    assert "fine" in {line["id"] for line in lines(tenant)}


def test_a_push_that_failed_twice_takes_no_new_push_along(loom, monkeypatch, settings):
    settings.MOAT = {**settings.MOAT, "GIVE_UP_AFTER": 0.5}
    tenant = noted()
    bad, late = Pusher(tenant), Pusher(tenant)
    settle, batches, tried = writer.settle, [], threading.Event()

    def fragile(locked, pushes, turn):
        batches.append([op.id for _, ops in pushes for op in ops])
        if "poison" in batches[-1]:
            if len(batches) == 2:
                tried.set()
                time.sleep(0.05)
            raise OperationalError("statement timeout")
        return settle(locked, pushes, turn)

    monkeypatch.setattr(writer, "settle", fragile)

    async def one_after_the_other():
        first = loom.submit(job(bad, bad.insert("notes", "poison")))
        await asyncio.to_thread(tried.wait, 20)
        return await asyncio.gather(first, loom.submit(job(late, late.insert("notes", "late"))), return_exceptions=True)

    refused, written = asyncio.run(one_after_the_other())
    assert (refused.code, [result.status for result in written]) == (Code.UNAVAILABLE, ["applied"])
    assert len(batches) > 3
    assert batches == [["poison"]] * (len(batches) - 1) + [["late"]]


def test_a_full_queue_rejects_pushes_with_retry_after(loom, settings):
    settings.MOAT = {**settings.MOAT, "QUEUE_OPS": 3}
    pusher = Pusher(noted())
    jobs = [job(pusher, pusher.insert("notes", f"a{n}"), pusher.insert("notes", f"b{n}")) for n in range(50)]
    answers = asyncio.run(gathered(loom, jobs))
    refused = [a for a in answers if isinstance(a, PushRejected)]
    assert refused
    assert {a.code for a in refused} == {Code.OVERLOADED}
    assert refused[0].retry_after


def test_stopping_writes_the_waiting_pushes_first(loom):
    tenant = noted()
    pusher = Pusher(tenant)

    async def submit_and_stop():
        futures = [loom.submit(job(pusher, pusher.insert("notes", f"n{n}"))) for n in range(20)]
        await asyncio.to_thread(loom.stop)
        return await asyncio.gather(*futures)

    assert [r.status for (r,) in asyncio.run(submit_and_stop())] == ["applied"] * 20
    assert len(lines(tenant)) == 20


def test_a_rejected_push_does_not_affect_its_batch(loom):
    tenant = noted()
    good, bad = Pusher(tenant), Pusher(tenant)
    first, second = bad.insert("notes", "x"), bad.insert("notes", "y")
    fine, refused = asyncio.run(gathered(loom, [job(good, good.insert("notes", "a")), job(bad, second, first)]))
    assert fine[0].status == "applied"
    assert refused.code == Code.OP_ORDER


def test_a_push_of_an_unknown_tenant_is_rejected(loom):
    (answer,) = asyncio.run(gathered(loom, [PushJob(Actor(987654, "x"), [Op(1, None, "notes", "n", "insert", 0, {})])]))
    assert isinstance(answer, PushRejected)


def test_a_disconnected_caller_does_not_stop_the_writer(loom):
    tenant = noted()
    pusher = Pusher(tenant)

    async def leave():
        loom.submit(job(pusher, pusher.insert("notes", "a")))

    asyncio.run(leave())
    (answer,) = asyncio.run(gathered(loom, [job(pusher, pusher.insert("notes", "b"))]))
    assert answer[0].status == "applied"
    assert len(lines(tenant)) == 2


def test_threads_and_the_writer_together_keep_cursors_gap_free(loom):
    tenant = noted()
    threads_of = [Pusher(tenant) for _ in range(3)]
    through_writer = [Pusher(tenant) for _ in range(3)]

    def directly(pusher, name):
        try:
            for n in range(8):
                push(
                    pusher.actor,
                    [
                        pusher.insert("notes", f"{name}-{n}", title="x"),
                        pusher.insert("notes", "concurrent", title=name),
                    ],
                )
        finally:
            connections.close_all()

    threads = [threading.Thread(target=directly, args=(p, f"t{n}")) for n, p in enumerate(threads_of)]
    for thread in threads:
        thread.start()
    jobs = [job(p, p.insert("notes", f"w{n}-{k}")) for n, p in enumerate(through_writer) for k in range(8)]
    answers = asyncio.run(gathered(loom, jobs))
    for thread in threads:
        thread.join()
    assert all(a[0].status == "applied" for a in answers)
    log = lines(tenant)
    assert len(log) == 3 * 8 + 3 * 8 + 1
    assert [line["cursor"] for line in log] == list(range(log[0]["cursor"], log[0]["cursor"] + len(log)))
    assert verify_log(tenant.pk).problems == []


def test_a_push_inside_a_transaction_that_is_rolled_back_is_neither_kept_nor_announced(announced):
    tenant = noted()
    pusher = Pusher(tenant)
    announced.clear()
    before = Tenant.objects.get(pk=tenant.pk)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        assert pusher.one(pusher.insert("notes", "n")).status == "applied"
        raise ZeroDivisionError
    after = Tenant.objects.get(pk=tenant.pk)
    assert (after.cursor, bytes(after.state_hash)) == (before.cursor, bytes(before.state_hash))
    assert announced == []
    pusher.ok(pusher.insert("notes", "n"))
    assert len(announced) == 1


@pytest.mark.skipif("connection.vendor != 'postgresql'")
def test_waiting_for_a_locked_tenant_ends(loom, settings):
    settings.MOAT = {**settings.MOAT, "LOCK_SECONDS": 0.05, "GIVE_UP_AFTER": 0.3}
    tenant = noted()
    pusher = Pusher(tenant)
    with transaction.atomic():
        lock_tenant(tenant.pk)
        (answer,) = asyncio.run(gathered(loom, [job(pusher, pusher.insert("notes", "n"))]))
    assert answer.code == Code.UNAVAILABLE
    assert connection.in_atomic_block is False
