"""A record's history from the log, newest first, with deletes and restores."""

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from sync.log.history import changes_of, changes_seen
from sync.settle.payloads import valid_id
from sync.transports.rest.auth import InTenant, caller_of
from sync.transports.rest.conf import rest_settings
from sync.transports.rest.describe import described, ref
from sync.transports.rest.errors import RestCode, RestError
from sync.transports.rest.listing import limit_of
from sync.transports.rest.quantized import QuantizedView
from sync.transports.rest.reading import seen_record, spec_for, view_of_caller


class HistoryView(QuantizedView):
    """The changes of one record that are still in the log."""

    permission_classes = (InTenant,)

    @described("record_history", "records", 200, ref("Changes"), errors=(400, 401, 404), query=["cursor", "limit"])
    def get(self, request: Request, table: str, record_id: str) -> Response:
        """Return changes from newest to oldest; `next` is the cursor of the next page."""
        caller = caller_of(request)
        tenant_view = view_of_caller(caller)
        spec = spec_for(tenant_view, table)
        limit = limit_of(request.query_params.get("limit", ""), rest_settings())
        before = _version(request.query_params.get("cursor", ""))
        seen = valid_id(record_id) and seen_record(tenant_view, spec, record_id) is not None
        published = tenant_view.published.by_table[table]
        found = changes_of(caller.tenant_id, published, record_id, limit=limit + 1, before=before) if seen else []
        following = str(found[limit - 1]["version"]) if len(found) > limit else None
        return Response(
            {
                "results": [_shown(change) for change in changes_seen(tenant_view.channel, found[:limit])],
                "next": following,
            }
        )


def _version(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 17):
        raise RestError(RestCode.BAD_CURSOR, "The page cursor is not valid. Start from the first page.", field="cursor")
    return int(text)


def _shown(change: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in change.items() if key not in ("table", "id", "op_id")}
