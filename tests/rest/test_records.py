"""Records over REST: every verb, and every kind of bad input."""

import threading
import uuid

import pytest
from django.db import connection, connections
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sync.log import commit as commits
from sync.models import Change
from tests.builders import make_user
from tests.rest.api import Api

pytestmark = pytest.mark.django_db

FULL = {
    "object_type": "residential",
    "status": "open",
    "title": "Fix the roof",
    "notes": "Zürich 🏔",
    "crew": 3,
    "distance": 12.5,
    "price": "99.50",
    "urgent": True,
    "due": "2026-11-21",
    "starts_at": "2026-11-21T09:00:00.000000Z",
    "serial": "0190a3f0-0000-7000-8000-000000000001",
    "attrs": {"colour": "red", "sizes": [1, 2.5, None]},
    "priority": "high",
}


def state(tenant):
    """The number of changes in the tenant's log, which a rejected request must not change."""
    return Change.objects.filter(tenant=tenant).count()


ODD_STEPS = [
    {"op": []},
    {"op": {}},
    {"op": None},
    {"op": "add", "path": []},
    {"op": "copy", "path": "/title", "from": {}},
]


@pytest.mark.parametrize("step", ODD_STEPS, ids=repr)
def test_a_patch_of_oddly_typed_members_is_a_bad_patch(api, tenant, step):
    made = api.ok("POST", "records/jobs/", {"title": "x"})
    before = state(tenant)
    patch = [{"path": "/title", "value": 1, **step}]
    path = f"records/jobs/{made['id']}/"
    answer = api("PATCH", path, patch, kind="application/json-patch+json")
    assert (answer.status_code, answer.data["code"]) == (400, "bad_patch")
    body = {"operations": [{"op": "update", "id": made["id"], "patch": patch}]}
    bulk = api("POST", "records/jobs/bulk/", body)
    assert bulk.data["results"][0]["code"] == "bad_patch"
    assert state(tenant) == before


def test_a_patch_that_copies_too_much_is_too_large(api, tenant):
    made = api.ok("POST", "records/jobs/", {"title": "x", "attrs": {"a": [[] for _ in range(60_000)]}})
    before = state(tenant)
    steps = [{"op": "copy", "from": "/attrs/a", "path": "/attrs/b"}, {"op": "remove", "path": "/attrs/b"}] * 250
    answer = api("PATCH", f"records/jobs/{made['id']}/", steps, kind="application/json-patch+json")
    assert (answer.status_code, answer.data["code"]) == (413, "too_large")
    assert "op_work" in answer.data["message"]
    assert state(tenant) == before
    once = api(
        "PATCH",
        f"records/jobs/{made['id']}/",
        [{"op": "add", "path": "/attrs/b", "value": 1}],
        kind="application/json-patch+json",
    )
    assert once.status_code == 200, "a large value may be changed inside"


def test_a_body_of_many_small_values_is_too_large(api):
    raw = b'{"title":"x","attrs":[' + b",".join([b"[[],[]]"] * 90_000) + b"]}"
    answer = api("POST", "records/jobs/", raw=raw)
    assert (answer.status_code, answer.data["code"]) == (413, "too_large")
    assert "values" in answer.data["message"]


@pytest.mark.django_db(transaction=True)
def test_a_bulk_request_is_written_in_turns(api, tenant, settings):
    settings.MOAT = {**settings.MOAT, "TURN_SECONDS": 0}
    seen = []
    end = commits.subscribe(lambda commit: seen.append(len(commit.lines)))
    operations = [{"op": "insert", "values": {"title": f"{n}"}} for n in range(6)]
    assert api("POST", "records/jobs/bulk/", {"operations": operations}).status_code == 200
    assert seen == [1] * 6
    seen.clear()
    assert api("POST", "records/jobs/bulk/", {"atomic": True, "operations": operations}).status_code == 200
    end()
    assert seen == [6], "what is atomic is one transaction"


