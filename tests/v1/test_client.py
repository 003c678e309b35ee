"""moat_client.v1: the store by itself, and the engine against the server with every kind of bad luck."""

import asyncio
import contextlib
import random
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metadata.catalog import schema_of
from moat_client.errors import MoatError, NotAReplica, Unreachable
from moat_client.v1 import Clash, Config, EntityStore, Keep, Refusal, SyncEngine, Yield, field_merge, last_write_wins, server_wins
from moat_client.v1 import cbor as client_cbor
from sync import cbor, rows
from sync.models import Change
from sync.prune import prune
from tenants.models import Device, Tenant
from tests.builders import make_tenant
from tests.sync.pushing import Pusher, values
from tests.v1.conftest import make_notes
from tests.v1.http import Http

pytestmark = pytest.mark.django_db


class Wire:
    """The server, in memory. `luck` may drop requests, drop answers, and send twice."""

    def __init__(self, http: Http, luck: random.Random | None = None) -> None:
        self.http, self.luck = http, luck
        self.sent: list[str] = []
        self.held: list[tuple[str, Any]] = []

    def call(self, path: str, message: dict[str, Any]) -> dict[str, Any]:
        self.sent.append(path)
        if self.luck is not None:
            fate = self.luck.random()
            if fate < 0.1:
                raise Unreachable("The request was lost.")
            if fate < 0.2:
                self.held.append((path, message))  # it arrives much later
                raise Unreachable("The request is late.")
            if fate < 0.3:
                self._send(path, message)
                raise Unreachable("The answer was lost.")
            if fate < 0.4:
                self._send(path, message)
        return self._send(path, message)

    def late(self) -> None:
        """What was held back arrives, in no order."""
        if self.luck is not None:
            self.luck.shuffle(self.held)
        while self.held:
            self.http.call(*self.held.pop())

    def _send(self, path: str, message: dict[str, Any]) -> dict[str, Any]:
        status, answer = self.http.call(path, client_to_server(message))
        if status == 200:
            return answer  # type: ignore[no-any-return]
        if status in (429, 503):
            raise Unreachable(answer["message"])
        raise Refusal(status, answer["code"], answer["message"], answer.get("field"))

    def events(self, last_id: str | None, device: str) -> Any:
        raise Unreachable("no events here")


def client_to_server(message: Any) -> Any:
    return cbor.decode(client_cbor.encode(message))


def store_at(path: Path, http: Http, **more: Any) -> tuple[EntityStore, SyncEngine, Wire]:
    store = EntityStore(path)
    wire = Wire(http, more.pop("luck", None))
    config = Config("https://x", http.tenant.slug, http.device, lambda: http.token)
    return store, SyncEngine(store, config, calls=wire, **more), wire


def contents(store: EntityStore) -> dict[tuple[str, str], bytes]:
    found = store.query('SELECT "collection", "id", "cbor" FROM "entities" WHERE "cbor" IS NOT NULL')
    return {(c, i): data for c, i, data in found}


# The store by itself


def test_documents_indexes_and_transactions(tmp_path: Path) -> None:
    store = EntityStore(tmp_path / "s.db")
    notes = store.collection("notes")
    notes.put("n1", {"title": "A", "n": 1})
    store.add_index("notes", "title")
    notes.put("n2", {"title": "B", "n": 1})
    notes.put("n3", {"title": "A", "n": 2})
    notes.put_bytes("odd", b"\xa1")
    assert [i for i, _ in notes.find({"title": "A"})] == ["n1", "n3"]
    assert [i for i, _ in notes.find({"n": 1})] == ["n1", "n2"]
    assert [i for i, _ in notes.find({"title": "A", "n": 2})] == ["n3"]
    with pytest.raises(ZeroDivisionError), store.transaction():
        notes.put("n1", {"title": "gone"})
        notes.delete("n2")
        1 / 0  # noqa: B018
    assert notes.get("n1") == {"title": "A", "n": 1}
    assert notes.delete("n2")
    assert not notes.delete("n2")
    assert [i for i, _ in notes.find()] == ["n1", "n3", "odd"]
    assert notes.get("odd") == b"\xa1"
    assert store.collections() == ["notes"]
    store.close()
    (tmp_path / "x.db").write_bytes(b"not a database at all, but long enough to be looked at" * 30)
    with pytest.raises(NotAReplica):
        EntityStore(tmp_path / "x.db")


