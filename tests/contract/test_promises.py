"""The invariants of docs/spec/invariants.md, tested with real sockets, processes, and databases."""

import multiprocessing
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from metadata.models import ObjectField, ObjectMetadata
from metadata.publish import publish
from sync.models import Change
from tenants.models import Device, Tenant
from tenants.tokens import revoke
from tests.contract.conftest import Connect
from tests.contract.peer import replace, storm
from tests.contract.replicas import Client, verify_replica
from tests.contract.servers import ServerProcess

pytestmark = pytest.mark.contract


def test_i2_an_op_sent_many_times_is_applied_once(peer: Connect, tenant: Tenant) -> None:
    sender = peer(tenant).live()
    ops = [sender.op("jobs", f"job-{n}", "insert", {"title": "t"}) for n in range(20)]
    assert {r["status"] for r in sender.push(*ops)} == {"applied"}
    for _ in range(5):
        start = random.randrange(19)
        results = sender.push(*ops[start:])
        assert {r["status"] for r in results} == {"duplicate"}
        assert all(r["cursor"] <= sender.cursor + 20 for r in results)
    sender.catch_up_to(sender.cursor if len(sender.lines) == 20 else sender.cursor + 20 - len(sender.lines))
    assert sorted(line["id"] for line in sender.lines) == sorted(op["id"] for op in ops)


def test_i3_cursors_are_gap_free_when_processes_write_at_once(
    server: ServerProcess, own_server: ServerProcess, open_peer: Connect, tenant: Tenant
) -> None:
    """Four clients push through two server processes. A subscriber of each receives one gap-free, chained stream."""
    ports = [server.port, own_server.port] * 2
    watchers = [open_peer(tenant, port).live() for port in ports[:2]]
    writers = [open_peer(tenant, port) for port in ports]
    for writer in writers:
        writer.socket.close()
    out: multiprocessing.Queue[int] = multiprocessing.get_context("spawn").Queue()
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=storm, args=(port, w.device, w.token, w.state(), f"w{n}", 20, out))
        for n, (w, port) in enumerate(zip(writers, ports, strict=True))
    ]
    for process in processes:
        process.start()
    accepted = sum(out.get(timeout=90) for _ in processes)
    for process in processes:
        process.join(20)
    assert accepted == 4 * 20 * 5
    head = watchers[0].cursor - len(watchers[0].lines) + accepted
    for watcher in watchers:
        watcher.catch_up_to(head)
        assert len(watcher.lines) == accepted
    cursors = list(Change.objects.filter(tenant=tenant).order_by("cursor").values_list("cursor", flat=True))
    assert cursors == list(range(1, head + 1))


def test_i4_every_subscriber_sees_every_change_once_and_in_order(peer: Connect, tenant: Tenant) -> None:
    """Subscribers join and leave repeatedly while others write. `Peer` checks order, gaps, and chain of each frame."""
    start = peer(tenant)
    writers, stop = [peer(tenant).live() for _ in range(3)], threading.Event()
    pushed = [0, 0, 0]

    def write(number: int) -> None:
        while not stop.is_set():
            n = pushed[number]
            results = writers[number].push(
                *(writers[number].op("jobs", f"w{number}-{n + k}", "insert", {"title": "t"}) for k in range(3))
            )
            assert {r["status"] for r in results} == {"applied"}
            pushed[number] += 3

    threads = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    seen: list[str] = []
    position = start.state()
    for _ in range(8):
        visitor = peer(tenant)
        visitor.cursor, visitor.state_hash = int(position["cursor"]), bytes.fromhex(position["state_hash"])
        visitor.live()
        deadline = time.monotonic() + random.uniform(0.05, 0.4)
        while time.monotonic() < deadline:
            visitor.receive()
        seen += [line["id"] for line in visitor.lines]
        position = visitor.state()
        visitor.socket.close()
    stop.set()
    for thread in threads:
        thread.join()
    last = peer(tenant)
    head = last.cursor
    last.cursor, last.state_hash = int(position["cursor"]), bytes.fromhex(position["state_hash"])
    last.live()
    last.catch_up_to(head)
    seen += [line["id"] for line in last.lines]
    assert len(seen) == len(set(seen)) == sum(pushed)


def test_i10_a_tenant_under_load_or_with_bad_data_does_not_stop_another(
    peer: Connect, tenant: Tenant, other_tenant: Tenant
) -> None:
    noisy, quiet, stop = peer(other_tenant).live(), peer(tenant).live(), threading.Event()

    def make_noise() -> None:
        n = 0
        while not stop.is_set():
            good = [noisy.op("jobs", f"n{n}-{k}", "insert", {"title": "t" * 500}) for k in range(200)]
            bad = [noisy.op("jobs", f"bad{n}-{k}", "insert", {"title": k}) for k in range(50)]
            noisy.push(*good, *bad)
            n += 1

    thread = threading.Thread(target=make_noise)
    thread.start()
    try:
        times = []
        for n in range(40):
            started = time.monotonic()
            assert quiet.push(quiet.op("jobs", f"q{n}", "insert", {"title": "t"}))[0]["status"] == "applied"
            times.append(time.monotonic() - started)
    finally:
        stop.set()
        thread.join()
    assert max(times) < 10, "a quiet tenant waited for a noisy one"
    quiet.catch_up_to(quiet.cursor if len(quiet.lines) == 40 else quiet.cursor + 40 - len(quiet.lines))
    assert {line["id"] for line in quiet.lines} == {f"q{n}" for n in range(40)}


