"""publish_objects, check_objects, trim_columns, and the system checks: their output and exit codes."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections

from metadata import checks
from metadata.doctor import examine
from metadata.introspection import type_tables
from metadata.models import ObjectField, ObjectMetadata
from metadata.publish import publish
from tenants.models import Tenant
from tests.builders import make_field_service, make_object_type, make_tenant

pytestmark = [pytest.mark.contract, pytest.mark.django_db(transaction=True)]


def run(name, *args):
    """Return (exit code, standard output, standard error)."""
    out, err = StringIO(), StringIO()
    try:
        call_command(name, *args, stdout=out, stderr=err)
    except CommandError as error:
        return error.returncode, out.getvalue(), err.getvalue() + str(error)
    except SystemExit as stop:
        return stop.code, out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


def execute(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)


def test_publish_objects_shows_the_plan_and_then_runs_it():
    tenant = make_tenant("acme")
    make_field_service(tenant)
    code, out, _ = run("publish_objects", "--tenant", "acme", "--dry-run")
    assert code == 0
    assert "CREATE TABLE" in out
    assert "Would publish schema version 1." in out
    assert Tenant.objects.get().schema_version == 0
    code, out, _ = run("publish_objects", "--tenant", "acme", "--object", "customer")
    assert (code, out.splitlines()[-1]) == (0, "Published schema version 1.")
    code, out, _ = run("publish_objects", "--tenant", "acme", "--json")
    assert json.loads(out)["schema_version"] == 2
    assert run("publish_objects", "--tenant", "acme")[1] == "Nothing to publish. Schema version is 2.\n"


def test_publish_objects_names_every_problem_and_fails():
    make_object_type(make_tenant("acme"), "job", {"select": "text", "c": "choice"})
    code, _, err = run("publish_objects", "--tenant", "acme")
    assert code == 1
    assert "job.select: " in err
    assert "job.c: " in err
    code, out, _ = run("publish_objects", "--tenant", "acme", "--json")
    assert (code, len(json.loads(out)["problems"])) == (1, 2)
    assert run("publish_objects", "--tenant", "nobody")[0] == 1
    assert run("publish_objects", "--tenant", "acme", "--object", "nothing")[0] == 1


def broken(tenant, *statements):
    for sql in statements:
        execute(sql.replace("T_", f"t{tenant.pk}_"))
    code, out, _ = run("check_objects", "--tenant", tenant.slug, "--json")
    assert code == (1 if json.loads(out)["drift"] else 0)
    return {(drift["table"].split("_", 1)[1], drift["code"]) for drift in json.loads(out)["drift"]}


def test_check_objects_finds_nothing_when_all_is_well():
    tenant = make_tenant()
    make_field_service(tenant)
    publish(tenant.pk)
    assert run("check_objects", "--tenant", tenant.slug) == (0, "The database matches the definitions.\n", "")
    assert run("check_objects", "--tenant", "nobody")[0] == 1


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (['ALTER TABLE "T_customers" ADD COLUMN "extra" integer'], ("customers", "extra_column")),
        (['ALTER TABLE "T_jobs" DROP COLUMN "notes"'], ("jobs", "missing_column")),
        (['DROP INDEX "ix_T_jobs__due"'], ("jobs", "missing_index")),
        (
            ['DROP INDEX "ux_T_customers__code"', 'CREATE INDEX "ux_T_customers__code" ON "T_customers" ("code")'],
            ("customers", "wrong_index"),
        ),
        (['CREATE UNIQUE INDEX "mine_T_jobs" ON "T_jobs" ("title")'], ("jobs", "extra_unique_index")),
        (['DROP TABLE "T_line_items"'], ("line_items", "missing_table")),
        (['CREATE TABLE "T_strangers" ("id" text)'], ("strangers", "extra_table")),
        (
            ['ALTER TABLE "T_customers" DROP COLUMN "name"', 'ALTER TABLE "T_customers" ADD COLUMN "name" integer'],
            ("customers", "wrong_type"),
        ),
    ],
)
def test_check_objects_names_what_differs(statements, expected):
    tenant = make_tenant()
    make_field_service(tenant)
    publish(tenant.pk)
    assert broken(tenant, *statements) == {expected}


def test_check_objects_notices_a_lost_foreign_key_and_a_lost_revision():
    tenant = make_tenant()
    make_field_service(tenant)
    publish(tenant.pk)
    drop = [
        'DROP INDEX "ix_T_jobs__customer"',
        'ALTER TABLE "T_jobs" DROP COLUMN "customer"',
        'ALTER TABLE "T_jobs" ADD COLUMN "customer" text',
    ]
    found = broken(tenant, *drop, 'CREATE INDEX "ix_T_jobs__customer" ON "T_jobs" ("customer")')
    assert found == {("jobs", "missing_link")}
    Tenant.objects.filter(pk=tenant.pk).update(schema_version=2)
    assert ("schema_revision", "missing_revision") in {(d.table, d.code) for d in examine(tenant)}


def test_check_objects_notices_tables_of_no_tenant():
    execute('CREATE TABLE "t999999_orphans" ("id" text)')
    try:
        assert any(drift.table == "t999999_orphans" and drift.tenant == "" for drift in examine())
    finally:
        execute('DROP TABLE "t999999_orphans"')


def retire_everything(tenant):
    """Retire the customer field of jobs, and customers; both referring directions have records."""
    types = make_field_service(tenant)
    ObjectField.objects.create(object_type=types["customer"], name="main_job", kind="reference", reference=types["job"])
    publish(tenant.pk)
    name = f"t{tenant.pk}"
    execute(f"""INSERT INTO "{name}_customers" ("id", "version", "_cursor") VALUES ('c', 1, 1)""")
    execute(f"""INSERT INTO "{name}_jobs" ("id", "version", "_cursor", "customer") VALUES ('j', 1, 1, 'c')""")
    execute(f"""UPDATE "{name}_customers" SET "main_job" = 'j'""")
    ObjectField.objects.filter(object_type=types["job"], name__in=["customer", "notes"]).update(retired=True)
    ObjectMetadata.objects.filter(pk=types["customer"].pk).update(retired=True)
    publish(tenant.pk)


def test_trim_columns_drops_what_was_retired_after_asking(monkeypatch):
    tenant = make_tenant()
    retire_everything(tenant)
    code, out, _ = run("trim_columns", "--dry-run")
    assert code == 0
    assert "column jobs.customer with 1 value\n" in out
    assert "table customers with 1 record\n" in out
    monkeypatch.setattr("builtins.input", lambda prompt: "no")
    assert run("trim_columns")[0] == 1
    assert f"t{tenant.pk}_customers" in type_tables()
    assert run("trim_columns", "--tenant", tenant.slug, "--yes")[0] == 0
    tables = type_tables()
    assert f"t{tenant.pk}_customers" not in tables
    assert {"customer", "notes"}.isdisjoint(tables[f"t{tenant.pk}_jobs"].columns)
    assert examine(tenant) == []
    assert run("trim_columns")[1] == "Nothing to trim.\n"
    assert run("trim_columns", "--tenant", "nobody")[0] == 1
    assert publish(tenant.pk).plan == []


def test_types_that_refer_to_each_other_can_be_trimmed_together():
    tenant = make_tenant()
    retire_everything(tenant)
    ObjectMetadata.objects.filter(tenant=tenant).update(retired=True)
    publish(tenant.pk)
    assert run("trim_columns", "--yes")[0] == 0
    assert not any(name.startswith(f"t{tenant.pk}_") for name in type_tables())
    assert examine(tenant) == []


def test_atomic_requests_is_refused(monkeypatch):
    assert list(checks.atomic_requests_are_off(None)) == []
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)
    assert [message.id for message in checks.atomic_requests_are_off(None)] == ["metadata.E001"]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="only SQLite reads all definitions on opening")
def test_many_tables_on_sqlite_are_warned_of(monkeypatch):
    assert list(checks.not_too_many_tables(None, databases=["default"])) == []
    monkeypatch.setattr(checks, "MANY_TABLES", 3)
    assert [message.id for message in checks.not_too_many_tables(None, databases=["default"])] == ["metadata.W001"]