def test_the_feed_is_off_until_asked_for_and_holds_committed_mutations_only(tmp_path: Path) -> None:
    store = EntityStore(tmp_path / "s.db")
    notes = store.collection("notes")
    notes.put("n1", 1)
    assert store.feed() == []
    store.turn_feed(on=True)
    with pytest.raises(ZeroDivisionError), store.transaction():
        notes.put("n1", 2)
        1 / 0  # noqa: B018
    notes.put("n1", 3)
    notes.delete("n1")
    ops = store.feed()
    assert [(op.verb, op.cbor) for op in ops] == [("upsert", b"\x03"), ("delete", None)]
    store.compact([op.op_id for op in ops])
    notes.put("n1", 4)
    assert store.feed()[0].op_id > ops[-1].op_id


def test_plain_http_to_elsewhere_is_refused(tmp_path: Path) -> None:
    with EntityStore(tmp_path / "s.db") as store:
        with pytest.raises(MoatError, match="https"):
            SyncEngine(store, Config("http://moat.example", "a", "d", lambda: "t"))
        SyncEngine(store, Config("http://127.0.0.1:1", "a", "d", lambda: "t"))


def test_a_store_is_of_the_first_database_and_device_that_let_it_in(notes: Tenant, tmp_path: Path) -> None:
    http = Http(notes)
    with EntityStore(tmp_path / "s.db") as store:
        with pytest.raises(Refusal):
            SyncEngine(store, Config("https://x", "typo", http.device, lambda: ""), calls=Wire(http)).sync()
        SyncEngine(store, Config("https://x", notes.slug, http.device, lambda: ""), calls=Wire(http)).sync()
        for database, device in (("typo", http.device), (notes.slug, "typo")):
            with pytest.raises(MoatError, match="another file"):
                SyncEngine(store, Config("https://x", database, device, lambda: ""), calls=Wire(http))


def test_field_merge() -> None:
    def merged(base: Any, mine: Any, theirs: Any) -> Any:
        sides = [None if each is None else cbor.encode(each) for each in (base, mine, theirs)]
        outcome = field_merge(Clash("c", "i", sides[1], sides[2], sides[0], 1))
        return cbor.decode(outcome.cbor) if isinstance(outcome, Keep) and outcome.cbor else None

    assert merged({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 1, "b": 2}) == {"a": 2, "b": 2}
    assert merged({"a": 1, "b": 1}, {"b": 1}, {"a": 1, "b": 2, "c": 3}) == {"b": 2, "c": 3}
    assert merged({"a": 1}, {"a": 2}, {"a": 3}) is None
    assert merged({"a": 1}, None, {"a": 3}) is None


# With a server


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
    assert (done.pushed, one.status().pending, a.feed()) == (2, 0, [])
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
    async def slow(clash: Clash) -> Keep | Yield:
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
    assert b.feed() == []


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


STEP = st.tuples(st.sampled_from(["a", "b", "live"]), st.sampled_from(["put", "put", "delete", "sync", "sync", "late"]), st.integers(0, 3))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(STEP, max_size=30),
    seed=st.integers(0, 10**6),
    resolvers=st.tuples(*[st.sampled_from([server_wins, last_write_wins, field_merge])] * 2),
)
def test_devices_converge_whatever_gets_lost_comes_twice_or_late(
    db: None, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, int]], seed: int, resolvers: tuple[Any, Any]
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
            tenant.refresh_from_db()
            found = rows.record(tenant.pk, schema_of(tenant.pk, tenant.schema_version), "notes", record)
            if found is None or found.deleted:
                live.one(live.op("insert", "notes", record, found.version if found else 0, {"title": f"live {counter}"}))
            elif what == "delete":
                live.one(live.delete("notes", record, found.version))
            else:
                live.one(live.update("notes", record, found.version, body=f"live {counter}"))
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
    assert a.feed() == b.feed() == []
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


