"""A caller of the REST API, for tests."""

import json
from typing import Any

from django.test import Client

from tenants.tokens import issue_device


class Api:
    """Sends JSON with a device token."""

    def __init__(self, tenant, user) -> None:
        self.device, self.token = (issued := issue_device(tenant, user, "test")).device, issued.token
        self.client = Client(raise_request_exception=False)

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        raw: bytes | None = None,
        kind: str = "application/json",
        **headers: str,
    ):
        """Send a request under `/api/` and return the response. `.data` is its JSON."""
        data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        response = self.client.generic(
            method, f"/api/{path}", data, content_type=kind, headers={"Authorization": f"Bearer {self.token}", **names}
        )
        response.data = (
            json.loads(response.content)
            if response.content and "json" in response.headers.get("Content-Type", "")
            else None
        )
        return response

    def ok(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """Send a request that must succeed. Return its JSON."""
        response = self(method, path, body, **more)
        assert response.status_code < 300, (method, path, response.status_code, response.content[:500])
        return response.data
