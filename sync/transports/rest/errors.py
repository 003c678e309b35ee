"""Every failure of the REST API as one JSON shape: `{code, message, field?}`, with the status its code has."""

import logging
from enum import StrEnum
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.http import Http404
from django.utils.cache import patch_cache_control
from rest_framework import exceptions
from rest_framework.response import Response

from sync.transports.errors import http_status
from sync.wire.codes import Code
from tenants.errors import MoatError

logger = logging.getLogger(__name__)


class RestCode(StrEnum):
    """A code only REST answers with; `meaning` says when, `status` is its HTTP status."""

    meaning: str
    status: int

    def __new__(cls, value: str, status: int, meaning: str) -> "RestCode":
        """Make a member that is its own wire text."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.status = status
        member.meaning = meaning
        return member

    BAD_REQUEST = "bad_request", 400, "The request's body or parameters have a wrong shape."
    BAD_FILTER = "bad_filter", 400, "A filter or an order names no field, or its value does not fit."
    BAD_CURSOR = (
        "bad_cursor",
        400,
        "The page cursor is damaged, or belongs to another order. Start from the first page.",
    )
    NO_TENANT = (
        "no_tenant",
        400,
        "The session's user belongs to several tenants, and the request does not say which it means.",
    )
    UNAUTHENTICATED = "unauthenticated", 401, "There is neither a token nor a session."
    BAD_LOGIN = "bad_login", 401, "Tenant, user or password is wrong, or the user may not enter. Which one is not told."
    METHOD = "method", 405, "The address does not know this method."
    NOT_ACCEPTABLE = "not_acceptable", 406, "The API speaks JSON only."
    CONFLICT = (
        "conflict",
        409,
        "Others changed the same meanwhile. Nothing was applied; both sides wait in the inbox as `conflict`.",
    )
    STALE = (
        "stale",
        412,
        "The record has another version than `If-Match` says. `version` is its present one; read again, then decide.",
    )
    MEDIA_TYPE = "media_type", 415, "The body's Content-Type is not one that this address reads."
    THROTTLED = "throttled", 429, "Too many attempts. Wait `retry_after` seconds."


class RestError(MoatError):
    """An expected failure of a REST request. `extra` is added to the answer."""

    def __init__(self, code: RestCode | Code, message: str, *, field: str | None = None, **extra: Any) -> None:
        super().__init__(code, message, field=field)
        self.extra = extra


_DJANGO: dict[type[Exception], tuple[RestCode | Code, str]] = {
    Http404: (Code.NOT_FOUND, "There is nothing here."),
    exceptions.NotFound: (Code.NOT_FOUND, "There is nothing here."),
    exceptions.NotAuthenticated: (RestCode.UNAUTHENTICATED, "Log in, or send a device's token."),
    exceptions.MethodNotAllowed: (RestCode.METHOD, "This address does not know the method."),
    exceptions.NotAcceptable: (RestCode.NOT_ACCEPTABLE, "The API speaks JSON only."),
    exceptions.UnsupportedMediaType: (RestCode.MEDIA_TYPE, "Send application/json."),
    RequestDataTooBig: (Code.TOO_LARGE, "The body is too large."),
    PermissionDenied: (Code.FORBIDDEN, "You may not do this."),
}


def answer(error: MoatError) -> tuple[int, dict[str, Any]]:
    """Return the status and the body of an expected failure."""
    body: dict[str, Any] = {"code": str(error.code), "message": error.message}
    if error.field is not None:
        body["field"] = error.field
    if isinstance(error, RestError):
        body.update(error.extra)
    retry_after = getattr(error, "retry_after", None)
    if retry_after is not None:
        body["retry_after"] = retry_after
    return (error.code.status if isinstance(error.code, RestCode) else http_status(error.code)), body


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Answer any failure in the one shape; what nobody expected is logged and told as `internal`."""
    known = _known(error)
    if known is None:
        logger.exception("REST request failed", exc_info=error)
        known = RestError(Code.INTERNAL, "The server failed on this request; its log has the details.")
    status, body = answer(known)
    response = Response(body, status=status)
    if status == 401:
        response["WWW-Authenticate"] = 'Bearer realm="moat"'
    if "retry_after" in body:
        response["Retry-After"] = str(int(body["retry_after"] + 0.999))
    patch_cache_control(response, no_store=True)
    return response


def _known(error: Exception) -> MoatError | None:
    if isinstance(error, MoatError):
        return error
    if isinstance(error, exceptions.Throttled):
        wait = int(getattr(error, "wait", None) or 1) + 1
        return RestError(RestCode.THROTTLED, f"Too many attempts. Try again in {wait} seconds.", retry_after=wait)
    for kind, (code, message) in _DJANGO.items():
        if isinstance(error, kind):
            return RestError(code, message)
    if isinstance(error, exceptions.PermissionDenied):
        return RestError(Code.FORBIDDEN, str(error.detail))
    if isinstance(error, exceptions.APIException) and error.status_code < 500:
        return RestError(RestCode.BAD_REQUEST, str(error.detail))
    return None
