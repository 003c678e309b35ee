"""moat_client.v1: the engine against the server, with every kind of bad luck."""

import contextlib
import random
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metadata.catalog import schema_of
from moat_client.errors import MoatError, Unreachable
from moat_client.v1 import (
    Config,
    EditConflict,
    EntityStore,
    Keep,
    Refusal,
    SyncEngine,
    Yield,
    field_merge,
    last_write_wins,
    server_wins,
)
from sync.entities import cbor
from sync.log.prune import prune
from sync.models import Change
from sync.records import rows
from tenants.models import Device, Tenant
from tests.builders import make_tenant
from tests.sync.pushing import Pusher, values
from tests.v1.conftest import make_notes
from tests.v1.http import Http
from tests.v1.wire import Wire, contents, store_at

pytestmark = pytest.mark.django_db

pytestmark = pytest.mark.django_db


def test_a_store_is_of_the_first_database_and_device_that_let_it_in(notes: Tenant, tmp_path: Path) -> None:
    http = Http(notes)
    with EntityStore(tmp_path / "s.db") as store:
        with pytest.raises(Refusal):
            SyncEngine(store, Config("https://x", "typo", http.device, lambda: ""), calls=Wire(http)).sync()
        SyncEngine(store, Config("https://x", notes.slug, http.device, lambda: ""), calls=Wire(http)).sync()
        for database, device in (("typo", http.device), (notes.slug, "typo")):
            with pytest.raises(MoatError, match="a different file"):
                SyncEngine(store, Config("https://x", database, device, lambda: ""), calls=Wire(http))


def test_two_stores_share_what_they_write(notes: Tenant, tmp_path: Path) -> None:
    a, one, _ = store_at(tmp_path / "a.db", Http(notes))
    b, two, _ = store_at(tmp_path / "b.db", Http(notes))
    a.collection("notes").put("n1", {"title": "A", "own": b"\x00"})
    a.collection("notes").put("n1", {"title": "B", "own": b"\x00"})
    a.collection("notes").put("n2", {"title": "C"})
    a.collection("notes").delete("n2")
    events: list[str] = []
    one.listen(lambda event, details: events.append(event))
    done = one.sync()
    assert (done.pushed, one.status().pending, a.queued()) == (2, 0, [])
    assert "pushed" in events
    two.sync()
    assert contents(a) == contents(b) == {("notes", "n1"): cbor.encode({"title": "B", "own": b"\x00"})}
    live = Pusher(notes)
    live.ok(live.update("notes", "n1", 1, title="live"))
    one.sync()
    assert a.collection("notes").get("n1") == {"title": "live", "own": b"\x00"}
    assert values(notes, "notes", "n1") == {"title": "live"}


@pytest.mark.parametrize("resolver", ["server", "last", "merge", "custom", "slow"])
def test_each_resolver(notes: Tenant, tmp_path: Path, resolver: str) -> None:
    async def slow(clash: EditConflict) -> Keep | Yield:
        return Keep(cbor.encode({"title": "slow"}))

    chosen: Any = {
        "server": server_wins,
        "last": last_write_wins,
        "merge": field_merge,
        "custom": lambda clash: Keep(cbor.encode({"title": "custom"})),
        "slow": slow,
    }[resolver]
    a, one, _ = store_at(tmp_path / "a.db", Http(notes))
    b, two, _ = store_at(tmp_path / "b.db", Http(notes), resolver=chosen)
    a.collection("notes").put("n1", {"title": "0", "body": "0"})
    one.sync()
    two.sync()
    a.collection("notes").put("n1", {"title": "A", "body": "0"})
    one.sync()
    for n in range(3):
        b.collection("notes").put("n1", {"title": "0", "body": f"B{n}"})
    done = two.sync()
    one.sync()
    wanted = {
        "server": {"title": "A", "body": "0"},
        "last": {"title": "0", "body": "B2"},
        "merge": {"title": "A", "body": "B2"},
        "custom": {"title": "custom"},
        "slow": {"title": "slow"},
    }[resolver]
    assert done.conflicts == 1
    assert a.collection("notes").get("n1") == b.collection("notes").get("n1") == wanted
    assert b.query('SELECT count(*) FROM "conflicts"') == [(1,)]
    assert b.queued() == []


def test_an_op_the_server_will_never_take_is_set_aside_and_the_rest_goes_on(notes: Tenant, tmp_path: Path) -> None:
    a, one, _ = store_at(tmp_path / "a.db", Http(notes))
    a.collection("notes").put("n1", {"title": "A"})
    a.collection("notes").put("n2", {"number": "no number"})
    a.collection("nowhere").put("n3", {})
    a.collection("notes").put("n4", {"title": "D"})
    assert one.sync().refused == 2
    assert (one.status().refused, one.status().pending) == (2, 0)
    assert a.collection("notes").get("n2") == {"number": "no number"}
    assert values(notes, "notes", "n4") == {"title": "D"}


