"""Pages of a pull: complete during a publish, bounded in bytes, robust against unknown names."""

from collections.abc import Callable
from typing import Any

import pytest

from metadata.models import ObjectField, ObjectMetadata
from metadata.publish import publish
from sync.log.prune import prune
from sync.v1 import pull as pulling
from tenants.models import Tenant
from tests.builders import make_object_type
from tests.sync.pushing import Pusher
from tests.v1.conftest import Door
from tests.v1.http import Http

pytestmark = pytest.mark.django_db
PAGE_BYTES = 8_388_608


def ahead_of_the_log(monkeypatch: pytest.MonkeyPatch, work: Callable[[], None]) -> None:
    """Run `work` once between the moment a pull reads the schema and the moment it reads the log."""
    read, done = pulling._log, []

    def late(*args: Any, **more: Any) -> Any:
        if not done:
            done.append(True)
            work()
        return read(*args, **more)

    monkeypatch.setattr(pulling, "_log", late)


def rest(door: Door, since: int) -> list[Any]:
    found, page = [], door.pull(since)
    found += page.ops
    for _ in range(3):
        page = door.pull(page.next_cursor)
        found += page.ops
    return found


def test_changes_of_a_type_published_meanwhile_are_not_skipped(notes: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = Door(notes), Door(notes)
    since = one.pull(0).next_cursor

    def work() -> None:
        make_object_type(notes, "task", {"title": "text"})
        publish(notes.pk)
        other.put("t1", 1, {"title": "new"}, collection="tasks")

    ahead_of_the_log(monkeypatch, work)
    assert [(op.collection, op.entity_id) for op in rest(one, since)] == [("tasks", "t1")]


def test_a_field_published_meanwhile_is_in_its_documents(notes: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    one, live = Door(notes), Pusher(notes)
    since = one.pull(0).next_cursor

    def work() -> None:
        note = ObjectMetadata.objects.get(tenant=notes, object_name="note")
        ObjectField.objects.create(object_type=note, position=99, name="colour", label="Colour", kind="text")
        publish(notes.pk)
        live.ok(live.insert("notes", "n1", title="new", colour="red"))

    ahead_of_the_log(monkeypatch, work)
    (op,) = rest(one, since)
    assert b"colour" in op.body


def test_a_page_of_records_from_live_clients_is_bounded_in_bytes(notes: Tenant) -> None:
    """Each patch puts the whole record into the page: 300 small patches would make 27 MB."""
    live, one = Pusher(notes), Door(notes)
    live.ok(live.insert("notes", "n1", body="x" * 90_000))
    for n in range(300):
        live.ok(live.update("notes", "n1", n + 1, title=str(n)))
    found, page, pages = [], one.pull(0), 1
    while True:
        assert sum(len(op.body or b"") for op in page.ops) <= PAGE_BYTES + 100_000
        found += page.ops
        if not page.has_more:
            break
        page, pages = one.pull(page.next_cursor), pages + 1
    assert [op.version for op in found] == list(range(1, 302))
    assert pages == 4


@pytest.mark.parametrize("name", ["\0", "no\0te", "unknown"])
def test_unknown_collection_names_are_ignored(notes: Tenant, name: str) -> None:
    Door(notes).put("n1", 1, {"title": "a"})
    prune(notes.pk, 0, 0)
    assert Http(notes).pull(0, collections=[name])[0] == 200
    assert [op["entityId"] for op in Http(notes).pull(0, collections=["notes", name])[1]["ops"]] == ["n1"]
