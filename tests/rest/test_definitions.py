"""Object types, layouts, history, and conflicts."""

import pytest

from layouts import publish as layouts_publish
from layouts.defaults import default_layout
from layouts.models import LayoutDefinition
from metadata.catalog import schema_of
from sync.settle.push import push
from sync.wire.ops import Actor, Op
from tests.builders import make_user
from tests.rest.api import Api

pytestmark = pytest.mark.django_db


def test_published_object_types_are_listed_with_their_json_schema(api, tenant):
    listed = api.ok("GET", "objects/")
    assert listed["schema_version"] == tenant.schema_version
    assert [o["object_name"] for o in listed["results"]] == ["customer", "job", "line_item"]
    job = api.ok("GET", "objects/job/")
    assert job == listed["results"][1]
    assert job["json_schema"]["properties"]["crew"]["default"] == 1
    assert api.client.get(job["records"], headers={"Authorization": f"Bearer {api.token}"}).status_code == 200
    answer = api("GET", "objects/nope/")
    assert (answer.status_code, answer.data["code"]) == (404, "not_found")


def test_layouts_are_listed_as_clients_have_them(api, stranger, tenant, other):
    for owner in (tenant, other):
        spec = schema_of(owner.pk, owner.schema_version).by_object["job"]
        layout = LayoutDefinition(tenant=owner, object_name="job", label=owner.slug, layout_json=default_layout(spec))
        layouts_publish.save(layout, "olga")
    listed = api.ok("GET", "layouts/")["results"]
    assert [(entry["label"], entry["version"], entry["object_type"]) for entry in listed] == [("acme", 1, "*")]
    assert api.ok("GET", "layouts/?object_name=customer")["results"] == []
    assert len(api.ok("GET", "layouts/?object_name=job")["results"]) == 1
    layouts_publish.delete(LayoutDefinition.objects.get(tenant=tenant), "olga")
    assert api.ok("GET", "layouts/")["results"] == []


def test_the_history_of_a_record_says_who_did_what_also_after_its_end(api, stranger):
    stranger.ok("POST", "records/jobs/", {"id": "j", "title": "theirs"})
    api.ok("POST", "records/jobs/", {"id": "j", "title": "one"})
    for number in range(3):
        api.ok("PATCH", "records/jobs/j/", {"title": f"more {number}"})
    api("DELETE", "records/jobs/j/")
    history = api.ok("GET", "records/jobs/j/history/")
    assert [(c["version"], c["op"], c["by"]) for c in history["results"]] == [
        (5, "delete", "olga"),
        (4, "update", "olga"),
        (3, "update", "olga"),
        (2, "update", "olga"),
        (1, "insert", "olga"),
    ]
    assert history["results"][1]["payload"] == [{"op": "replace", "path": "/title", "value": "more 2"}]
    page = api.ok("GET", "records/jobs/j/history/?limit=2")
    rest = api.ok("GET", f"records/jobs/j/history/?limit=3&cursor={page['next']}")
    assert page["results"] + rest["results"] == history["results"]
    assert rest["next"] is None
    assert api.ok("GET", "records/jobs/never/history/")["results"] == []
    assert api("GET", "records/nope/j/history/").status_code == 404
    for cursor in ("x", "-1", "9" * 20, "%00"):
        assert api("GET", f"records/jobs/j/history/?cursor={cursor}").data["code"] == "bad_cursor"


@pytest.fixture
def conflict(api, tenant):
    """A conflict of olga's: she and another user renamed one customer."""
    api.ok("POST", "records/customers/", {"id": "c", "name": "Ann"})
    push(
        Actor(tenant.pk, "tom"),
        [Op(1, None, "customers", "c", "update", 1, [{"op": "replace", "path": "/name", "value": "Tom's"}])],
    )
    answer = api.ok(
        "POST",
        "records/customers/bulk/",
        {"operations": [{"op": "update", "id": "c", "base_version": 1, "values": {"name": "Olga's"}}]},
    )
    return answer["results"][0]["conflict"]