def test_a_record_of_every_kind_is_created_read_changed_and_deleted(api, tenant):
    customer = api.ok("POST", "records/customers/", {"name": "Ann"})
    made = api("POST", "records/jobs/", {**FULL, "customer": customer["id"]})
    assert made.status_code == 201
    assert made.data == {"id": made.data["id"], "version": 1, **FULL, "customer": customer["id"]}
    assert uuid.UUID(made.data["id"]).version == 7
    assert made["ETag"] == '"1"'
    assert made["Location"] == f"/api/records/jobs/{made.data['id']}/"
    path = f"records/jobs/{made.data['id']}/"
    assert api.ok("GET", path) == made.data
    changed = api("PATCH", path, {"title": "Fix the gate", "notes": None, "attrs": {"colour": "blue"}})
    assert (changed.status_code, changed["ETag"]) == (200, '"2"')
    assert changed.data == {
        **made.data,
        "version": 2,
        "title": "Fix the gate",
        "notes": None,
        "attrs": {"colour": "blue"},
    }
    assert api("DELETE", path).status_code == 204
    assert (api("GET", path).status_code, api("DELETE", path).status_code) == (404, 404)
    assert api("PATCH", path, {"title": "x"}).status_code == 404
    assert api.ok("GET", "records/jobs/")["results"] == []


def test_a_caller_may_bring_the_id_and_defaults_are_filled_in(api):
    made = api.ok("POST", "records/jobs/", {"id": "job 1/ä", "title": "x"})
    assert (made["id"], made["crew"], made["object_type"], made["status"]) == ("job 1/ä", 1, "residential", "open")
    assert api.ok("GET", "records/jobs/job%201%2F%C3%A4/")["title"] == "x"
    again = api("POST", "records/jobs/", {"id": "job 1/ä", "title": "y"})
    assert (again.status_code, again.data["code"]) == (409, "exists")


def test_a_json_patch_changes_inside_a_json_field(api):
    made = api.ok("POST", "records/jobs/", FULL)
    patch = [
        {"op": "test", "path": "/title", "value": "Fix the roof"},
        {"op": "add", "path": "/attrs/sizes/-", "value": 7},
        {"op": "remove", "path": "/attrs/colour"},
    ]
    changed = api.ok("PATCH", f"records/jobs/{made['id']}/", patch, kind="application/json-patch+json")
    assert changed["attrs"] == {"sizes": [1, 2.5, None, 7]}
    patch[0]["value"] = "something else"
    refused = api("PATCH", f"records/jobs/{made['id']}/", patch, kind="application/json-patch+json; charset=utf-8")
    assert (refused.status_code, refused.data["code"]) == (400, "bad_patch")


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({}, 400, "required", "title"),
        ({"title": None}, 400, "required", "title"),
        ({"title": 7}, 400, "bad_value", "title"),
        ({"title": "a\x00b"}, 400, "bad_value", "title"),
        ({"title": "x" * 200_000}, 413, "too_large", "title"),
        ({"title": "x", "crew": "3"}, 400, "bad_value", "crew"),
        ({"title": "x", "crew": 2**53}, 400, "bad_value", "crew"),
        ({"title": "x", "crew": True}, 400, "bad_value", "crew"),
        ({"title": "x", "crew": 10**400}, 400, None, None),
        ({"title": "x", "price": "1.234"}, 400, "bad_value", "price"),
        ({"title": "x", "urgent": 1}, 400, "bad_value", "urgent"),
        ({"title": "x", "due": "2026-02-30"}, 400, "bad_value", "due"),
        ({"title": "x", "starts_at": "yesterday"}, 400, "bad_value", "starts_at"),
        ({"title": "x", "serial": "nope"}, 400, "bad_value", "serial"),
        ({"title": "x", "priority": "huge"}, 400, "bad_value", "priority"),
        ({"title": "x", "attrs": {"__proto__": 1}}, 400, "bad_value", "attrs"),
        ({"title": "x", "attrs": {"a": 2**60}}, 400, "bad_value", "attrs"),
        ({"title": "x", "customer": "nobody"}, 400, "missing_reference", "customer"),
        ({"title": "x", "status": "lost"}, 400, "bad_value", "status"),
        ({"title": "x", "object_type": 7}, 400, "bad_value", "object_type"),
        ({"title": "x", "nope": 1}, 400, "unknown_field", "nope"),
        ({"title": "x", "__proto__": {"polluted": 1}}, 400, "unknown_field", "__proto__"),
        ({"title": "x", "_deleted": True}, 400, "unknown_field", "_deleted"),
        ({"title": "x", "id": ""}, 400, "bad_id", None),
        ({"title": "x", "id": 7}, 400, None, None),
        ({"title": "x", "id": "x" * 129}, 400, "bad_id", None),
        ({"title": "x", "id": "a\nb"}, 400, "bad_id", None),
        ([], 400, "bad_request", None),
        ("text", 400, "bad_request", None),
    ],
)
def test_a_bad_record_is_refused_with_a_code_and_changes_nothing(api, tenant, body, status, code, field):
    before = state(tenant)
    answer = api("POST", "records/jobs/", body)
    assert answer.status_code == status, answer.content
    assert code in (None, answer.data["code"])
    assert field in (None, answer.data.get("field"))
    assert "Traceback" not in answer.content.decode()
    assert state(tenant) == before


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"{", 400, "bad_request"),
        (b'{"title": NaN}', 400, "bad_request"),
        (b'{"title": "a", "title": "b"}', 400, "bad_request"),
        (b'{"title": "\\ud800"}', 400, "bad_request"),
        (b'{"title": "\xff"}', 400, "bad_request"),
        (b'{"title": "x", "attrs": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", 400, "bad_request"),
        (b'{"title": "x", "attrs": ' + b"[" * 10_000, 400, "bad_request"),
        (b'{"title": "' + b"x" * 10_000_000 + b'"}', 413, "too_large"),
    ],
)
def test_a_body_that_is_no_proper_json_is_refused(api, tenant, raw, status, code):
    for method, path in (("POST", "records/jobs/"), ("POST", "records/jobs/bulk/"), ("PATCH", "records/jobs/x/")):
        answer = api(method, path, raw=raw)
        assert (answer.status_code, answer.data["code"]) == (status, code)
    assert state(tenant) == 0 or not Change.objects.filter(tenant=tenant, table_name="jobs").exists()


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "nonsense",
        "application/json-patch+json",
    ],
)
def test_other_kinds_of_body_are_refused(api, kind):
    answer = api("POST", "records/jobs/", raw=b'{"title": "x"}', kind=kind)
    assert (answer.status_code, answer.data["code"]) == (415, "media_type")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "records/jobs/"),
        ("DELETE", "records/jobs/"),
        ("PUT", "records/jobs/x/"),
        ("POST", "objects/"),
        ("GET", "login"),
    ],
)
def test_an_unknown_method_is_told(api, method, path):
    answer = api(method, path, {})
    assert (answer.status_code, answer.data["code"]) == (405, "method")