def test_i11_a_slow_reader_uses_bounded_memory_and_still_receives_everything(
    own_server: ServerProcess, open_peer: Connect, tenant: Tenant
) -> None:
    """33 MB of changes without, then 33 MB with a slow subscriber: the latter may use little more memory."""
    fast = open_peer(tenant, own_server.port).live()

    def storm(name: str) -> None:
        for round_ in range(60):
            fast.push(*(fast.op("jobs", f"{name}-{round_}-{n}", "insert", {"title": "x" * 1000}) for n in range(500)))

    storm("warm")
    slow = open_peer(tenant, own_server.port).live()
    before = own_server.memory_kib()
    storm("job")
    grown = own_server.memory_kib() - before
    assert grown < 16 * 1024, f"{grown} KiB more for a reader that did not read"
    slow.catch_up_to(slow.cursor + 30_000, timeout=60)
    assert len({line["id"] for line in slow.lines}) == 30_000


def test_a_revoked_device_is_disconnected_and_others_continue(peer: Connect, tenant: Tenant) -> None:
    victim, other = peer(tenant).live(), peer(tenant).live()
    revoke(Device.objects.get(pk=victim.device))
    assert victim.receive(timeout=30)["code"] == "revoked"
    assert other.push(other.op("jobs", "a", "insert", {"title": "t"}))[0]["status"] == "applied"


def test_a_conflict_is_kept_and_resolved_by_a_new_op(peer: Connect, tenant: Tenant) -> None:
    one, two = peer(tenant).live(), peer(tenant).live()
    one.push(one.op("jobs", "a", "insert", {"title": "first", "notes": "n"}))
    assert two.push(two.op("jobs", "a", "update", replace("notes", "two"), base=1))[0]["status"] == "applied"
    merged, conflict = one.push(
        one.op("jobs", "a", "update", replace("title", "one"), base=1),
        one.op("jobs", "a", "update", replace("notes", "one"), base=1),
    )
    assert merged["status"] == "merged"
    assert conflict["status"] == "conflict"
    assert (conflict["mine"]["notes"], conflict["theirs"]["notes"], conflict["base"]["notes"]) == ("one", "two", "n")
    settled = one.push(
        one.op("jobs", "a", "update", replace("notes", "both"), base=conflict["version"], settles=conflict["conflict"])
    )[0]
    assert settled["status"] == "applied"


@pytest.fixture
def client(server: ServerProcess, tenant: Tenant, tmp_path: Path) -> Iterator[Client]:
    """A replica of the Python client on its own device."""
    made = Client(tenant, server.url, tmp_path / "replica.db")
    yield made
    made.replica.close()


def test_i5_a_snapshot_and_the_changes_after_it_equal_a_later_snapshot(
    client: Client, peer: Connect, tenant: Tenant, tmp_path: Path
) -> None:
    writer = peer(tenant).live()
    client.sync()
    for round_ in range(5):
        values = {
            "title": f"t{round_}",
            "attrs": {"n": [round_, {"x": 1.5}]},
            "price": "12.50",
            "starts_at": "2026-03-01T10:00:00.000000Z",
        }
        writer.push(*(writer.op("jobs", f"job-{round_}-{n}", "insert", values) for n in range(20)))
        writer.push(*(writer.op("jobs", f"job-{round_}-{n}", "update", replace("crew", n), base=1) for n in range(10)))
        writer.push(*(writer.op("jobs", f"job-{round_}-{n}", "delete", base=1) for n in range(10, 15)))
        job = ObjectMetadata.objects.get(tenant=tenant, object_name="job")
        ObjectField.objects.create(
            object_type=job,
            position=90 + round_,
            name=f"late_{round_}",
            kind="integer",
            label="Late",
            default=round_ or None,
        )
        publish(tenant.pk)
        if round_ % 2:
            client.sync()
    client.sync()
    verify_replica(client, tmp_path)
    writer.socket.close()


def test_i7_pending_overlays_survive_publishes_and_a_restart(
    client: Client, peer: Connect, tenant: Tenant, tmp_path: Path
) -> None:
    """Offline edits survive publishes that add a field and retire an edited one, a snapshot, and a conflict."""
    other = peer(tenant).live()
    client.sync()
    job = client.replica.insert("jobs", {"title": "mine", "notes": "draft"})
    client.sync()
    other.catch_up_to(other.cursor + 1)
    client.replica.update("jobs", job, {"title": "pending title"})
    client.replica.update("jobs", job, {"notes": "pending notes"})
    client.replica.update("jobs", job, {"crew": 4})
    other.push(other.op("jobs", job, "update", replace("title", "theirs"), base=1))
    fields = ObjectField.objects.filter(object_type__tenant=tenant, object_type__object_name="job")
    fields.filter(name="notes").update(retired=True)
    ObjectField.objects.create(object_type=fields[0].object_type, position=99, name="added", kind="text", label="Added")
    publish(tenant.pk)
    client.reopen()
    client.sync(reset=True)
    waiting = {(p.state, tuple(op["path"] for op in p.payload)) for p in client.replica.conflicts()}
    assert waiting == {("conflict", ("/title",)), ("parked", ("/notes",))}
    record = client.replica.get("jobs", job)
    assert record is not None
    assert (record["crew"], record["title"]) == (4, "theirs")
    conflict = next(p for p in client.replica.conflicts() if p.state == "conflict")
    client.replica.resolve(conflict.n, "mine")
    client.sync()
    assert client.replica.find("jobs", {"id": job})[0]["title"] == "pending title"
    verify_replica(client, tmp_path)
