"""Errors of SyncProtocol v1: ErrorResponse, its codes, and their HTTP statuses."""

from enum import IntEnum
from http import HTTPStatus
from typing import Any, Final

from sync.wire.codes import Code
from tenants.errors import MoatError


class V1Code(IntEnum):
    """The codes of ErrorResponse."""

    UNKNOWN = 0
    INVALID_REQUEST = 1
    AUTHENTICATION_FAILED = 2
    AUTHORIZATION_FAILED = 3
    DATABASE_NOT_FOUND = 4
    VERSION_MISMATCH = 5
    CONFLICT = 6
    RATE_LIMIT_EXCEEDED = 7
    INTERNAL_ERROR = 8
    SERVICE_UNAVAILABLE = 9
    TIMEOUT = 10
    INVALID_CURSOR = 11
    NOT_SUPPORTED = 12


_STATUSES: Final[dict[V1Code, HTTPStatus]] = {
    V1Code.INVALID_REQUEST: HTTPStatus.BAD_REQUEST,
    V1Code.AUTHENTICATION_FAILED: HTTPStatus.UNAUTHORIZED,
    V1Code.AUTHORIZATION_FAILED: HTTPStatus.FORBIDDEN,
    V1Code.DATABASE_NOT_FOUND: HTTPStatus.NOT_FOUND,
    V1Code.VERSION_MISMATCH: HTTPStatus.CONFLICT,
    V1Code.CONFLICT: HTTPStatus.CONFLICT,
    V1Code.RATE_LIMIT_EXCEEDED: HTTPStatus.TOO_MANY_REQUESTS,
    V1Code.SERVICE_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    V1Code.TIMEOUT: HTTPStatus.SERVICE_UNAVAILABLE,
    V1Code.INVALID_CURSOR: HTTPStatus.CONFLICT,
    V1Code.NOT_SUPPORTED: HTTPStatus.NOT_FOUND,
}


class V1Error(Exception):
    """A response other than 200. `status` overrides the code's status; `retry_after` is in seconds.

    `limit` names the limit that was exceeded, if any.
    """

    def __init__(
        self,
        code: V1Code,
        message: str,
        *,
        status: HTTPStatus | None = None,
        details: str | None = None,
        field: str | None = None,
        retry_after: int | None = None,
        request_id: str | None = None,
        limit: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status or _STATUSES.get(code, HTTPStatus.INTERNAL_SERVER_ERROR)
        self.details, self.field, self.retry_after, self.request_id = details, field, retry_after, request_id
        self.limit = limit

    def body(self) -> dict[str, Any]:
        """Return the ErrorResponse without empty keys."""
        more = {
            "details": self.details,
            "field": self.field,
            "retryAfterSeconds": self.retry_after,
            "requestId": self.request_id,
        }
        return {
            "code": int(self.code),
            "message": self.message,
            **{key: value for key, value in more.items() if value is not None},
        }


def invalid(message: str, field: str | None = None) -> V1Error:
    """Return the error of a malformed request."""
    return V1Error(V1Code.INVALID_REQUEST, message, field=field)


_ENGINE: Final[dict[str, V1Code]] = {
    Code.REVOKED: V1Code.AUTHENTICATION_FAILED,
    Code.FORBIDDEN: V1Code.AUTHORIZATION_FAILED,
    Code.READ_ONLY: V1Code.AUTHORIZATION_FAILED,
    Code.OVERLOADED: V1Code.SERVICE_UNAVAILABLE,
    Code.UNAVAILABLE: V1Code.SERVICE_UNAVAILABLE,
    Code.SHUTTING_DOWN: V1Code.SERVICE_UNAVAILABLE,
}


def of_engine(error: MoatError, field: str | None = None) -> V1Error:
    """Return an engine error as a v1 error, with the engine's code in `details`."""
    code = _ENGINE.get(error.code, V1Code.INVALID_REQUEST)
    retry = 1 if code is V1Code.SERVICE_UNAVAILABLE else None
    return V1Error(code, error.message, details=str(error.code), field=field, retry_after=retry)
