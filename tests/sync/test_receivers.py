"""Object types and layouts are logged as records and changes."""

import pytest

from layouts.models import LayoutDefinition
from layouts.publish import delete, save
from metadata.models import ObjectField, ObjectMetadata
from metadata.publish import publish
from sync.log import commit
from sync.log.changes import read
from sync.log.verify import verify_log
from sync.models import SystemRecord
from sync.wire.lines import decode_line
from sync.wire.patch import apply_patch
from tests.sync.pushing import Pusher, noted

pytestmark = pytest.mark.django_db


def lines_of(tenant, table):
    found = [
        (segment.schema_version, decode_line(line)) for segment in read(tenant.pk, 0).segments for line in segment.lines
    ]
    return [(version, line) for version, line in found if line["table"] == table]


def test_a_publish_is_logged_under_the_new_schema_version():
    tenant = noted()
    ((version, line),) = lines_of(tenant, "object_metadata")
    assert (version, line["schema_version"], line["id"], line["op"], line["version"]) == (1, 1, "note", "insert", 1)
    assert [f["name"] for f in line["payload"]["fields"]] == ["title", "body", "number", "attrs"]
    stored = SystemRecord.objects.get(tenant=tenant)
    assert (stored.version, stored.cursor, stored.deleted) == (1, line["cursor"], False)


def test_a_second_publish_is_logged_as_an_update():
    tenant = noted()
    first = SystemRecord.objects.get(tenant=tenant).data
    ObjectField.objects.create(
        object_type=ObjectMetadata.objects.get(tenant=tenant), name="extra", kind="date", position=9
    )
    publish(tenant.pk)
    _, line = lines_of(tenant, "object_metadata")[-1]
    assert (line["op"], line["version"], line["schema_version"]) == ("update", 2, 2)
    stored = SystemRecord.objects.get(tenant=tenant)
    assert apply_patch(first, line["payload"]) == stored.data
    assert stored.data["fields"][-1]["name"] == "extra"


def test_a_retired_type_is_logged_as_a_delete():
    tenant = noted()
    ObjectMetadata.objects.filter(tenant=tenant).update(retired=True)
    publish(tenant.pk)
    assert lines_of(tenant, "object_metadata")[-1][1]["op"] == "delete"
    assert SystemRecord.objects.get(tenant=tenant).deleted


def test_a_layout_is_inserted_patched_and_deleted():
    tenant = noted()
    layout = LayoutDefinition(
        tenant=tenant, object_name="note", label="Plain", layout_json={"type": "VerticalLayout", "elements": []}
    )
    save(layout, "olga")
    layout.label = "Wide"
    save(layout, "olga")
    delete(layout, "olga")
    changes = [line for _, line in lines_of(tenant, "layout_definition")]
    assert [(line["op"], line["version"], line["by"]) for line in changes] == [
        ("insert", 1, "olga"),
        ("update", 2, "olga"),
        ("delete", 3, "olga"),
    ]
    assert changes[1]["payload"] == [{"op": "replace", "path": "/label", "value": "Wide"}]
    assert len({line["id"] for line in changes}) == 1


def test_publishes_and_pushes_share_one_gap_free_log():
    tenant = noted()
    pusher = Pusher(tenant)
    pusher.ok(pusher.insert("notes", "n", title="x"))
    ObjectField.objects.create(
        object_type=ObjectMetadata.objects.get(tenant=tenant), name="extra", kind="date", position=9
    )
    publish(tenant.pk)
    pusher.ok(pusher.update("notes", "n", 1, extra="2026-01-01"))
    found = read(tenant.pk, 0)
    assert [(segment.schema_version, len(segment.lines)) for segment in found.segments] == [(1, 2), (2, 2)]
    assert verify_log(tenant.pk).problems == []


def test_a_publish_is_announced_after_its_commit(django_capture_on_commit_callbacks):
    on_commit = []
    end = commit.subscribe(on_commit.append)
    with django_capture_on_commit_callbacks() as waiting:
        tenant = noted()
    assert on_commit == []
    for callback in waiting:
        callback()
    end()
    assert [(c.tenant_id, c.from_cursor, c.to_cursor) for c in on_commit] == [(tenant.pk, 0, 1)]
