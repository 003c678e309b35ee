"""Django models for type tables, made at run time, for reading: browse, filter, order. All writes go through the engine.

A model's values are wire values on every database: what a field stores is converted on the way out, and what a filter
compares with on the way in. The models live in an `Apps` of their own and never in the global registry, so nothing of
Django's (admin, contenttypes, makemigrations, flush) meets them.
"""

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Any

from django.apps.registry import Apps
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from metadata.fieldtypes import clean, column_type, from_db, to_db
from metadata.names import quote
from metadata.schema import FieldSpec, ObjectSpec, TenantSchema, physical_name

if TYPE_CHECKING:
    _Field = models.Field[Any, Any]
else:
    _Field = models.Field

_SIZE = 256
_models: OrderedDict[tuple[int, int, str], tuple[ObjectSpec, type[models.Model]]] = OrderedDict()
_lock = Lock()

LOOKUPS: dict[str, tuple[str, ...]] = {
    "text": (
        "exact",
        "iexact",
        "in",
        "contains",
        "icontains",
        "startswith",
        "istartswith",
        "gt",
        "gte",
        "lt",
        "lte",
        "isnull",
    ),
    "integer": ("exact", "in", "gt", "gte", "lt", "lte", "isnull"),
    "real": ("exact", "in", "gt", "gte", "lt", "lte", "isnull"),
    "decimal": ("exact", "in", "gt", "gte", "lt", "lte", "isnull"),
    "boolean": ("exact", "isnull"),
    "date": ("exact", "in", "gt", "gte", "lt", "lte", "isnull"),
    "datetime": ("exact", "in", "gt", "gte", "lt", "lte", "isnull"),
    "uuid": ("exact", "in", "isnull"),
    "json": ("isnull",),
    "choice": ("exact", "in", "isnull"),
    "reference": ("exact", "in", "isnull"),
}
"""The lookups that mean the same for a kind on every database."""


class WireField(_Field):
    """A column of a field kind: stored as its kind is, wire values in Python. A filter's bad value raises `ValueRefused`."""

    def __init__(self, spec: FieldSpec) -> None:
        super().__init__(name=spec.name, null=True, db_column=spec.name, verbose_name=spec.label or spec.name)
        self.spec = spec

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        """Return the column type of the kind."""
        return column_type(self.spec, connection.vendor)

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> Any:
        """Return the wire value."""
        return from_db(self.spec, value, connection.vendor)

    def get_prep_value(self, value: Any) -> Any:
        """Return the wire value to compare with. Raises `ValueRefused`."""
        # Expressions (F, Subquery) resolve themselves.
        return value if hasattr(value, "resolve_expression") else clean(_comparable(self.spec), value)

    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> Any:
        """Return what the driver binds."""
        wire = value if prepared else self.get_prep_value(value)
        return wire if hasattr(wire, "resolve_expression") else to_db(self.spec, wire, connection.vendor)


def _comparable(spec: FieldSpec) -> FieldSpec:
    # Asking for a choice that is not (or no longer) offered is a question with an empty answer, not an error.
    return FieldSpec(spec.name, "text") if spec.kind == "choice" else spec


class WireTextField(WireField):
    """A text column, so that Django offers `contains` and its kin."""

    def get_internal_type(self) -> str:
        """Return the type Django picks operators and casts by."""
        return "TextField"


def model_for(tenant_id: int, table_name: str, schema: TenantSchema) -> type[models.Model]:
    """Return the model of an object type at one version of its schema. Raises `KeyError` for a table the schema does not have."""
    spec = schema.by_table[table_name]
    key = (tenant_id, schema.schema_version, table_name)
    with _lock:
        found = _models.get(key)
        # The version alone would do, were it not for publishes that are rolled back and tests that start over.
        if found is not None and found[0] == spec:
            _models.move_to_end(key)
            return found[1]
    model = _build(tenant_id, spec)
    with _lock:
        _models[key] = (spec, model)
        while len(_models) > _SIZE:
            _models.popitem(last=False)
    return model


def _build(tenant_id: int, spec: ObjectSpec) -> type[models.Model]:
    table = physical_name(tenant_id, spec.table_name)
    quote(table)  # refuses what the border to the database must not see
    options = {
        "app_label": "records",
        "apps": Apps(),
        "managed": False,
        "db_table": table,
        "verbose_name": spec.label or spec.object_name,
        "verbose_name_plural": spec.label_plural or spec.table_name,
    }
    attributes: dict[str, Any] = {
        "__module__": __name__,
        "__qualname__": f"Record_{table}",
        "Meta": type("Meta", (), options),
        "id": models.TextField(primary_key=True),
        "version": models.BigIntegerField(),
        "object_type": models.TextField(null=True),
        "status": models.TextField(null=True),
        "_cursor": models.BigIntegerField(db_column="_cursor"),
        "_deleted": models.BooleanField(db_column="_deleted"),
        "_versions": models.TextField(db_column="_versions"),
    }
    for field in spec.fields:
        attributes[field.name] = (WireTextField if field.kind in ("text", "choice", "reference") else WireField)(field)
    return type(f"Record_{table}", (models.Model,), attributes)
