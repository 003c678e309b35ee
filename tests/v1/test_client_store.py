"""moat_client.v1: the store by itself."""

from pathlib import Path
from typing import Any

import pytest

from moat_client.errors import MoatError, NotAReplica
from moat_client.v1 import Config, EditConflict, EntityStore, Keep, SyncEngine, field_merge
from sync.entities import cbor

pytestmark = pytest.mark.django_db

pytestmark = pytest.mark.django_db


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
    assert store.queued() == []
    store.enable_outbox()
    with pytest.raises(ZeroDivisionError), store.transaction():
        notes.put("n1", 2)
        1 / 0  # noqa: B018
    notes.put("n1", 3)
    notes.delete("n1")
    ops = store.queued()
    assert [(op.verb, op.cbor) for op in ops] == [("upsert", b"\x03"), ("delete", None)]
    store.compact([op.op_id for op in ops])
    notes.put("n1", 4)
    assert store.queued()[0].op_id > ops[-1].op_id


def test_plain_http_to_elsewhere_is_refused(tmp_path: Path) -> None:
    with EntityStore(tmp_path / "s.db") as store:
        with pytest.raises(MoatError, match="https"):
            SyncEngine(store, Config("http://moat.example", "a", "d", lambda: "t"))
        SyncEngine(store, Config("http://127.0.0.1:1", "a", "d", lambda: "t"))


def test_field_merge() -> None:
    def merged(base: Any, mine: Any, theirs: Any) -> Any:
        sides = [None if each is None else cbor.encode(each) for each in (base, mine, theirs)]
        outcome = field_merge(EditConflict("c", "i", sides[1], sides[2], sides[0], 1))
        return cbor.decode(outcome.cbor) if isinstance(outcome, Keep) and outcome.cbor else None

    assert merged({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 1, "b": 2}) == {"a": 2, "b": 2}
    assert merged({"a": 1, "b": 1}, {"b": 1}, {"a": 1, "b": 2, "c": 3}) == {"b": 2, "c": 3}
    assert merged({"a": 1}, {"a": 2}, {"a": 3}) is None
    assert merged({"a": 1}, None, {"a": 3}) is None


# With a server
