"""Publishing: all or nothing, one at a time, and only what the data allows."""

import threading

import pytest
from django.db import connection, transaction
from django.test import override_settings

from metadata import catalog, ddl
from metadata.catalog import schema_of
from metadata.doctor import examine
from metadata.errors import DdlFailed
from metadata.export import revisions
from metadata.introspection import type_tables
from metadata.models import ObjectField, ObjectMetadata, SchemaRevision
from metadata.publish import publish
from metadata.schema import physical_name
from metadata.signals import object_types_published
from tenants.errors import MoatError, ValidationFailed
from tenants.models import Tenant
from tests.builders import make_field_service, make_object_type, make_tenant

pytestmark = [pytest.mark.contract, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def signals():
    """What the signal sent, publish by publish."""
    signals = []

    def listen(sender, **sent):
        signals.append(sent)

    object_types_published.connect(listen)
    yield signals
    object_types_published.disconnect(listen)


def insert(tenant, table, **values):
    values = {"version": 1, "_cursor": 1} | values
    columns = ", ".join(f'"{name}"' for name in values)
    marks = ", ".join(["%s"] * len(values))
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO "{physical_name(tenant.pk, table)}" ({columns}) VALUES ({marks})', list(values.values())
        )


def version_of(tenant):
    return Tenant.objects.get(pk=tenant.pk).schema_version


def edit(tenant, path, **changes):
    object_name, name = path.split(".")
    ObjectField.objects.filter(object_type__tenant=tenant, object_type__object_name=object_name, name=name).update(
        **changes
    )


def refusal(tenant, *names):
    with pytest.raises(ValidationFailed) as refused:
        publish(tenant.pk, names or None)
    return [(problem.where, problem.message) for problem in refused.value.problems]


def test_a_publish_makes_tables_and_tells_the_layers_above(signals):
    tenant = make_tenant()
    make_field_service(tenant)
    done = publish(tenant.pk)
    assert (done.schema_version, version_of(tenant)) == (1, 1)
    assert examine(tenant) == []
    [sent] = signals
    assert (sent["by"], sent["locked"].schema_version) == ("system", 1)
    assert {name: (old, new["table_name"]) for name, old, new in sent["changes"]} == {
        "customer": (None, "customers"),
        "job": (None, "jobs"),
        "line_item": (None, "line_items"),
    }
    assert revisions(tenant.pk, 0) == [{"schema_version": 1, "commands": done.commands}]
    assert revisions(tenant.pk, 1) == []


def test_a_dry_run_says_the_same_and_changes_nothing(signals):
    tenant = make_tenant()
    make_field_service(tenant)
    rehearsal = publish(tenant.pk, dry_run=True)
    assert version_of(tenant) == 0
    assert not any(name.startswith(f"t{tenant.pk}_") for name in type_tables())
    assert publish(tenant.pk) == rehearsal
    assert len(signals) == 1


def test_with_nothing_to_do_no_version_is_spent(signals):
    tenant = make_tenant()
    make_field_service(tenant)
    publish(tenant.pk)
    again = publish(tenant.pk)
    assert (again.schema_version, again.plan, version_of(tenant)) == (1, [], 1)
    assert len(signals) == 1


def test_a_failure_after_the_ddl_leaves_nothing_behind():
    tenant = make_tenant()
    make_field_service(tenant)

    def fail(sender, **sent):
        # Layers above may read the new schema; the cache must not keep it when the transaction fails.
        assert "jobs" in schema_of(tenant.pk, sent["locked"].schema_version).by_table
        raise RuntimeError("no")

    object_types_published.connect(fail)
    try:
        with pytest.raises(RuntimeError):
            publish(tenant.pk)
    finally:
        object_types_published.disconnect(fail)
    assert version_of(tenant) == 0
    assert not SchemaRevision.objects.exists()
    assert not ObjectMetadata.objects.exclude(published=None).exists()
    assert not any(name.startswith(f"t{tenant.pk}_") for name in type_tables())
    assert schema_of(tenant.pk, 1).objects == ()
    publish(tenant.pk, ["customer"])
    catalog.forget(tenant.pk)
    assert set(schema_of(tenant.pk, 1).by_table) == {"customers"}


def test_a_statement_the_database_refuses_undoes_the_whole_publish():
    tenant = make_tenant()
    make_field_service(tenant)
    with connection.cursor() as cursor:
        cursor.execute(f'CREATE TABLE "t{tenant.pk}_jobs" ("x" integer)')
    with pytest.raises(DdlFailed) as failed:
        publish(tenant.pk)
    assert failed.value.code == "ddl_failed"
    assert version_of(tenant) == 0
    assert f"t{tenant.pk}_customers" not in type_tables()
    with connection.cursor() as cursor:
        cursor.execute(f'DROP TABLE "t{tenant.pk}_jobs"')


