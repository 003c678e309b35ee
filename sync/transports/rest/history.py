"""Who changed a record, when, and how: from the log, newest first, deletes and revivals included."""

from typing import Any

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sync.lines import decode_line
from sync.models import Change
from sync.transports.rest.auth import InTenant, caller_of
from sync.transports.rest.conf import rest_knobs
from sync.transports.rest.describe import described, ref
from sync.transports.rest.errors import RestCode, RestError
from sync.transports.rest.listing import limit_of
from sync.transports.rest.reading import schema_for, spec_for


class HistoryView(APIView):
    """The changes of one record that the log still has."""

    permission_classes = (InTenant,)

    @described("record_history", "records", 200, ref("Changes"), errors=(400, 401, 404), query=["cursor", "limit"])
    def get(self, request: Request, table: str, record_id: str) -> Response:
        """Return changes from newest to oldest; `next` is the cursor of the page after them."""
        caller = caller_of(request)
        spec_for(schema_for(caller), table)
        limit = limit_of(request.query_params.get("limit", ""), rest_knobs())
        found = _changes(caller.tenant_id, table, record_id, request.query_params.get("cursor", ""))
        rows = list(found[: limit + 1])
        shown = [_shown(bytes(line)) for _, line in rows[:limit]]
        return Response({"results": shown, "next": str(rows[limit - 1][0]) if len(rows) > limit else None})


def _changes(tenant_id: int, table: str, record_id: str, before: str) -> "QuerySet[Any, Any]":
    changes = Change.objects.filter(tenant_id=tenant_id, table_name=table, record_id=record_id.replace("\x00", "?"))
    if before:
        if not (before.isascii() and before.isdigit() and len(before) < 17):
            raise RestError(RestCode.BAD_CURSOR, "The cursor is damaged.", field="cursor")
        changes = changes.filter(version__lt=int(before))
    return changes.order_by("-version").values_list("version", "line")


def _shown(line: bytes) -> dict[str, Any]:
    change = decode_line(line)
    return {key: value for key, value in change.items() if key not in ("table", "id", "op_id")}
