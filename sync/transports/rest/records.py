"""Records: list, read, create, change, and delete.

Writes go through the sync engine, so every client receives them live.
"""

from typing import Any

from django.urls import reverse
from rest_framework.request import Request
from rest_framework.response import Response

from sync.transports.rest.auth import InTenant, caller_of
from sync.transports.rest.conf import rest_settings
from sync.transports.rest.describe import described, ref
from sync.transports.rest.errors import RestCode, RestError
from sync.transports.rest.listing import page_of
from sync.transports.rest.parsers import JSONPatchParser, StrictJSONParser, body_object, is_patch
from sync.transports.rest.quantized import QuantizedView
from sync.transports.rest.reading import live_record, live_rows, shown, shown_row, spec_for, view_of_caller
from sync.transports.rest.writing import etag, merge_patch, new_id, push_one, versions_in
from sync.wire.ops import Op


class RecordsView(QuantizedView):
    """The records of one object type."""

    permission_classes = (InTenant,)

    @described(
        "list_records",
        "records",
        200,
        ref("RecordPage"),
        errors=(400, 401, 404),
        query=["q", "order", "cursor", "limit"],
    )
    def get(self, request: Request, table: str) -> Response:
        """Return a page of records; `next` is the cursor of the next page."""
        caller = caller_of(request)
        tenant_view = view_of_caller(caller)
        spec = spec_for(tenant_view, table)
        page = page_of(live_rows(tenant_view, spec), spec, dict(request.query_params.lists()), settings=rest_settings())
        return Response({"results": [shown(spec, row) for row in page.rows], "next": page.next})

    @described(
        "create_record", "records", 201, ref("Record"), errors=(400, 401, 404, 409, 413), body=ref("RecordInput")
    )
    def post(self, request: Request, table: str) -> Response:
        """Create a record. Without an `id`, the server generates one (UUIDv7)."""
        caller = caller_of(request)
        tenant_view = view_of_caller(caller)
        spec = spec_for(tenant_view, table)
        body = body_object(request)
        record_id: Any = body.pop("id", None)
        record_id = new_id() if record_id is None else record_id
        push_one(caller, Op(1, None, table, record_id, "insert", 0, body), None)
        row = live_record(tenant_view, spec, record_id)
        location = reverse("api-record", args=[table, record_id])
        return Response(shown_row(spec, row), status=201, headers={"Location": location, "ETag": etag(row.version)})


class RecordView(QuantizedView):
    """One record. Its version is its ETag; with `If-Match`, a write applies to that version only."""

    permission_classes = (InTenant,)
    parser_classes = (StrictJSONParser, JSONPatchParser)

    @described("read_record", "records", 200, ref("Record"), errors=(401, 404))
    def get(self, request: Request, table: str, record_id: str) -> Response:
        """Return the record, or 304 if the caller has this version."""
        caller = caller_of(request)
        tenant_view = view_of_caller(caller)
        spec = spec_for(tenant_view, table)
        row = live_record(tenant_view, spec, record_id)
        tag = etag(row.version)
        if tag in (part.strip().removeprefix("W/") for part in request.headers.get("If-None-Match", "").split(",")):
            return Response(status=304, headers={"ETag": tag})
        return Response(shown_row(spec, row), headers={"ETag": tag})

    @described(
        "update_record", "records", 200, ref("Record"), errors=(400, 401, 404, 409, 412), body=ref("RecordInput")
    )
    def patch(self, request: Request, table: str, record_id: str) -> Response:
        """Change the given fields, or apply a JSON Patch. A `version` among the fields acts as `If-Match`."""
        caller = caller_of(request)
        tenant_view = view_of_caller(caller)
        spec = spec_for(tenant_view, table)
        allowed = versions_in(request.headers.get("If-Match"))
        if is_patch(request):
            patch = request.data
        else:
            body = body_object(request)
            if body.pop("id", record_id) != record_id:
                raise RestError(RestCode.BAD_REQUEST, "A record's ID can't change.", field="id")
            allowed = _with_version(allowed, body)
            patch = merge_patch(body)
        live_record(tenant_view, spec, record_id)
        push_one(caller, Op(1, None, table, record_id, "update", None, patch), allowed)
        row = live_record(tenant_view, spec, record_id)
        return Response(shown_row(spec, row), headers={"ETag": etag(row.version)})

    @described("delete_record", "records", 204, None, errors=(401, 404, 412))
    def delete(self, request: Request, table: str, record_id: str) -> Response:
        """Delete the record."""
        caller = caller_of(request)
        tenant_view = view_of_caller(caller)
        spec = spec_for(tenant_view, table)
        live_record(tenant_view, spec, record_id)
        push_one(caller, Op(1, None, table, record_id, "delete"), versions_in(request.headers.get("If-Match")))
        return Response(status=204)


def _with_version(allowed: set[int] | None, body: dict[str, Any]) -> set[int] | None:
    """Remove `version` from the fields to merge: a client that edits what it read sends it back."""
    if "version" not in body:
        return allowed
    version = body.pop("version")
    if type(version) is not int:
        raise RestError(RestCode.BAD_REQUEST, "version must be a whole number.", field="version")
    return {version} if allowed is None else allowed & {version}
