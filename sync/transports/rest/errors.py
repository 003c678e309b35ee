"""Errors of the REST API in one JSON shape, `{code, message, field?}`, with their HTTP status."""

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
    """Codes that only REST uses. `meaning` says when, `status` is the HTTP status."""

    meaning: str
    status: int

    def __new__(cls, value: str, status: int, meaning: str) -> "RestCode":
        """Create a member whose value is its wire text."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.status = status
        member.meaning = meaning
        return member

    BAD_REQUEST = "bad_request", 400, "The request body or parameters are malformed."
    BAD_FILTER = "bad_filter", 400, "A filter or sort names an unknown field or has an invalid value."
    BAD_CURSOR = (
        "bad_cursor",
        400,
        "The page cursor is not valid for this query. Start from the first page.",
    )
    NO_TENANT = (
        "no_tenant",
        400,
        "The user belongs to several tenants and the request doesn't specify one.",
    )
    UNAUTHENTICATED = "unauthenticated", 401, "The request has no token or session."
    BAD_LOGIN = (
        "bad_login",
        401,
        "The tenant, user name, or password is incorrect, or the user has no access. The server doesn't say which.",
    )
    METHOD = "method", 405, "This endpoint doesn't support the HTTP method."
    NOT_ACCEPTABLE = "not_acceptable", 406, "The API supports JSON only."
    CONFLICT = (
        "conflict",
        409,
        (
            "Someone else changed the same fields. Nothing was applied; both versions are in the "
            "conflict inbox as `conflict`."
        ),
    )
    STALE = (
        "stale",
        412,
        (
            "The record's version doesn't match `If-Match`. `version` is the current one; read "
            "the record again and retry."
        ),
    )
    MEDIA_TYPE = "media_type", 415, "This endpoint doesn't accept this Content-Type."
    TIMEOUT = "timeout", 408, "The request body did not arrive in time."
    THROTTLED = "throttled", 429, "Too many attempts. Retry after `retry_after` seconds."


class RestError(MoatError):
    """An expected failure of a REST request. `extra` is added to the response."""

    def __init__(self, code: RestCode | Code, message: str, *, field: str | None = None, **extra: Any) -> None:
        super().__init__(code, message, field=field)
        self.extra = extra


_DJANGO: dict[type[Exception], tuple[RestCode | Code, str]] = {
    Http404: (Code.NOT_FOUND, "Not found."),
    exceptions.NotFound: (Code.NOT_FOUND, "Not found."),
    exceptions.NotAuthenticated: (RestCode.UNAUTHENTICATED, "Sign in or send a device token."),
    exceptions.MethodNotAllowed: (RestCode.METHOD, "This endpoint doesn't support this method."),
    exceptions.NotAcceptable: (RestCode.NOT_ACCEPTABLE, "The API supports JSON only."),
    exceptions.UnsupportedMediaType: (RestCode.MEDIA_TYPE, "Send the body as application/json."),
    RequestDataTooBig: (Code.TOO_LARGE, "The body is too large."),
    PermissionDenied: (Code.FORBIDDEN, "You don't have permission to do this."),
}


def answer(error: MoatError) -> tuple[int, dict[str, Any]]:
    """Return the status and body of an expected failure."""
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
    """Respond to any failure in the one shape. Unexpected ones are logged and sent as `internal`."""
    known = _known(error)
    if known is None:
        logger.exception("REST request failed", exc_info=error)
        known = RestError(Code.INTERNAL, "Internal server error. Details are in the server log.")
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
