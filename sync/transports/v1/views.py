"""Views of SyncProtocol v1: authenticate, parse the message, run one use case, and respond."""

import uuid
from collections.abc import Callable, Mapping
from functools import wraps
from http import HTTPStatus
from typing import Any

import structlog
from django.core.exceptions import SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from sync import metrics
from sync.entities.ops import Page
from sync.errors import AccessChanged, SyncError
from sync.log.changes import newest_op_of
from sync.settle.entity import EntityRejected
from sync.transports.v1 import messages
from sync.transports.v1.callers import Caller, authenticate, count, require_https
from sync.transports.v1.errors import V1Code, V1Error, invalid, of_engine
from sync.transports.v1.messages import JSON
from sync.transports.v1.negotiation import read, respond, to_json
from sync.transports.v1.openapi import document
from sync.v1.conf import v1_settings
from sync.v1.pull import pull
from sync.v1.pull_state import CursorInvalid, head_of, resume_at
from sync.v1.push import push_entities
from tenants.models import Device

logger = structlog.get_logger(__name__)
Message = Mapping[str, Any]
Handler = Callable[[Caller, Message], dict[str, Any]]
_SEEN_AGAIN = 30
"""Seconds after which a device that only pulls is marked as seen again."""


def failed(request: HttpRequest, error: V1Error) -> HttpResponse:
    """Return an error in the caller's encoding."""
    if error.limit is not None:
        metrics.limit_rejections.labels(error.limit).inc()
    response = respond(request, error.body(), error.status)
    if error.retry_after is not None:
        response["Retry-After"] = str(error.retry_after)
    if error.status == HTTPStatus.UNAUTHORIZED:
        response["WWW-Authenticate"] = 'Bearer realm="moat"'
    return response


def unexpected(error: Exception, path: str) -> V1Error:
    """Return the response to an unexpected failure: no details, but an ID to find it in the log."""
    if isinstance(error, V1Error):
        return error
    if isinstance(error, SyncError):
        return of_engine(error)
    if isinstance(error, SuspiciousOperation):
        return invalid("The request URL has too many parameters.")
    if isinstance(error, CursorInvalid):
        return V1Error(V1Code.INVALID_CURSOR, str(error), details="Start over with sinceCursor 0.", field="sinceCursor")
    if isinstance(error, OperationalError | InterfaceError):
        logger.warning("v1_database_failed", path=path, error=error)
        return V1Error(V1Code.SERVICE_UNAVAILABLE, "The database timed out. Try again.", retry_after=2)
    request_id = str(uuid.uuid4())
    logger.exception("v1_failed", path=path, request_id=request_id)
    return V1Error(
        V1Code.INTERNAL_ERROR, "Internal server error. Details are in the server log.", request_id=request_id
    )


def _call(handler: Handler) -> Callable[[HttpRequest], HttpResponse]:
    @csrf_exempt
    @wraps(handler)
    def view(request: HttpRequest) -> HttpResponse:
        try:
            require_https(request)
            if request.method != "POST":
                raise V1Error(V1Code.NOT_SUPPORTED, "Use POST.", status=HTTPStatus.METHOD_NOT_ALLOWED)
            caller = authenticate(request)
            count(caller)
            message = messages.require_map(read(request, v1_settings().v1_body, v1_settings().v1_items))
            messages.named(message, "dbId", caller.database)
            messages.named(message, "deviceId", caller.device, required=handler in (handshake_of, push_of))
            return respond(request, handler(caller, message))
        except Exception as error:
            response = failed(request, unexpected(error, request.path))
            if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
                response["Allow"] = "POST"
            return response

    return view


def handshake_of(caller: Caller, message: Message) -> dict[str, Any]:
    """Return where the device resumes and where the log ends."""
    messages.handshake(message)
    Device.objects.filter(pk=caller.device).update(last_seen_at=timezone.now())
    return messages.handshake_response(
        resume_at(caller.channel, caller.device), head_of(caller.identity.tenant_id).cursor, newest_op_of(caller.device)
    )


def pull_of(caller: Caller, message: Message) -> dict[str, Any]:
    """Return a page of changes. The cursor it starts from is what the device has."""
    asked = messages.pull_request(message, _bounds())
    page = page_of(caller, asked)
    _confirm(caller.device, asked.since)
    return messages.pull_response(page, caller.database)


def page_of(caller: Caller, asked: messages.PullRequest) -> Page:
    """Read a page with current access. If access changes meanwhile, discard what was read."""
    while True:
        try:
            return pull(caller.channel, caller.device, asked.since, asked.limit, asked.collections)
        except AccessChanged:
            caller = caller.renewed()


def push_of(caller: Caller, message: Message) -> dict[str, Any]:
    """Settle a push."""
    ops = messages.push_request(message, caller.database, caller.device, _bounds())
    try:
        pushed = push_entities(caller.actor, ops)
    except EntityRejected as rejected:
        caller.quantize()
        field = f".{rejected.error.field}" if rejected.error.field else ""
        raise of_engine(rejected.error, f"ops[{rejected.position}]{field}") from None
    Device.objects.filter(pk=caller.device).update(last_seen_at=timezone.now())
    if pushed.conflicts:
        caller.quantize()
    return messages.push_response(pushed, caller.database, caller.device)


def _bounds() -> messages.Bounds:
    settings = v1_settings()
    return messages.Bounds(
        settings.v1_ops, settings.v1_entity, settings.v1_page, settings.v1_page_max, settings.v1_items
    )


def _confirm(device_id: str, cursor: int) -> None:
    """Store the cursor a device has confirmed. A device that starts over confirms 0.

    Written only if it changed, since every write competes with the writers.
    """
    known = Device.objects.filter(pk=device_id).values_list("last_cursor", "last_seen_at").first()
    if known is None:
        return
    now = timezone.now()
    fresh = known[1] is not None and (now - known[1]).total_seconds() < _SEEN_AGAIN
    if cursor > known[0] or (cursor == 0 and known[0]):
        Device.objects.filter(pk=device_id).update(last_cursor=cursor, last_seen_at=now)
    elif not fresh:
        Device.objects.filter(pk=device_id).update(last_seen_at=now)


handshake = _call(handshake_of)
pull_view = _call(pull_of)
push_view = _call(push_of)


@csrf_exempt
def version(request: HttpRequest) -> HttpResponse:
    """Return the supported protocol versions. Needs no authentication."""
    if request.method not in ("GET", "HEAD"):
        return failed(request, V1Error(V1Code.NOT_SUPPORTED, "Use GET.", status=HTTPStatus.METHOD_NOT_ALLOWED))
    return respond(request, {"version": 1, "minSupported": 1})


@csrf_exempt
def openapi(request: HttpRequest) -> HttpResponse:
    """Return the OpenAPI description in JSON. Needs no authentication."""
    if request.method not in ("GET", "HEAD"):
        return failed(request, V1Error(V1Code.NOT_SUPPORTED, "Use GET.", status=HTTPStatus.METHOD_NOT_ALLOWED))
    return HttpResponse(to_json(document()), content_type=JSON)


@csrf_exempt
def unknown(request: HttpRequest, path: str) -> HttpResponse:
    """Respond to any other URL under /v1/."""
    return failed(request, V1Error(V1Code.NOT_SUPPORTED, "Version 1 has no such endpoint."))
