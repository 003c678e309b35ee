"""Refusals and lists over REST that do not tell by their time whether there is something the caller may not see."""

import time
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sync.transports.response_grid import wait_for_tick
from sync.transports.rest.auth import Caller

MULTI_STATUS = 207


class QuantizedView(APIView):
    """A view about records that may be hidden from its caller."""

    def initialize_request(self, request: Any, *args: Any, **kwargs: Any) -> Request:
        """Note when the question came."""
        self.begun = time.perf_counter()
        return super().initialize_request(request, *args, **kwargs)

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Response:
        """Hold until the next mark what was refused, wholly or in part, and lists: they pass over what is hidden."""
        # `_auth`, not `auth`: who could not be authenticated must not be asked again here, where nobody answers for a failure.
        if _says_no(response) and _is_limited(getattr(request, "_auth", None)):
            wait_for_tick(self.begun)
        return super().finalize_response(request, response, *args, **kwargs)


def _says_no(response: Any) -> bool:
    is_list = isinstance(response.data, dict) and "results" in response.data
    return is_list or response.status_code >= 400 or response.status_code == MULTI_STATUS


def _is_limited(caller: object) -> bool:
    try:
        return isinstance(caller, Caller) and caller.access.filtered
    except Exception:  # a member no longer, or the database is gone: the answer stands already
        return True
