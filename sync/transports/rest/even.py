"""Refusals and empty answers over REST that do not tell by their time whether there is something the caller may not see."""

import time
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sync.transports.marks import wait_for_mark
from sync.transports.rest.auth import Caller
from tenants.errors import MoatError

MULTI_STATUS = 207


class EvenView(APIView):
    """A view about records that may be hidden from its caller."""

    def initialize_request(self, request: Any, *args: Any, **kwargs: Any) -> Request:
        """Note when the question came."""
        self.begun = time.perf_counter()
        return super().initialize_request(request, *args, **kwargs)

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Response:
        """Hold until the next mark what was refused, wholly or in part, and what found nothing."""
        if _says_no(response) and _is_limited(getattr(request, "auth", None)):
            wait_for_mark(self.begun)
        return super().finalize_response(request, response, *args, **kwargs)


def _says_no(response: Any) -> bool:
    found_nothing = isinstance(response.data, dict) and response.data.get("results") == []
    return found_nothing or response.status_code >= 400 or response.status_code == MULTI_STATUS


def _is_limited(caller: object) -> bool:
    try:
        return isinstance(caller, Caller) and caller.access.filtered
    except MoatError:  # a member no longer
        return True