@pytest.mark.parametrize(
    "patch",
    [
        None,
        {},
        "x",
        [1],
        [{"op": "replace"}],
        [{"op": "explode", "path": "/title"}],
        [{"op": "replace", "path": "title", "value": 1}],
        [{"op": "replace", "path": "/id", "value": "z"}],
        [{"op": "replace", "path": "", "value": {}}],
        [{"op": "add", "path": "/__proto__/x", "value": 1}],
        [{"op": "copy", "path": "/title"}],
        [{"op": "replace", "path": "/title", "value": "x"}] * 5000,
    ],
)
def test_a_bad_json_patch_is_refused(api, tenant, patch):
    made = api.ok("POST", "records/jobs/", FULL)
    before = state(tenant)
    answer = api(
        "PATCH",
        f"records/jobs/{made['id']}/",
        raw=b"null" if patch is None else None,
        body=patch,
        kind="application/json-patch+json",
    )
    assert answer.status_code in (400, 403, 413), answer.content
    assert state(tenant) == before
    assert api.ok("GET", f"records/jobs/{made['id']}/") == made


def test_if_match_lets_only_the_version_named_through(api, tenant):
    made = api.ok("POST", "records/jobs/", FULL)
    path = f"records/jobs/{made['id']}/"
    assert api("PATCH", path, {"crew": 4}, If_Match='"1"').status_code == 200
    for header in ('"1"', '"9"', 'W/"2"', '"1", "3"'):
        answer = api("PATCH", path, {"crew": 5}, If_Match=header)
        assert (answer.status_code, answer.data["code"], answer.data["version"]) == (412, "stale", 2)
        assert api("DELETE", path, If_Match=header).status_code == 412
    assert api("PATCH", path, {"crew": 5, "version": 1}).status_code == 412, "a version among the fields means the same"
    assert api("PATCH", path, {"crew": 5}, If_Match="*").status_code == 200
    assert api("PATCH", path, {"crew": 6}, If_Match='"2", "3"').data["version"] == 4
    for header in ("4", "''", '"abc"', '"-1"', '"99999999999999999999"', '"4" "5"'):
        answer = api("PATCH", path, {"crew": 7}, If_Match=header)
        assert (answer.status_code, answer.data["code"]) == (400, "bad_request")
    assert api("DELETE", path, If_Match='"4"').status_code == 204
    assert api("DELETE", path, If_Match='"5"').status_code == 404