def test_a_new_file_for_a_device_that_had_another_loses_nothing(notes: Tenant, tmp_path: Path) -> None:
    """Its numbers begin above those the server knows: what comes under a known number is taken for a repetition."""
    http = Http(notes)
    a, one, _ = store_at(tmp_path / "a.db", http)
    for n in range(3):
        a.collection("notes").put(f"n{n}", {"title": "old"})
    one.sync()
    a.close()
    b, two, _ = store_at(tmp_path / "b.db", http)
    b.collection("notes").put("n9", {"title": "new"})
    b.collection("notes").put("n8", {"title": "new"})
    assert two.sync().pushed == 2
    assert (values(notes, "notes", "n9"), values(notes, "notes", "n8")) == ({"title": "new"}, {"title": "new"})
    b.collection("notes").put("n8", {"title": "newer"})
    two.sync()
    sources = list(Change.objects.filter(tenant=notes, device_id=http.device).order_by("cursor").values_list("op_id", flat=True))
    assert sources == sorted(set(sources))
    assert len(sources) == 6


def test_after_a_write_of_equal_bytes_others_edits_are_still_noticed(notes: Tenant, tmp_path: Path) -> None:
    a, one, _ = store_at(tmp_path / "a.db", Http(notes))
    b, two, _ = store_at(tmp_path / "b.db", Http(notes))
    a.collection("notes").put("n1", {"title": "0"})
    one.sync()
    two.sync()
    a.collection("notes").put("n1", {"title": "0"})  # the server makes no version of it
    one.sync()
    b.collection("notes").put("n1", {"title": "theirs"})
    two.sync()
    a.collection("notes").put("n1", {"title": "mine"})
    assert one.sync().conflicts == 1
    assert a.collection("notes").get("n1") == {"title": "theirs"}


def test_a_resolver_may_look_into_the_store_and_take_its_time(notes: Tenant, tmp_path: Path) -> None:
    """It is asked outside of any transaction: other threads go on writing, and what they wrote is decided anew."""
    a, one, _ = store_at(tmp_path / "a.db", Http(notes))
    asked: list[Clash] = []

    async def slow(clash: Clash) -> Keep:
        asked.append(clash)
        await asyncio.sleep(0)
        assert b.collection("notes").get(clash.id) is not None
        if len(asked) == 1:
            edit = threading.Thread(target=lambda: b.collection("notes").put(clash.id, {"title": "edited meanwhile"}))
            edit.start()
            edit.join(5)
            assert not edit.is_alive(), "an edit had to wait for a resolver"
        return Keep(clash.mine)

    b, two, _ = store_at(tmp_path / "b.db", Http(notes), resolver=slow)
    for n in range(3):
        a.collection("notes").put(f"n{n}", {"title": "a"})
        b.collection("notes").put(f"n{n}", {"title": "b"})
    one.sync()
    assert two.sync().conflicts == 3
    one.sync()
    assert contents(a) == contents(b)
    titles = [document["title"] for _, document in b.collection("notes").items()]
    assert sorted(titles) == ["b", "b", "edited meanwhile"]
    assert len(b.query('SELECT * FROM "conflicts"')) == 3


def test_a_resolver_that_fails_leaves_everything_as_it_was(notes: Tenant, tmp_path: Path) -> None:
    a, one, _ = store_at(tmp_path / "a.db", Http(notes))
    b, two, _ = store_at(tmp_path / "b.db", Http(notes), resolver=lambda clash: 1 / 0)  # type: ignore[arg-type, return-value]
    a.collection("notes").put("n1", {"title": "a"})
    b.collection("notes").put("n1", {"title": "b"})
    one.sync()
    with pytest.raises(ZeroDivisionError):
        two.sync()
    assert (two.status().state, two.status().pending, two.status().cursor) == ("failed", 1, 0)
    assert b.collection("notes").get("n1") == {"title": "b"}


def test_a_newer_edit_takes_the_place_of_one_that_was_refused_and_versions_stay_true(notes: Tenant, tmp_path: Path) -> None:
    a, one, _ = store_at(tmp_path / "a.db", Http(notes))
    b, two, _ = store_at(tmp_path / "b.db", Http(notes))
    a.collection("notes").put("n1", {"title": "0"})
    one.sync()
    two.sync()
    a.collection("notes").put("n1", {"number": "no number"})
    a.collection("nowhere").put("x", {})
    assert one.sync().refused == 2
    b.collection("notes").put("n1", {"title": "theirs"})
    two.sync()
    a.collection("notes").put("n1", {"title": "mine"})
    a.collection("nowhere").delete("x")
    assert one.sync().conflicts == 1
    assert (one.status().refused, a.collections()) == (0, ["notes"])
    assert a.collection("notes").get("n1") == {"title": "theirs"}
    a.collection("notes").put("n1", {"number": "no number"})
    a.collection("notes").put("n2", {"number": "no number"})
    one.sync()
    assert a.clear_problems() == 3
    assert contents(a) == {("notes", "n1"): cbor.encode({"title": "theirs"})}
    assert one.status().refused == one.status().conflicts == 0


