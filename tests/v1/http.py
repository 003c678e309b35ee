"""A v1 client on Django's test client, in CBOR or JSON."""

import gzip
import json
from typing import Any

from django.contrib.auth.models import User
from django.test import Client

from sync.entities.cbor import Limits, decode, encode
from sync.transports.v1.negotiation import to_json
from tenants.models import Tenant
from tenants.tokens import issue_device
from tests.builders import make_user


class Http:
    """A device that uses HTTP."""

    def __init__(self, tenant: Tenant, kind: str = "cbor", user: User | None = None) -> None:
        self.tenant, self.kind = tenant, kind
        self.issued = issue_device(tenant, user or make_user(tenant), "v1")
        self.device = self.issued.device.pk
        self.client = Client()
        self.number = 0
        self.token = self.issued.token

    def call(self, path: str, message: Any, *, packed: bool = False, **headers: str) -> tuple[int, Any]:
        data = encode(message) if self.kind == "cbor" else to_json(message)
        given = {"Authorization": f"Bearer {self.token}", **headers}
        if packed:
            data, given["Content-Encoding"] = gzip.compress(data), "gzip"
        self.response = self.client.post(
            f"/v1/{path}", data=data, content_type=f"application/{self.kind}", headers=given
        )
        return self.response.status_code, self.read(self.response)

    def read(self, response: Any) -> Any:
        data = response.content
        if response.headers.get("Content-Encoding") == "gzip":
            data = gzip.decompress(data)
        return (
            decode(data, Limits(size=2**28))
            if response.headers["Content-Type"] == "application/cbor"
            else json.loads(data)
        )

    def me(self) -> dict[str, Any]:
        return {"dbId": self.tenant.slug, "deviceId": self.device}

    def op(self, record: str, version: int, body: Any, **more: Any) -> dict[str, Any]:
        self.number += 1
        op = {
            "opId": self.number,
            **self.me(),
            "collection": "notes",
            "entityId": record,
            "opType": "delete" if body is None else "PUT",
            "entityVersion": version,
            "timestampMs": 1_700_000_000_000,
        }
        if body is not None:
            op["entityCbor"] = body if isinstance(body, bytes) else encode(body)
        return {**op, **more}

    def push(self, *ops: dict[str, Any], **more: Any) -> tuple[int, Any]:
        return self.call("push", {**self.me(), "ops": list(ops)}, **more)

    def pull(self, since: int = 0, **more: Any) -> tuple[int, Any]:
        return self.call("pull", {"dbId": self.tenant.slug, "sinceCursor": since, **more})
