"""moat_client.v1: what went wrong once, and what a careless server, application or second process might do."""

import asyncio
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from moat_client.errors import MoatError, Unreachable
from moat_client.v1 import Config, EditConflict, EntityStore, Keep, SyncEngine
from sync.entities import cbor
from sync.log.prune import prune
from sync.models import Change
from tenants.models import Tenant
from tests.sync.pushing import values
from tests.v1.http import Http
from tests.v1.wire import Wire, contents, store_at

pytestmark = pytest.mark.django_db

pytestmark = pytest.mark.django_db


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
    sources = list(
        Change.objects.filter(tenant=notes, device_id=http.device).order_by("cursor").values_list("op_id", flat=True)
    )
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
    """It is called outside of any transaction: other threads continue to write, and their writes are decided again."""
    a, one, _ = store_at(tmp_path / "a.db", Http(notes))
    asked: list[EditConflict] = []

    async def slow(clash: EditConflict) -> Keep:
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
    b, two, _ = store_at(
        tmp_path / "b.db",
        Http(notes),
        resolver=lambda clash: 1 / 0,  # type: ignore[arg-type, return-value]
    )
    a.collection("notes").put("n1", {"title": "a"})
    b.collection("notes").put("n1", {"title": "b"})
    one.sync()
    with pytest.raises(ZeroDivisionError):
        two.sync()
    assert (two.status().state, two.status().pending, two.status().cursor) == ("failed", 1, 0)
    assert b.collection("notes").get("n1") == {"title": "b"}


def test_a_newer_edit_takes_the_place_of_one_that_was_refused_and_versions_stay_true(
    notes: Tenant, tmp_path: Path
) -> None:
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
def test_an_answer_that_cannot_be_read_changes_nothing(
    notes: Tenant, tmp_path: Path, path: str, answer: dict[str, Any]
) -> None:
    a, one, wire = store_at(tmp_path / "a.db", Http(notes))
    a.collection("notes").put("n1", {"title": "a"})
    real = wire.call
    wire.call = lambda where, message: answer if where == path else real(where, message)  # type: ignore[method-assign]
    with pytest.raises(MoatError):
        one.sync()
    assert (one.status().state, one.status().pending) == ("failed", 1)
    wire.call = real  # type: ignore[method-assign]
    assert one.sync().pushed == 1


@pytest.mark.parametrize("more", [1, 3])
def test_an_older_copy_of_a_store_loses_no_edit(notes: Tenant, tmp_path: Path, more: int) -> None:
    """Its numbers go on where the copy was made; the server has taken some of them for other edits since."""
    http = Http(notes)
    a, one, _ = store_at(tmp_path / "a.db", http)
    a.collection("notes").put("n0", {"title": "0"})
    one.sync()
    a.con.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(tmp_path / "a.db", tmp_path / "backup.db")
    a.collection("notes").put("n1", {"title": "1"})
    one.sync()
    a.close()
    b, two, _ = store_at(tmp_path / "backup.db", http)
    for n in range(more):
        b.collection("notes").put(f"m{n}", {"title": str(n)})
    two.sync()
    assert [values(notes, "notes", f"m{n}") for n in range(more)] == [{"title": str(n)} for n in range(more)]
    assert b.collection("notes").get("n1") == {"title": "1"}
    sent = b.get_meta("sent")
    two.sync()
    assert (b.get_meta("sent"), two.status().pending) == (sent, 0)


class Losing(Wire):
    """Loses the answer to one push."""

    lose = False

    def call(self, path: str, message: dict[str, Any]) -> dict[str, Any]:
        answer = super().call(path, message)
        if path == "push" and self.lose:
            self.lose = False
            raise Unreachable("The answer was lost.")
        return answer


@pytest.mark.parametrize("how", ["not pulled", "started over"])
def test_the_newest_edit_stays_when_the_answer_to_the_one_before_it_was_lost(
    notes: Tenant, tmp_path: Path, how: str
) -> None:
    http = Http(notes)
    store, wire = EntityStore(tmp_path / "a.db"), Losing(http)
    config = Config(
        "https://x", notes.slug, http.device, lambda: http.token, collections=("blobs",) if how == "not pulled" else ()
    )
    engine = SyncEngine(store, config, calls=wire)
    for title, lost in (("0", False), ("x", True), ("y", False)):
        store.collection("notes").put("n1", {"title": title})
        wire.lose = lost
        if title == "y" and how == "started over":
            other = Http(notes)
            other.push(*(other.op(f"o{n}", 1, {"title": "theirs"}) for n in range(5)))
            prune(notes.pk, 0, 0)
        if lost:
            with pytest.raises(Unreachable):
                engine.sync()
        else:
            engine.sync()
    engine.sync()
    assert store.collection("notes").get("n1") == {"title": "y"}
    assert values(notes, "notes", "n1") == {"title": "y"}
    assert (engine.status().pending, engine.status().conflicts) == (0, 0)


def test_many_large_conflicts_are_told_in_several_answers(notes: Tenant, tmp_path: Path) -> None:
    a, one, _ = store_at(tmp_path / "a.db", Http(notes))
    b, two, wire = store_at(tmp_path / "b.db", Http(notes))
    for n in range(400):
        a.collection("notes").put(f"n{n}", {"body": "x" * 50_000})
    one.sync()
    two.sync()
    for n in range(400):
        a.collection("notes").put(f"n{n}", {"body": "x" * 50_000, "title": "a"})
        b.collection("notes").delete(f"n{n}")
    one.sync()
    pull, two._pull = two._pull, lambda: None  # the others wrote after this device's last pull
    wire.sent.clear()
    assert two.sync().conflicts == 400
    assert wire.sent.count("push") == 3
    two._pull = pull
    two.sync()
    assert len(contents(b)) == 400


def test_a_record_whose_bytes_are_empty_is_not_taken_for_a_deleted_one(notes: Tenant, tmp_path: Path) -> None:
    a, one, _ = store_at(tmp_path / "a.db", Http(notes))
    b, two, _ = store_at(tmp_path / "b.db", Http(notes))
    for store, engine in ((a, one), (b, two)):
        engine.sync()
        store.collection("blobs").put_bytes("e", b"" if store is a else b"mine")
    one.sync()
    pull, two._pull = two._pull, lambda: None
    assert two.sync().conflicts == 1
    assert contents(b) == {("blobs", "e"): b""}
    two._pull = pull
    two.sync()
    assert contents(b) == contents(a)
