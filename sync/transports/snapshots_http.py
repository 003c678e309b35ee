"""Snapshot parts over plain HTTP, for clients behind a cache.

The bytes are those sent over the socket. See docs/spec/protocol.md §8.
"""

import re
from http import HTTPStatus
from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from sync import metrics
from sync.catchup.snapshots.store import read_part
from sync.channels.channel_log import channel_of
from sync.transports.errors import http_status
from sync.wire.codes import Code
from tenants.errors import MoatError
from tenants.tokens import identify

_RANGE = re.compile(r"bytes=(\d{0,12})-(\d{0,12})", re.ASCII)


@require_safe
def part(request: HttpRequest, snapshot: UUID, number: int) -> HttpResponse:
    """Return one part to a device of the snapshot's channel.

    Parts never change, so that client may cache them forever.
    """
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    identity = identify(token) if scheme.lower() == "bearer" else None
    if identity is None:
        error = _error(Code.BAD_TOKEN, "A device token is required: Authorization: Bearer …")
        error["WWW-Authenticate"] = "Bearer"
        return error
    try:
        channel = channel_of(identity)
    except MoatError as error:
        return _error(Code.FORBIDDEN, error.message)
    data = read_part(channel.tenant_id, channel.key, str(snapshot), number)
    if data is None:
        return _error(Code.SNAPSHOT_GONE, "This snapshot part doesn't exist. Subscribe again for a newer snapshot.")
    metrics.snapshot_parts.labels("http").inc()
    etag = f'"{snapshot}-{number}"'
    if etag in request.headers.get("If-None-Match", ""):
        response = HttpResponse(status=HTTPStatus.NOT_MODIFIED)
    elif request.headers.get("If-Range", etag) == etag:
        response = _ranged(data, request.headers.get("Range"))
    else:
        response = HttpResponse(data, content_type="application/gzip")
    response["ETag"] = etag
    response["Accept-Ranges"] = "bytes"
    response["Cache-Control"] = "private, max-age=31536000, immutable"
    response["Vary"] = "Authorization"
    return response


def _error(code: Code, message: str) -> HttpResponse:
    return JsonResponse({"code": code, "message": message}, status=http_status(code))


def _ranged(data: bytes, wanted: str | None) -> HttpResponse:
    """Return all bytes or one range of them. A request for several ranges gets all bytes."""
    found = _RANGE.fullmatch(wanted) if wanted else None
    if found is None or found.groups() == ("", ""):
        return HttpResponse(data, content_type="application/gzip")
    first, last = found.groups()
    start = int(first) if first else max(0, len(data) - int(last))
    end = min(int(last), len(data) - 1) if first and last else len(data) - 1
    if start > end:
        response = HttpResponse(status=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
        response["Content-Range"] = f"bytes */{len(data)}"
        return response
    response = HttpResponse(data[start : end + 1], status=HTTPStatus.PARTIAL_CONTENT, content_type="application/gzip")
    response["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
    return response
