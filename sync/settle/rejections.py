"""Pure: rejections that must have the same wording for hidden and missing things (invariant I8)."""

from typing import Any

from sync.errors import OpRejected
from sync.wire.codes import Code
from sync.wire.ops import Op

_NAME_LENGTH = 60


def unknown_table(name: str) -> OpRejected:
    """Return the rejection of a table that does not exist or is hidden."""
    return OpRejected(Code.UNKNOWN_TABLE, f"Unknown table {name[:_NAME_LENGTH]!a}.")


def unknown_field(table_name: str, name: str) -> OpRejected:
    """Return the rejection of a field that does not exist or is hidden."""
    name = name[:_NAME_LENGTH]
    return OpRejected(Code.UNKNOWN_FIELD, f"{table_name} has no field {name!a}.", field=name)


def not_found(op: Op) -> OpRejected:
    """Return the rejection of an op on a record that does not exist or is hidden."""
    return OpRejected(Code.NOT_FOUND, f"No record {op.id!a} in {op.table}.")


def missing_reference(name: str, value: Any, target: str) -> OpRejected:
    """Return the rejection of a reference, in the field `name`, to a record that does not exist or is hidden."""
    return OpRejected(Code.MISSING_REFERENCE, f"{name}: no record {value!a} in {target}.", field=name)
