"""However object types evolve, the database matches the definitions, and all replicas end up equal."""

import sqlite3

import pytest
from django.db import connection
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from metadata.catalog import forget, schema_of
from metadata.doctor import examine
from metadata.export import revisions
from metadata.fieldtypes import from_db
from metadata.kinds import KINDS
from metadata.models import ObjectField, ObjectMetadata
from metadata.plan_checks import WIDER
from metadata.publish import publish
from metadata.replica_ddl import SYSTEM_TABLES_SQL, command_sql, create_table_sql
from metadata.schema import physical_name
from tests.builders import make_tenant

DEFAULTS = {
    "text": ["it's", "ü\n"],
    "integer": [0, -5, 2**53 - 1],
    "real": [0.1, -1e15],
    "decimal": ["0.00", "-12.50"],
    "boolean": [True, False],
    "date": ["2026-02-28"],
    "datetime": ["2026-11-21T09:00:00.000001Z"],
    "uuid": ["0190b3c4-0000-7000-8000-00000000000f"],
    "json": [{"a": ["it's", 1.5]}, [], "x"],
    "choice": ["a"],
    "reference": [],
}


class World:
    """A tenant whose drafts are edited at random, and a replica that applies every revision."""

    def __init__(self, draw):
        self.draw = draw
        self.tenant = make_tenant()
        self.replica = sqlite3.connect(":memory:")
        for statement in SYSTEM_TABLES_SQL:
            self.replica.execute(statement)
        self.version = 0
        self.numbers = 0

    def pick(self, items):
        return self.draw(st.sampled_from(list(items)))

    def types(self):
        return list(ObjectMetadata.objects.filter(tenant=self.tenant, retired=False))

    def name(self):
        self.numbers += 1
        return self.pick(["f", "order", "a_b", "x" * 30]) + f"_{self.numbers}"

    def edit(self):
        types = self.types()
        actions = (
            [self.add_type]
            if len(types) < 2
            else [self.add_type, self.add_field, self.add_field, self.change_field, self.change_field]
        )
        actions += [self.retire_field, self.retire_type] if len(types) > 2 else []
        self.pick(actions)()

    def add_type(self):
        one = ObjectMetadata.objects.create(tenant=self.tenant, object_name=self.name())
        for _ in range(self.draw(st.integers(0, 3))):
            self.add_field(one)

    def add_field(self, one=None):
        kind = self.pick(KINDS)
        default = self.pick([None, *DEFAULTS[kind]])
        ObjectField.objects.create(
            object_type=one or self.pick(self.types()),
            name=self.name(),
            kind=kind,
            position=self.draw(st.integers(0, 5)),
            default=default,
            required=default is not None and self.draw(st.booleans()),
            unique=kind != "json" and default is None and self.draw(st.booleans()),
            indexed=kind != "json" and self.draw(st.booleans()),
            choices=["a", "b"],
            reference=self.pick(self.types()),
        )

    def fields(self):
        return list(ObjectField.objects.filter(object_type__in=self.types(), retired=False))

    def change_field(self):
        fields = self.fields()
        if not fields:
            return
        field = self.pick(fields)
        field.label = self.name()
        if field.kind != "json":
            field.indexed = self.draw(st.booleans())
            field.unique = field.default is None and self.draw(st.booleans())
        if field.kind in WIDER and field.default != 2**53 - 1:
            field.kind = self.pick([field.kind, *WIDER[field.kind]])
        field.save()

    def retire_field(self):
        fields = self.fields()
        if fields:
            ObjectField.objects.filter(pk=self.pick(fields).pk).update(retired=True)

    def retire_type(self):
        one = self.pick(self.types())
        ObjectField.objects.filter(reference=one).update(retired=True)
        ObjectMetadata.objects.filter(pk=one.pk).update(retired=True)

    def publish(self):
        known, before = {spec.table_name for spec in self.schema().objects}, self.version
        self.version = publish(self.tenant.pk).schema_version
        for revision in revisions(self.tenant.pk, before):
            for command in revision["commands"]:
                for statement in command_sql(command):
                    self.replica.execute(statement)
        for spec in self.schema().objects:
            if spec.table_name not in known:
                self.insert(spec)

    def insert(self, spec):
        """Add a record of nulls, as if it had existed before later fields were added."""
        names = ["id", "version", *(field.name for field in spec.fields)]
        columns = ", ".join(f'"{name}"' for name in names)
        values = ", ".join(["'r'", "1", *["NULL"] * len(spec.fields)])
        self.replica.execute(f'INSERT INTO "{spec.table_name}" ({columns}) VALUES ({values})')
        with connection.cursor() as cursor:
            table = physical_name(self.tenant.pk, spec.table_name)
            cursor.execute(f'INSERT INTO "{table}" ({columns}, "_cursor") VALUES ({values}, 1)')

    def schema(self):
        forget(self.tenant.pk)
        return schema_of(self.tenant.pk, self.version)

    def server_record(self, spec):
        with connection.cursor() as cursor:
            columns = ", ".join(f'"{field.name}"' for field in spec.fields) or "1"
            cursor.execute(f'SELECT {columns} FROM "{physical_name(self.tenant.pk, spec.table_name)}"')
            row = cursor.fetchone()
        return [from_db(field, value, connection.vendor) for field, value in zip(spec.fields, row, strict=False)]

    def replica_record(self, spec):
        columns = ", ".join(f'"{field.name}"' for field in spec.fields) or "1"
        row = self.replica.execute(f'SELECT {columns} FROM "{spec.table_name}"').fetchone()
        return [from_db(field, value, "sqlite") for field, value in zip(spec.fields, row, strict=False)]


def shape(replica):
    """Return tables with columns, and indexes with theirs. Numbers are one type: a widened column keeps its own."""
    tables = [name for (name,) in replica.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    numbers = {"INTEGER": "number", "REAL": "number", "NUMERIC": "number"}
    columns = {
        t: [(c[1], numbers.get(c[2], c[2]), c[3], c[5]) for c in replica.execute(f'PRAGMA table_info("{t}")')]
        for t in tables
    }
    indexes = set(replica.execute("SELECT name, tbl_name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"))
    return columns, indexes


def fresh(schema):
    replica = sqlite3.connect(":memory:")
    for statement in SYSTEM_TABLES_SQL + [sql for spec in schema.objects for sql in create_table_sql(spec)]:
        replica.execute(statement)
    return replica


@pytest.mark.contract
@pytest.mark.django_db
# No shrinking: every example creates tables, and a failing one names its edits clearly enough.
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(st.data())
def test_random_legal_evolution_keeps_database_replicas_and_definitions_equal(data):
    world = World(data.draw)
    for _ in range(data.draw(st.integers(1, 5))):
        for _ in range(data.draw(st.integers(1, 4))):
            world.edit()
        world.publish()
        schema = world.schema()
        assert examine(world.tenant) == []
        new = fresh(schema)
        assert shape(world.replica) == shape(new)
        new.close()
        for spec in schema.objects:
            assert world.server_record(spec) == world.replica_record(spec)
    late = sqlite3.connect(":memory:")
    for statement in SYSTEM_TABLES_SQL:
        late.execute(statement)
    for revision in revisions(world.tenant.pk, 0):
        for command in revision["commands"]:
            for statement in command_sql(command):
                late.execute(statement)
    assert shape(late) == shape(world.replica)
    late.close()
    world.replica.close()