def test_a_conflict_is_in_the_inbox_of_its_maker_and_of_tenant_admins_only(api, tenant, stranger, conflict):
    listed = api.ok("GET", "conflicts/")["results"]
    assert [(c["id"], c["table"], c["record_id"], c["by"], c["theirs_by"], c["state"]) for c in listed] == [
        (conflict, "customers", "c", "olga", "tom", "open")
    ]
    assert (listed[0]["mine"]["name"], listed[0]["theirs"]["name"]) == ("Olga's", "Tom's")
    assert api.ok("GET", f"conflicts/{conflict}/") == listed[0]
    assert api.ok("GET", "conflicts/?state=settled")["results"] == []
    admin = Api(tenant, make_user(tenant, role="admin"))
    assert admin.ok("GET", "conflicts/")["results"] == listed
    member = Api(tenant, make_user(tenant))
    for caller in (member, stranger):
        assert caller.ok("GET", "conflicts/")["results"] == []
        for answer in (
            caller("GET", f"conflicts/{conflict}/"),
            caller("POST", f"conflicts/{conflict}/resolve/", {"resolution": "mine"}),
        ):
            assert (answer.status_code, answer.data) == (404, caller("GET", "conflicts/nope/").data)
            assert answer.data["code"] == "unknown_conflict"


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"resolution": "mine"}, "Olga's"),
        ({"resolution": "theirs"}, "Tom's"),
        ({"resolution": "edit", "values": {"name": "Both"}}, "Both"),
    ],
)
def test_a_conflict_is_settled(api, conflict, body, name):
    settled = api.ok("POST", f"conflicts/{conflict}/resolve/", body)
    assert (settled["state"], settled["settled_by"]) == ("settled", "olga")
    assert api.ok("GET", "records/customers/c/")["name"] == name
    assert api.ok("GET", "conflicts/")["results"] == []
    assert [c["id"] for c in api.ok("GET", "conflicts/?state=settled")["results"]] == [conflict]
    again = api("POST", f"conflicts/{conflict}/resolve/", {"resolution": "mine"})
    assert (again.status_code, again.data["code"]) == (404, "unknown_conflict")


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"resolution": "none"},
        {"resolution": ["mine"]},
        {"resolution": "edit"},
        {"resolution": "edit", "values": []},
        {"resolution": "mine", "values": {}},
        {"resolution": "edit", "values": {"nope": 1}},
        {"resolution": "edit", "values": {"name": 7}},
        {"resolution": "edit", "values": {"name": None}},
        {"resolution": "edit", "values": {"a/b~": 7}},
    ],
)
def test_a_bad_resolution_is_refused_and_the_conflict_stays(api, conflict, body):
    answer = api("POST", f"conflicts/{conflict}/resolve/", body)
    assert answer.status_code == 400, answer.content
    assert [c["id"] for c in api.ok("GET", "conflicts/")["results"]] == [conflict]
    assert api.ok("GET", "records/customers/c/")["name"] == "Tom's"


def test_conflicts_come_in_pages(api, tenant, conflict):
    for number in range(4):
        api(
            "POST",
            "records/customers/bulk/",
            {"operations": [{"op": "update", "id": "c", "base_version": 1, "values": {"name": f"No. {number}"}}]},
        )
    whole = [c["id"] for c in api.ok("GET", "conflicts/")["results"]]
    assert len(whole) == 5
    found, cursor = [], ""
    while cursor is not None:
        page = api.ok("GET", f"conflicts/?limit=2&cursor={cursor}")
        found += [c["id"] for c in page["results"]]
        cursor = page["next"]
    assert found == whole
    for query in ("cursor=x", "cursor=00000000-0000-0000-0000-000000000000", "state=nope", "limit=0"):
        assert api("GET", f"conflicts/?{query}").status_code == 400
