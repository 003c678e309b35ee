"""Tenants with collections, and v1 devices."""

from collections.abc import Callable
from typing import Any

import pytest

from metadata.publish import publish
from sync.channels.channel import Channel
from sync.entities.cbor import encode
from sync.entities.ops import EntityOp, Page, Pushed
from sync.v1.pull import pull
from sync.v1.push import push_entities
from sync.wire.ops import Actor
from tenants.models import Tenant
from tenants.tokens import issue_device
from tests.builders import make_object_type, make_tenant, make_user

FIELDS: dict[str, Any] = {
    "title": "text",
    "body": "text",
    "number": "integer",
    "attrs": "json",
    "due": "datetime",
    "price": "decimal",
}


def make_notes(tenant: Tenant, policy: str = "field_merge") -> None:
    """Publish `notes` with fields and `blobs` without."""
    make_object_type(tenant, "note", FIELDS, conflict_policy=policy)
    make_object_type(tenant, "blob", {})
    publish(tenant.pk)
    tenant.refresh_from_db()


class Door:
    """A device that calls the use cases directly, with ascending op_ids."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.user = make_user(tenant)
        self.issued = issue_device(tenant, self.user, "v1")
        self.actor = Actor(tenant.pk, self.user.username, self.issued.device.pk, user_id=self.user.pk)
        self.number = 0

    def op(
        self, record: str, version: int, body: Any = None, *, collection: str = "notes", op_id: int | None = None
    ) -> EntityOp:
        """An upsert of a map (or of bytes as they are), or a delete without one."""
        if op_id is None:
            self.number += 1
            op_id = self.number
        data = body if isinstance(body, bytes) or body is None else encode(body)
        return EntityOp(
            op_id, collection, record, "delete" if data is None else "upsert", version, data, 1_700_000_000_000
        )

    def push(self, *ops: EntityOp) -> Pushed:
        return push_entities(self.actor, ops)

    def put(self, record: str, version: int, body: Any, **more: Any) -> Pushed:
        return self.push(self.op(record, version, body, **more))

    def pull(self, since: int = 0, limit: int = 1000, collections: list[str] | None = None) -> Page:
        self.tenant.refresh_from_db(fields=["access_version"])
        channel = Channel(self.tenant.pk, self.tenant.slug, access_version=self.tenant.access_version)
        return pull(channel, self.actor.device_id or "", since, limit, collections)

    def all(self, limit: int = 1000) -> list[Any]:
        found, page = [], self.pull(0, limit)
        found += page.ops
        while page.has_more:
            page = self.pull(page.next_cursor, limit)
            found += page.ops
        return found


@pytest.fixture
def notes(db: None) -> Tenant:
    tenant = make_tenant()
    make_notes(tenant)
    return tenant


@pytest.fixture
def door(notes: Tenant) -> Callable[[], Door]:
    return lambda: Door(notes)
