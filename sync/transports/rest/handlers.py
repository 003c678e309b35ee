"""What Django answers before a view of the API is reached: in the API's shape under `/api/`, as a page elsewhere."""

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.views import defaults

from sync.transports.rest.errors import RestCode, RestError, answer
from sync.wire.codes import Code

PREFIX = "/api/"


def _told(code: Code | RestCode, message: str) -> HttpResponse:
    status, body = answer(RestError(code, message))
    return JsonResponse(body, status=status)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer an address that does not exist."""
    if request.path.startswith(PREFIX):
        return _told(Code.NOT_FOUND, "There is nothing here.")
    return defaults.page_not_found(request, exception)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer a request Django finds suspicious."""
    if request.path.startswith(PREFIX):
        return _told(RestCode.BAD_REQUEST, "The request is malformed.")
    return defaults.bad_request(request, exception)


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Answer after an unexpected failure; Django has logged it."""
    if request.path.startswith(PREFIX):
        return _told(Code.INTERNAL, "The server failed on this request; its log has the details.")
    return defaults.server_error(request)
