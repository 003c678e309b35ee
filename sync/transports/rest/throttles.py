"""Rate limits of sign-in attempts.

Rates are settings: LOGIN_RATE and LOGIN_ADDRESS_RATE (docs/guides/operate.md).
"""

import hashlib

from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView


class LoginThrottle(SimpleRateThrottle):
    """Attempts per address and user name, across tenants: passwords belong to users."""

    scope = "login"

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        """Return a key without anything the user typed."""
        body = request.data if isinstance(request.data, dict) else {}
        who = f"{self.get_ident(request)}\n{str(body.get('user'))[:200].casefold()}"
        return f"throttle_{self.scope}_{hashlib.sha256(who.encode(errors='replace')).hexdigest()}"


class LoginAddressThrottle(SimpleRateThrottle):
    """Attempts per address, against one address trying many user names."""

    scope = "login_address"

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        """Return the address's key."""
        ident = hashlib.sha256(self.get_ident(request).encode()).hexdigest()
        return f"throttle_{self.scope}_{ident}"
