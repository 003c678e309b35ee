"""Read-only Django models for type tables, created at run time, to browse, filter, and sort. Only the engine writes.

A model's values are wire values on every database: values are converted when read, and filter operands when compared.
The models live in an `Apps` of their own, never in the global registry, so Django's admin, contenttypes,
makemigrations, and flush do not see them.
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
    """A column of a field kind: stored as its kind is, wire values in Python. Bad operands raise `InvalidValue`."""

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
        """Return the wire value to compare with. Raises `InvalidValue`."""
        # Expressions (F, Subquery) resolve themselves.
        return value if hasattr(value, "resolve_expression") else clean(_comparable(self.spec), value)

    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> Any:
        """Return what the driver binds."""
        wire = value if prepared else self.get_prep_value(value)
        return wire if hasattr(wire, "resolve_expression") else to_db(self.spec, wire, connection.vendor)


def _comparable(spec: FieldSpec) -> FieldSpec:
    # Filtering by a choice that is not offered, or no longer, matches nothing; it is not an error.
    return FieldSpec(spec.name, "text") if spec.kind == "choice" else spec


class WireTextField(WireField):
    """A text column, so that Django offers `contains` and similar lookups."""

    def get_internal_type(self) -> str:
        """Return the type by which Django picks operators and casts."""
        return "TextField"


def model_for(tenant_id: int, table_name: str, schema: TenantSchema) -> type[models.Model]:
    """Return the model of an object type at one schema version. Raises `KeyError` if the schema lacks the table."""
    spec = schema.by_table[table_name]
    key = (tenant_id, schema.schema_version, table_name)
    with _lock:
        found = _models.get(key)
        # The version alone would do if not for publishes that roll back and tests that reset the tenant.
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
    quote(table)  # rejects names that must not reach the database
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
