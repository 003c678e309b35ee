"""Views whose rejections and lists do not reveal hidden records by their timing."""

import time
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sync.transports.response_grid import wait_for_tick
from sync.transports.rest.auth import Caller

MULTI_STATUS = 207


class QuantizedView(APIView):
    """A view of records that may be hidden from its caller."""

    def initialize_request(self, request: Any, *args: Any, **kwargs: Any) -> Request:
        """Record when the request arrived."""
        self.started = time.perf_counter()
        return super().initialize_request(request, *args, **kwargs)

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Response:
        """Delay rejections, whole or partial, and lists until the next tick.

        Lists skip hidden records, so their duration is sensitive too.
        """
        # Read `_auth`, not `auth`: that would authenticate again here, where no handler catches a failure.
        if _needs_tick(response) and _is_limited(getattr(request, "_auth", None)):
            wait_for_tick(self.started)
        return super().finalize_response(request, response, *args, **kwargs)


def _needs_tick(response: Any) -> bool:
    is_list = isinstance(response.data, dict) and "results" in response.data
    return is_list or response.status_code >= 400 or response.status_code == MULTI_STATUS


def _is_limited(caller: object) -> bool:
    try:
        return isinstance(caller, Caller) and caller.access.filtered
    except Exception:  # the member has left or the database is down; the response stands
        return True
