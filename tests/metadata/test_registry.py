"""Generated models: wire values in and out, on every database."""

import pytest
from django.apps import apps
from django.db import connection

from metadata.catalog import schema_of
from metadata.fieldtypes import InvalidValue, to_db
from metadata.kinds import KINDS
from metadata.publish import publish
from metadata.registry import LOOKUPS, model_for
from tests.builders import make_object_type, make_tenant

pytestmark = pytest.mark.django_db

VALUES = {
    "text": ("Ärger % _ \\ 'x'", "z"),
    "integer": (-(2**53) + 1, 7),
    "real": (-1.5, 1e300),
    "decimal": ("-10.50", "1234567890123.45"),
    "boolean": (False, True),
    "date": ("0001-01-01", "2026-11-21"),
    "datetime": ("2026-11-21T09:00:00.000000Z", "2026-11-21T09:00:00.000001Z"),
    "uuid": ("0190b3c4-0000-7000-8000-00000000000f", "f190b3c4-0000-7000-8000-00000000000f"),
    "json": ({"a": [1, 2.5, None, "ü"]}, "text"),
    "choice": ("a", "b"),
    "reference": ("r1", "r2"),
}


@pytest.fixture
def table():
    """Two records with a value of every kind, and one with none."""
    tenant = make_tenant()
    target = make_object_type(tenant, "target", {})
    fields = {kind: {"kind": kind, "choices": ["a", "b"], "reference": target} for kind in VALUES}
    make_object_type(tenant, "thing", {f"f_{kind}": about for kind, about in fields.items()})
    version = publish(tenant.pk).schema_version
    schema = schema_of(tenant.pk, version)
    spec = schema.by_table["things"]
    with connection.cursor() as cursor:
        cursor.executemany(
            f'INSERT INTO "t{tenant.pk}_targets" ("id", "version", "_cursor") VALUES (%s, 1, 1)', [["r1"], ["r2"]]
        )
        columns = ", ".join(f'"{field.name}"' for field in spec.fields)
        marks = ", ".join(["%s"] * len(spec.fields))
        for i in (0, 1):
            row = [to_db(field, VALUES[field.kind][i], connection.vendor) for field in spec.fields]
            cursor.execute(
                f'INSERT INTO "t{tenant.pk}_things" ("id", "version", "_cursor", {columns}) VALUES (%s, 1, 1, {marks})',
                [f"x{i}", *row],
            )
        cursor.execute(f'INSERT INTO "t{tenant.pk}_things" ("id", "version", "_cursor") VALUES (%s, 1, 1)', ["x2"])
    return model_for(tenant.pk, "things", schema)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_reads_the_wire_value_that_was_stored(table, kind):
    values = dict(table.objects.values_list("id", f"f_{kind}"))
    assert values == {"x0": VALUES[kind][0], "x1": VALUES[kind][1], "x2": None}
    assert type(values["x0"]) is type(VALUES[kind][0])
    assert getattr(table.objects.get(id="x1"), f"f_{kind}") == VALUES[kind][1]


@pytest.mark.parametrize(
    ("kind", "lookup"), [(kind, lookup) for kind, lookups in LOOKUPS.items() for lookup in lookups]
)
def test_every_lookup_that_is_promised_works(table, kind, lookup):
    low, high = VALUES[kind]
    value = {"in": [low], "isnull": False}.get(lookup, low)
    found = set(table.objects.filter(**{f"f_{kind}__{lookup}": value}).values_list("id", flat=True))
    expected = {"isnull": {"x0", "x1"}, "gt": {"x1"}, "gte": {"x0", "x1"}, "lt": set(), "lte": {"x0"}}
    if kind == "text" and lookup in ("gt", "gte", "lt", "lte"):
        assert found <= {"x0", "x1"}
    else:
        assert found == expected.get(lookup, {"x0"})
    assert high is not None


@pytest.mark.parametrize("kind", ["integer", "real", "decimal", "date", "datetime"])
def test_a_model_orders_by_value(table, kind):
    assert list(
        table.objects.filter(**{f"f_{kind}__isnull": False}).order_by(f"-f_{kind}").values_list("id", flat=True)
    ) == ["x1", "x0"]


def test_a_filter_with_a_bad_value_is_refused_with_a_code(table):
    with pytest.raises(InvalidValue) as refused:
        list(table.objects.filter(f_date="2026-02-30"))
    assert refused.value.code == "bad_value"


def test_asking_for_a_choice_that_is_not_offered_finds_nothing(table):
    assert not table.objects.filter(f_choice="zzz").exists()


def test_generated_models_stay_out_of_djangos_registry(table):
    assert table not in apps.get_models()
    assert "records" not in apps.app_configs


def test_the_same_version_gives_the_same_model_and_a_new_one_a_new_model():
    tenant = make_tenant()
    make_object_type(tenant, "a", {"x": "text"})
    one = schema_of(tenant.pk, publish(tenant.pk).schema_version)
    make_object_type(tenant, "b", {"x": "text"})
    two = schema_of(tenant.pk, publish(tenant.pk).schema_version)
    assert model_for(tenant.pk, "as_list", one) is model_for(tenant.pk, "as_list", one)
    assert model_for(tenant.pk, "as_list", one) is not model_for(tenant.pk, "as_list", two)
    with pytest.raises(KeyError):
        model_for(tenant.pk, "bs", one)
