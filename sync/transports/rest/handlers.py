"""Django's own error responses: in the API's shape under `/api/`, as a page elsewhere."""

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.views import defaults

from sync.transports.rest.errors import RestCode, RestError, answer
from sync.wire.codes import Code

PREFIX = "/api/"


def _error_response(code: Code | RestCode, message: str) -> HttpResponse:
    status, body = answer(RestError(code, message))
    return JsonResponse(body, status=status)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Respond to an unknown URL."""
    if request.path.startswith(PREFIX):
        return _error_response(Code.NOT_FOUND, "Not found.")
    return defaults.page_not_found(request, exception)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Respond to a request Django finds suspicious."""
    if request.path.startswith(PREFIX):
        return _error_response(RestCode.BAD_REQUEST, "The request is malformed.")
    return defaults.bad_request(request, exception)


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Respond after an unexpected failure. Django has logged it."""
    if request.path.startswith(PREFIX):
        return _error_response(Code.INTERNAL, "Internal server error. Details are in the server log.")
    return defaults.server_error(request)