def test_a_record_that_was_read_edited_and_sent_back_is_taken(api):
    made = api.ok("POST", "records/jobs/", FULL)
    back = api.ok("PATCH", f"records/jobs/{made['id']}/", {**made, "title": "New"})
    assert (back["title"], back["version"]) == ("New", 2)
    other = api("PATCH", f"records/jobs/{made['id']}/", {**back, "id": "other"})
    assert (other.status_code, other.data["field"]) == (400, "id")


def test_a_reader_who_has_the_version_gets_304(api):
    made = api.ok("POST", "records/jobs/", FULL)
    path = f"records/jobs/{made['id']}/"
    assert api("GET", path, If_None_Match='"1"').status_code == 304
    assert api("GET", path, If_None_Match='W/"1", "7"').status_code == 304
    assert api("GET", path, If_None_Match='"2"').status_code == 200


@pytest.mark.parametrize(
    "table", ["customers", "nope", "t1_jobs", "object_metadata", "changes", "auth_user", "jobs;drop", "Jobs", "%00"]
)
def test_an_unknown_table_and_anothers_get_the_same_404(api, stranger, table):
    made = stranger.ok("POST", "records/customers/", {"name": "Their customer"})
    if table == "customers":
        answer = api("GET", f"records/customers/{made['id']}/")
        assert (answer.status_code, answer.data["code"]) == (404, "not_found")
        assert answer.content == api("GET", "records/customers/never-was/").content
        assert api("PATCH", f"records/customers/{made['id']}/", {"name": "Mine"}).status_code == 404
        assert api("DELETE", f"records/customers/{made['id']}/").status_code == 404
        assert stranger.ok("GET", f"records/customers/{made['id']}/") == made
        return
    answers = [
        api("GET", f"records/{table}/"),
        api("POST", f"records/{table}/", {}),
        api("GET", f"records/{table}/x/"),
        api("PATCH", f"records/{table}/x/", {}),
        api("DELETE", f"records/{table}/x/"),
        api("POST", f"records/{table}/bulk/", {}),
    ]
    assert {(a.status_code, a.data["code"], a.data["message"]) for a in answers} == {
        (404, "unknown_table", "Unknown table.")
    }


def test_a_reference_to_anothers_record_is_a_missing_one(api, stranger):
    made = stranger.ok("POST", "records/customers/", {"name": "Theirs"})
    answer = api("POST", "records/jobs/", {"title": "x", "customer": made["id"]})
    assert (answer.status_code, answer.data["code"]) == (400, "missing_reference")


def test_a_unique_value_is_taken_once(api):
    api.ok("POST", "records/customers/", {"name": "Ann", "code": "A"})
    answer = api("POST", "records/customers/", {"name": "Bob", "code": "A"})
    assert (answer.status_code, answer.data["code"], answer.data["field"]) == (409, "unique", "code")


def test_bulk_operations_succeed_or_fail_one_by_one(api):
    done = api(
        "POST",
        "records/customers/bulk/",
        {
            "operations": [
                {"op": "insert", "id": "a", "values": {"name": "Ann"}},
                {"op": "insert", "values": {"name": None}},
                {"op": "update", "id": "a", "values": {"name": "Anna"}},
                {"op": "update", "id": "a", "patch": [{"op": "replace", "path": "/name", "value": "Anne"}]},
                {"op": "delete", "id": "nobody"},
            ]
        },
    )
    assert done.status_code == 207
    assert [r["status"] for r in done.data["results"]] == ["applied", "rejected", "applied", "applied", "rejected"]
    assert [r.get("code") for r in done.data["results"]] == [None, "required", None, None, "not_found"]
    assert api.ok("GET", "records/customers/a/")["name"] == "Anne"
    assert "op_id" not in done.data["results"][0]
    assert api("POST", "records/customers/bulk/", {"operations": [{"op": "delete", "id": "a"}]}).status_code == 200


