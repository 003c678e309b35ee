"""Pure: map error codes to WebSocket close codes and HTTP statuses."""

from http import HTTPStatus
from typing import Final

from sync.wire.codes import Code

GOING_AWAY: Final = 1001
INTERNAL: Final = 1011
RESTARTING: Final = 1012

CLOSE_CODES: Final[dict[Code, int]] = {
    Code.INSECURE: 4427,
    Code.BAD_TOKEN: 4401,
    Code.REVOKED: 4401,
    Code.ACCESS_CHANGED: 4406,
    Code.HELLO_TIMEOUT: 4408,
    Code.REPLACED: 4409,
    Code.PROTOCOL: 4426,
    Code.TOO_MANY_ERRORS: 4429,
    Code.TOO_SLOW: 4413,
    Code.SHUTTING_DOWN: RESTARTING,
}
"""Errors that close the connection. All others leave it open."""

FORBIDDEN_AT_HELLO: Final = 4403
"""Close code of `forbidden` in response to `hello`. Later, `forbidden` leaves the connection open."""

STATUSES: Final[dict[Code, HTTPStatus]] = {
    Code.BAD_TOKEN: HTTPStatus.UNAUTHORIZED,
    Code.REVOKED: HTTPStatus.UNAUTHORIZED,
    Code.INSECURE: HTTPStatus.FORBIDDEN,
    Code.FORBIDDEN: HTTPStatus.FORBIDDEN,
    Code.TOO_MANY_DEVICES: HTTPStatus.FORBIDDEN,
    Code.READ_ONLY: HTTPStatus.FORBIDDEN,
    Code.NOT_FOUND: HTTPStatus.NOT_FOUND,
    Code.UNKNOWN_TABLE: HTTPStatus.NOT_FOUND,
    Code.UNKNOWN_CONFLICT: HTTPStatus.NOT_FOUND,
    Code.SNAPSHOT_GONE: HTTPStatus.GONE,
    Code.DELETED: HTTPStatus.GONE,
    Code.EXISTS: HTTPStatus.CONFLICT,
    Code.UNIQUE: HTTPStatus.CONFLICT,
    Code.BASE_VERSION: HTTPStatus.CONFLICT,
    Code.TX_ABORTED: HTTPStatus.CONFLICT,
    Code.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Code.OVERLOADED: HTTPStatus.SERVICE_UNAVAILABLE,
    Code.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Code.SHUTTING_DOWN: HTTPStatus.SERVICE_UNAVAILABLE,
    Code.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}


_CODES: Final = {code.value: code for code in Code}


def code_of(text: str) -> Code:
    """Return the code that a domain error names, or `internal` if clients do not know it."""
    return _CODES.get(text, Code.INTERNAL)


def http_status(code: str) -> HTTPStatus:
    """Return the HTTP status of a code. Unknown codes and client errors get 400."""
    known = _CODES.get(code)
    return HTTPStatus.BAD_REQUEST if known is None else STATUSES.get(known, HTTPStatus.BAD_REQUEST)
