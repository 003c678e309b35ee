"""Bulk operations on one table."""

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from sync.transports.rest.auth import InTenant, caller_of
from sync.transports.rest.conf import rest_settings
from sync.transports.rest.describe import described, ref
from sync.transports.rest.errors import RestCode, RestError
from sync.transports.rest.parsers import body_object
from sync.transports.rest.quantized import QuantizedView
from sync.transports.rest.reading import spec_for, view_of_caller
from sync.transports.rest.writing import merge_patch, new_id, push_all, result_json
from sync.wire.ops import Op

_MEMBERS = frozenset({"op", "id", "values", "patch", "base_version"})


class BulkView(QuantizedView):
    """Inserts, updates, and deletes, applied one by one or atomically."""

    permission_classes = (InTenant,)

    @described("bulk", "records", 200, ref("Results"), errors=(400, 401, 404), body=ref("Bulk"))
    def post(self, request: Request, table: str) -> Response:
        """Apply the operations in order, or with `atomic` all or none. Results keep the order.

        200 if all were accepted, 207 if some were not, 409 if `atomic` ones were not and nothing was applied.
        """
        caller = caller_of(request)
        spec_for(view_of_caller(caller), table)
        body = body_object(request)
        atomic = body.get("atomic", False)
        operations = body.get("operations")
        if not isinstance(atomic, bool):
            raise RestError(RestCode.BAD_REQUEST, "atomic must be true or false.", field="atomic")
        most = rest_settings().rest_bulk
        if not isinstance(operations, list) or not 1 <= len(operations) <= most:
            raise RestError(
                RestCode.BAD_REQUEST, f"operations must be a list of 1 to {most} items.", field="operations"
            )
        ops = [_op(number, operation, table, atomic=atomic) for number, operation in enumerate(operations, start=1)]
        results = push_all(caller, ops)
        done = all(result.accepted for result in results)
        answer = [{"id": op.id, **result_json(result)} for op, result in zip(ops, results, strict=True)]
        return Response({"results": answer}, status=200 if done else 409 if atomic else 207)


def _op(number: int, operation: Any, table: str, *, atomic: bool) -> Op:
    where = f"operations/{number - 1}"
    if not isinstance(operation, dict) or not operation.keys() <= _MEMBERS:
        raise RestError(
            RestCode.BAD_REQUEST, f"An operation must be an object with {', '.join(sorted(_MEMBERS))}.", field=where
        )
    kind = operation.get("op")
    record_id = operation.get("id")
    if kind == "insert" and record_id is None:
        record_id = new_id()
    base = operation.get("base_version", 0 if kind == "insert" else None)
    if (
        kind not in ("insert", "update", "delete")
        or not isinstance(record_id, str)
        or not (base is None or type(base) is int)
    ):
        raise RestError(
            RestCode.BAD_REQUEST,
            "op must be insert, update, or delete; id must be text; base_version must be a whole number.",
            field=where,
        )
    return Op(number, "bulk" if atomic else None, table, record_id, kind, base, _payload(operation, kind, where))


def _payload(operation: dict[str, Any], kind: str, where: str) -> Any:
    given = [name for name in ("values", "patch") if name in operation]
    allowed = {"insert": (["values"],), "update": (["values"], ["patch"]), "delete": ([],)}[kind]
    values = operation.get("values", {})
    if given not in allowed or not isinstance(values, dict):
        raise RestError(
            RestCode.BAD_REQUEST,
            "insert takes values, update takes values or patch, and delete takes neither.",
            field=where,
        )
    if kind == "update":
        return operation["patch"] if "patch" in operation else merge_patch(values)
    return values if kind == "insert" else None