def test_edits_made_before_the_feed_was_on_are_not_lost_without_a_word(notes: Tenant, tmp_path: Path) -> None:
    b, two, _ = store_at(tmp_path / "b.db", Http(notes))
    b.collection("notes").put("n1", {"title": "theirs"})
    two.sync()
    with EntityStore(tmp_path / "a.db") as early:
        early.collection("notes").put("n1", {"title": "early"})
        early.collection("notes").put("n2", {"title": "early"})
    a, one, _ = store_at(tmp_path / "a.db", Http(notes))
    one.sync()
    assert a.collection("notes").get("n1") == {"title": "theirs"}
    assert a.collection("notes").get("n2") == {"title": "early"}
    assert a.query('SELECT "id", "mine" FROM "conflicts"') == [("n1", cbor.encode({"title": "early"}))]
    b.collection("notes").put("n2", {"title": "theirs"})
    two.sync()
    a.collection("notes").put("n2", {"title": "again"})
    assert one.sync().conflicts == 1


def test_two_processes_on_one_file_do_not_undo_each_other(notes: Tenant, tmp_path: Path) -> None:
    http = Http(notes)
    a, one, wire = store_at(tmp_path / "a.db", http)
    again, twin, _ = store_at(tmp_path / "a.db", http)
    b, two, _ = store_at(tmp_path / "b.db", Http(notes))
    one.sync()
    a.collection("notes").put("n1", {"title": "a"})
    real = wire.call

    def slow(path: str, message: dict[str, Any]) -> dict[str, Any]:
        answer = real(path, message)
        if path == "push":  # before this process reads its answer, the other does all of it, and a newer edit arrives
            wire.call = real  # type: ignore[method-assign]
            twin.sync()
            two.sync()
            b.collection("notes").put("n1", {"title": "b"})
            two.sync()
            twin.sync()
        return answer

    wire.call = slow  # type: ignore[method-assign]
    one.sync()
    assert contents(a) == contents(b) == {("notes", "n1"): cbor.encode({"title": "b"})}
    again.close()


def test_large_edits_are_sent_in_pushes_the_server_takes(notes: Tenant, tmp_path: Path) -> None:
    a, one, wire = store_at(tmp_path / "a.db", Http(notes))
    for n in range(12):
        a.collection("blobs").put(f"b{n}", bytes(3_500_000))
    a.collection("blobs").put("huge", bytes(4_200_000))
    done = one.sync()
    assert (done.pushed, done.refused, wire.sent.count("push") > 3) == (12, 1, True)


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("pull", {}),
        ("pull", {"ops": [5], "nextCursor": 1}),
        ("pull", {"ops": [], "nextCursor": 0, "hasMore": True}),
        ("pull", {"ops": [], "nextCursor": -1}),
        ("pull", {"ops": [{"collection": 1}], "nextCursor": 9}),
        ("push", {"acknowledgedUpToOpId": "1", "conflicts": []}),
        ("push", {"acknowledgedUpToOpId": 1, "conflicts": [{}]}),
        ("push", {"acknowledgedUpToOpId": 0, "conflicts": []}),
        ("handshake", {"lastOpId": 2**63}),
    ],
)
def test_an_answer_that_cannot_be_read_changes_nothing(notes: Tenant, tmp_path: Path, path: str, answer: dict[str, Any]) -> None:
    a, one, wire = store_at(tmp_path / "a.db", Http(notes))
    a.collection("notes").put("n1", {"title": "a"})
    real = wire.call
    wire.call = lambda where, message: answer if where == path else real(where, message)  # type: ignore[method-assign]
    with pytest.raises(MoatError):
        one.sync()
    assert (one.status().state, one.status().pending) == ("failed", 1)
    wire.call = real  # type: ignore[method-assign]
    assert one.sync().pushed == 1