def test_a_pruned_cursor_leads_to_a_fresh_start_that_keeps_pending_work(notes: Tenant, tmp_path: Path) -> None:
    a, one, _ = store_at(tmp_path / "a.db", Http(notes))
    b, two, _ = store_at(tmp_path / "b.db", Http(notes))
    for n in range(5):
        a.collection("notes").put(f"n{n}", {"title": str(n)})
    one.sync()
    two.sync()
    b.collection("notes").put("mine", {"title": "mine"})
    a.collection("notes").delete("n0")
    a.collection("notes").put("n1", {"title": "new"})
    one.sync()
    Change.objects.filter(tenant=notes).update(at="2020-01-01T00:00:00Z")
    Device.objects.update(last_seen_at="2020-01-01T00:00:00Z")
    prune(notes.pk, 1)
    events: list[str] = []
    two.listen(lambda event, details: events.append(event))
    two.sync()
    one.sync()
    assert "resync" in events
    assert contents(a) == contents(b)
    assert b.collection("notes").get("mine") == {"title": "mine"}
    assert b.collection("notes").get("n0") is None


STEP = st.tuples(
    st.sampled_from(["a", "b", "live"]),
    st.sampled_from(["put", "put", "delete", "sync", "sync", "late"]),
    st.integers(0, 3),
)


def edit_live(live: Pusher, tenant: Tenant, record: str, *, delete: bool, text: str) -> None:
    """Write a note through the engine: insert it if it is missing, else update or delete it."""
    tenant.refresh_from_db()
    found = rows.record(tenant.pk, schema_of(tenant.pk, tenant.schema_version), "notes", record)
    if found is None or found.deleted:
        live.one(live.op("insert", "notes", record, found.version if found else 0, {"title": text}))
    elif delete:
        live.one(live.delete("notes", record, found.version))
    else:
        live.one(live.update("notes", record, found.version, body=text))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(STEP, max_size=30),
    seed=st.integers(0, 10**6),
    resolvers=st.tuples(*[st.sampled_from([server_wins, last_write_wins, field_merge])] * 2),
)
def test_devices_converge_whatever_gets_lost_comes_twice_or_late(
    db: None,
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[str, str, int]],
    seed: int,
    resolvers: tuple[Any, Any],
) -> None:
    tenant = make_tenant()
    make_notes(tenant)
    folder, luck = tmp_path_factory.mktemp("converge"), random.Random(seed)
    devices = {
        name: store_at(folder / f"{name}.db", Http(tenant), luck=luck, resolver=resolver)
        for name, resolver in zip("ab", resolvers, strict=True)
    }
    live = Pusher(tenant)
    counter = 0

    def sync(name: str) -> None:
        with contextlib.suppress(Unreachable):
            devices[name][1].sync()

    for who, what, which in steps:
        counter += 1
        record = f"n{which}"
        if who == "live":
            edit_live(live, tenant, record, delete=what == "delete", text=f"live {counter}")
            continue
        store, _, wire = devices[who]
        if what == "put":
            store.collection("notes").put(record, {"title": f"{who} {counter}", "extra": counter})
        elif what == "delete":
            store.collection("notes").delete(record)
        elif what == "sync":
            sync(who)
        else:
            wire.late()
    for _, _, wire in devices.values():
        wire.late()
        wire.luck = None
    for _ in range(4):
        for name in devices:
            devices[name][1].sync()
    a, b = (devices[name][0] for name in "ab")
    assert contents(a) == contents(b)
    assert a.queued() == b.queued() == []
    door_view: dict[tuple[str, str], bytes] = {}
    fresh, engine, _ = store_at(folder / "fresh.db", Http(tenant))
    engine.sync()
    door_view = contents(fresh)
    assert door_view == contents(a)
    for (_, record), data in door_view.items():
        document = cbor.decode(data)
        assert values(tenant, "notes", record) == {k: v for k, v in document.items() if k != "extra"}
    for store in (a, b, fresh):
        store.close()


def test_killed_anywhere_nothing_is_lost_or_doubled(notes: Tenant, tmp_path: Path) -> None:
    """A process that dies between two steps leaves what a raised error leaves: what was committed."""
    http = Http(notes)
    path = tmp_path / "a.db"
    other, two, _ = store_at(tmp_path / "b.db", Http(notes))

    class Killed(BaseException):
        pass

    for moment in range(12):
        store, engine, _ = store_at(path, http)
        store.collection("notes").put(f"n{moment}", {"title": str(moment)})
        other.collection("notes").put(f"o{moment}", {"title": str(moment)})
        two.sync()
        count = 0
        for name in ("write", "compact", "set_meta"):
            real = getattr(store, name)

            def counted(*a: Any, real: Any = real, moment: int = moment, **k: Any) -> Any:
                nonlocal count
                count += 1
                if count == moment:
                    raise Killed
                return real(*a, **k)

            setattr(store, name, counted)
        with contextlib.suppress(Killed):
            engine.sync()
        store.con.close()
    store, engine, _ = store_at(path, http)
    engine.sync()
    two.sync()
    assert contents(store) == contents(other)
    assert len(contents(store)) == 24
    assert Change.objects.filter(tenant=notes, device_id=http.device).count() == 12


def test_staying_in_step_wakes_up_for_local_edits_and_stops(notes: Tenant, tmp_path: Path) -> None:
    store, engine, _ = store_at(tmp_path / "a.db", Http(notes))
    stop = threading.Event()
    rounds = 0

    def fake_sync() -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            raise Unreachable("later", retry_after=0)
        if rounds == 2:
            store.collection("notes").put("n1", {"title": "A"})
        else:
            stop.set()

    engine.sync = fake_sync  # type: ignore[method-assign, assignment]
    engine.run(stop, every=30)
    assert rounds == 3


# What went wrong once