def test_a_rolled_back_publish_never_fills_the_cache():
    tenant = make_tenant()
    make_object_type(tenant, "job", {"a": "text"})
    with pytest.raises(RuntimeError), transaction.atomic():
        publish(tenant.pk)
        assert schema_of(tenant.pk, 1).by_table["jobs"]
        raise RuntimeError
    ObjectMetadata.objects.all().delete()
    make_object_type(tenant, "task", {"a": "text"})
    publish(tenant.pk)
    assert set(schema_of(tenant.pk, 1).by_table) == {"tasks"}


def test_a_stale_version_gets_the_newer_schema_and_is_told_so():
    tenant = make_tenant()
    make_object_type(tenant, "job", {"a": "text"})
    publish(tenant.pk)
    catalog.forget(tenant.pk)
    make_object_type(tenant, "task", {"a": "text"})
    publish(tenant.pk)
    schema = schema_of(tenant.pk, 1)
    assert (schema.schema_version, len(schema.objects)) == (2, 2)


def test_publishes_at_the_same_time_never_lose_a_version():
    tenant = make_tenant()
    count = 6
    for i in range(count):
        make_object_type(tenant, f"kind_{i}", {"a": "text"})
    errors = []

    def work(i):
        try:
            publish(tenant.pk, [f"kind_{i}"])
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert version_of(tenant) == count
    assert sorted(SchemaRevision.objects.values_list("schema_version", flat=True)) == list(range(1, count + 1))
    assert examine(tenant) == []


def test_existing_records_read_the_default_of_a_new_field():
    tenant = make_tenant()
    job = make_object_type(tenant, "job", {"a": "text"})
    publish(tenant.pk)
    insert(tenant, "jobs", id="1")
    ObjectField.objects.create(object_type=job, name="b", kind="decimal", default=1, required=True)
    publish(tenant.pk)
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT "b" FROM "t{tenant.pk}_jobs"')
        assert cursor.fetchone()[0] == 1


def test_a_field_can_only_become_required_when_every_live_record_has_a_value():
    tenant = make_tenant()
    job = make_object_type(tenant, "job", {"a": "text"})
    publish(tenant.pk)
    insert(tenant, "jobs", id="1", a="x")
    insert(tenant, "jobs", id="2", _deleted=True)
    edit(tenant, "job.a", required=True)
    publish(tenant.pk)
    edit(tenant, "job.a", required=False)
    publish(tenant.pk)
    insert(tenant, "jobs", id="3")
    insert(tenant, "jobs", id="4")
    edit(tenant, "job.a", required=True)
    assert refusal(tenant) == [("job.a", "Can’t make this required: 2 records have no value.")]
    edit(tenant, "job.a", required=False)
    ObjectField.objects.create(object_type=job, name="b", kind="text", required=True)
    assert "3 records would have no value" in refusal(tenant)[0][1]
    assert version_of(tenant) == 3


def test_a_field_can_only_become_unique_without_duplicates_among_live_records():
    tenant = make_tenant()
    make_object_type(tenant, "job", {"a": "text"})
    publish(tenant.pk)
    insert(tenant, "jobs", id="1", a="x")
    insert(tenant, "jobs", id="2", a="x", _deleted=True)
    insert(tenant, "jobs", id="3")
    insert(tenant, "jobs", id="4")
    edit(tenant, "job.a", unique=True)
    publish(tenant.pk)
    edit(tenant, "job.a", unique=False)
    publish(tenant.pk)
    insert(tenant, "jobs", id="5", a="x")
    edit(tenant, "job.a", unique=True)
    assert refusal(tenant) == [("job.a", "Can’t make this unique: 2 records share a value.")]


def test_other_tightening_is_refused_while_records_are_in_the_way():
    tenant = make_tenant()
    fields = {"a": "text", "n": "integer", "c": {"kind": "choice", "choices": ["x", "y"]}}
    make_object_type(tenant, "job", fields, subtypes=["s", "t"], statuses=["open", "done"])
    publish(tenant.pk)
    insert(tenant, "jobs", id="1", a="x" * 501, n=10**13, c="y", object_type="t", status="done")
    edit(tenant, "job.a", indexed=True)
    edit(tenant, "job.n", kind="decimal")
    edit(tenant, "job.c", choices=["x"])
    ObjectMetadata.objects.update(subtypes=["s"], statuses=["open"])
    assert [where for where, _ in refusal(tenant)] == ["job.subtypes", "job.statuses", "job.a", "job.n", "job.c"]
    with connection.cursor() as cursor:
        cursor.execute(
            f"""UPDATE "t{tenant.pk}_jobs" SET "a" = 'x', "n" = -5, "c" = 'x', "object_type" = 's', "status" = 'open'"""
        )
    publish(tenant.pk)
    assert examine(tenant) == []