def test_atomic_bulk_is_all_or_nothing(api, tenant):
    before = state(tenant)
    operations = [
        {"op": "insert", "id": "a", "values": {"name": "Ann"}},
        {"op": "insert", "id": "b", "values": {}},
        {"op": "insert", "id": "c", "values": {"name": "C"}},
    ]
    done = api("POST", "records/customers/bulk/", {"atomic": True, "operations": operations})
    assert done.status_code == 409
    assert [r["code"] for r in done.data["results"]] == ["tx_aborted", "required", "tx_aborted"]
    assert state(tenant) == before
    operations[1]["values"] = {"name": "Bob"}
    assert api("POST", "records/customers/bulk/", {"atomic": True, "operations": operations}).status_code == 200
    assert state(tenant) == before + 3


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"operations": []},
        {"operations": {}},
        {"operations": [7]},
        {"operations": [None]},
        {"operations": [{}]},
        {"operations": [{"op": "insert"}] * 1001},
        {"operations": [{"op": "upsert", "id": "a"}]},
        {"operations": [{"op": ["insert"], "id": "a"}]},
        {"operations": [{"op": "delete"}]},
        {"operations": [{"op": "delete", "id": "a", "values": {}}]},
        {"operations": [{"op": "insert", "id": "a", "values": []}]},
        {"operations": [{"op": "update", "id": "a", "values": {}, "patch": []}]},
        {"operations": [{"op": "update", "id": "a", "base_version": "1", "values": {}}]},
        {"operations": [{"op": "update", "id": "a", "base_version": True, "values": {}}]},
        {"operations": [{"op": "delete", "id": "a", "table": "jobs"}]},
        {"atomic": "yes", "operations": [{"op": "delete", "id": "a"}]},
    ],
)
def test_a_malformed_bulk_is_refused_as_a_whole(api, tenant, body):
    before = state(tenant)
    answer = api("POST", "records/customers/bulk/", body)
    assert (answer.status_code, answer.data["code"]) == (400, "bad_request")
    assert state(tenant) == before


def test_a_bulk_update_of_an_old_version_merges_or_ends_in_the_inbox(api):
    made = api.ok("POST", "records/customers/", {"name": "Ann", "code": "A"})
    api.ok("PATCH", f"records/customers/{made['id']}/", {"name": "Anna"})
    old = {"op": "update", "id": made["id"], "base_version": 1}
    done = api(
        "POST",
        "records/customers/bulk/",
        {"operations": [{**old, "values": {"code": "B"}}, {**old, "values": {"name": "Anne"}}]},
    )
    merged, conflict = done.data["results"]
    assert merged["status"] == "merged"
    assert (conflict["status"], conflict["mine"]["name"], conflict["theirs"]["name"]) == ("conflict", "Anne", "Anna")


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(sorted(FULL)) | st.text(max_size=8), junk, max_size=4))
@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_fields_come_the_answer_is_coded(api, body):
    answer = api("POST", "records/jobs/", body)
    assert answer.status_code == 201 or (answer.status_code in (400, 409, 413) and answer.data["code"]), answer.content


@pytest.mark.django_db(transaction=True)
def test_of_many_writers_with_the_same_if_match_exactly_one_wins(api, tenant):
    made = api.ok("POST", "records/jobs/", FULL)
    path = f"records/jobs/{made['id']}/"
    callers = [Api(tenant, make_user(tenant)) for _ in range(4)]
    codes: list[int] = []

    def write(caller, number):
        try:
            codes.append(caller("PATCH", path, {"crew": 10 + number}, If_Match='"1"').status_code)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=write, args=(caller, number)) for number, caller in enumerate(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(codes) == [200, 412, 412, 412], connection.vendor
    assert api.ok("GET", path)["version"] == 2


def test_a_patch_that_changes_nothing_is_harmless(api):
    made = api.ok("POST", "records/jobs/", FULL)
    for body in ({}, {"title": FULL["title"]}, {name: value for name, value in made.items() if name != "version"}):
        back = api.ok("PATCH", f"records/jobs/{made['id']}/", body)
        assert {**back, "version": 1} == made
