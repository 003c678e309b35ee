"""Rate limits of sign-in attempts, shared by every form that takes a password.

Rates are settings: LOGIN_RATE and LOGIN_ADDRESS_RATE (docs/guides/operate.md).
"""

import hashlib
from typing import Any, cast

from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle


class LoginThrottle(SimpleRateThrottle):
    """Attempts per address and user name, across tenants: passwords belong to users."""

    scope = "login"

    def get_cache_key(self, request: Any, view: Any) -> str | None:
        """Return a key without anything the user typed."""
        who = f"{self.get_ident(request)}\n{_username(request)[:200].casefold()}"
        return f"throttle_{self.scope}_{hashlib.sha256(who.encode(errors='replace')).hexdigest()}"


class LoginAddressThrottle(SimpleRateThrottle):
    """Attempts per address, against one address trying many user names."""

    scope = "login_address"

    def get_cache_key(self, request: Any, view: Any) -> str | None:
        """Return the address's key."""
        ident = hashlib.sha256(self.get_ident(request).encode()).hexdigest()
        return f"throttle_{self.scope}_{ident}"


def _username(request: Request | HttpRequest) -> str:
    """Return the user name in an API request or a form."""
    if isinstance(request, Request):
        return str(request.data.get("user")) if isinstance(request.data, dict) else "None"
    return request.POST.get("username", "")


def seconds_to_wait(request: HttpRequest) -> int:
    """Count a form's sign-in attempt. Return 0, or the seconds until the next attempt is accepted."""
    view: Any = None
    throttles = [LoginAddressThrottle(), LoginThrottle()]
    refused = [one for one in throttles if not one.allow_request(cast("Request", request), view)]
    return max((int(one.wait() or 0) + 1 for one in refused), default=0)