def test_widening_keeps_every_value():
    tenant = make_tenant()
    fields = {
        "n": "integer",
        "m": {"kind": "integer", "default": 3},
        "u": {"kind": "uuid", "unique": True},
        "c": {"kind": "choice", "choices": ["x"]},
    }
    make_object_type(tenant, "job", fields)
    publish(tenant.pk)
    insert(tenant, "jobs", id="1", n=7, m=8, u="0190b3c4-0000-7000-8000-00000000000f", c="x")
    edit(tenant, "job.n", kind="real")
    edit(tenant, "job.m", kind="decimal")
    edit(tenant, "job.u", kind="text")
    edit(tenant, "job.c", kind="text")
    publish(tenant.pk)
    assert examine(tenant) == []
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT "n", "m", "u", "c" FROM "t{tenant.pk}_jobs"')
        assert cursor.fetchone() == (7, 8, "0190b3c4-0000-7000-8000-00000000000f", "x")


def test_a_missing_parent_is_noticed_at_the_commit_and_not_before():
    tenant = make_tenant()
    make_field_service(tenant)
    publish(tenant.pk)
    with transaction.atomic():
        insert(tenant, "line_items", id="1", job="later")
        insert(tenant, "jobs", id="later", title="x")
    with pytest.raises(Exception, match=r"(?i)foreign key"), transaction.atomic():
        insert(tenant, "line_items", id="2", job="never")


def test_a_retired_field_keeps_its_column_and_its_name_for_ever():
    tenant = make_tenant()
    job = make_object_type(tenant, "job", {"a": {"kind": "text", "unique": True}, "b": "text"})
    publish(tenant.pk)
    insert(tenant, "jobs", id="1", a="kept")
    edit(tenant, "job.a", retired=True)
    done = publish(tenant.pk)
    assert [command["command"] for command in done.commands] == ["retire_column"]
    assert examine(tenant) == []
    edit(tenant, "job.a", retired=False)
    assert "A retired field used this name" in refusal(tenant)[0][1]
    job.fields.filter(name="a").delete()
    ObjectField.objects.create(object_type=job, name="a", kind="integer")
    assert "A retired field used this name" in refusal(tenant)[0][1]


def test_a_retired_type_leaves_the_schema_and_cannot_come_back():
    tenant = make_tenant()
    make_object_type(tenant, "job", {"a": "text"})
    publish(tenant.pk)
    ObjectMetadata.objects.update(retired=True)
    assert [command["command"] for command in publish(tenant.pk).commands] == ["retire_table"]
    assert schema_of(tenant.pk, 2).objects == ()
    assert publish(tenant.pk).plan == []
    ObjectMetadata.objects.update(retired=False)
    assert "can’t be restored" in refusal(tenant)[0][1]
    assert examine(tenant) == []


def test_a_definition_too_large_for_clients_is_refused():
    tenant = make_tenant()
    fields = {f"f{i}": {"kind": "choice", "choices": [f"{n}-{'x' * 70}" for n in range(900)]} for i in range(8)}
    make_object_type(tenant, "job", fields)
    assert "The definition exceeds" in refusal(tenant)[0][1]


def test_a_resolver_must_be_allowed_by_the_installation():
    tenant = make_tenant()
    make_object_type(tenant, "job", {}, conflict_policy="builtins.dict")
    assert refusal(tenant)[0][0] == "job.conflict_policy"
    with override_settings(MOAT={"RESOLVERS": ["builtins.dict", "no.such.Thing"]}):
        publish(tenant.pk)
        ObjectMetadata.objects.update(conflict_policy="no.such.Thing")
        assert refusal(tenant)[0][0] == "job.conflict_policy"


def test_an_unknown_tenant_is_an_error_with_a_code():
    with pytest.raises(MoatError) as error:
        publish(10**9)
    assert error.value.code == "unknown_tenant"


def test_ddl_refuses_to_run_outside_a_transaction():
    with pytest.raises(DdlFailed):
        ddl.execute(["SELECT 1"])


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer and no table locks")
def test_a_reader_in_the_way_makes_the_publish_wait_and_then_give_up(monkeypatch):
    monkeypatch.setattr(ddl, "LOCK_TIMEOUT", "50ms")
    tenant = make_tenant()
    job = make_object_type(tenant, "job", {"a": "text"})
    publish(tenant.pk)
    ObjectField.objects.create(object_type=job, name="b", kind="text")
    reading, done, outcome = threading.Event(), threading.Event(), []

    def read():
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(f'SELECT * FROM "t{tenant.pk}_jobs"')
                reading.set()
                done.wait(20)
        finally:
            connection.close()

    reader = threading.Thread(target=read)
    reader.start()
    reading.wait(20)
    try:
        publish(tenant.pk)
    except DdlFailed as failed:
        outcome.append(failed.code)
    assert (outcome, version_of(tenant)) == (["busy"], 1)
    later = threading.Timer(0.3, done.set)
    later.start()
    assert publish(tenant.pk).schema_version == 2
    reader.join()
