"""A device that pushes through the engine, with ascending op_ids."""

import asyncio
import itertools
from typing import Any

from metadata.catalog import schema_of
from metadata.publish import publish
from sync.log.changes import read
from sync.records import rows
from sync.settle.push import push
from sync.settle.writer import PushJob
from sync.wire.lines import decode_line
from sync.wire.ops import Actor, Op, OpResult
from tenants.models import Tenant
from tenants.tokens import issue_device
from tests.builders import make_object_type, make_tenant, make_user


class Pusher:
    """A device of a new user of the tenant, or of another device's user."""

    def __init__(self, tenant: Tenant, like: "Pusher | None" = None) -> None:
        self.user = like.user if like else make_user(tenant)
        self.device = issue_device(tenant, self.user, "test").device
        self.actor = Actor(tenant.pk, self.user.username, self.device.pk)
        self._numbers = itertools.count(1)

    def op(self, verb: str, table: str, record_id: str, base: int = 0, payload: Any = None, **more: Any) -> Op:
        return Op(
            more.pop("op_id", None) or next(self._numbers),
            more.pop("tx", None),
            table,
            record_id,
            verb,
            base,
            payload,
            **more,
        )

    def insert(self, table: str, record_id: str, base: int = 0, /, **values: Any) -> Op:
        return self.op("insert", table, record_id, base, values)

    def update(self, table: str, record_id: str, base: int, /, **values: Any) -> Op:
        return self.op(
            "update",
            table,
            record_id,
            base,
            [{"op": "replace", "path": f"/{k}", "value": v} for k, v in values.items()],
        )

    def patch(self, table: str, record_id: str, base: int, *steps: dict[str, Any]) -> Op:
        return self.op("update", table, record_id, base, list(steps))

    def delete(self, table: str, record_id: str, base: int) -> Op:
        return self.op("delete", table, record_id, base)

    def push(self, *ops: Op) -> list[OpResult]:
        return push(self.actor, ops)

    def one(self, op: Op) -> OpResult:
        (result,) = self.push(op)
        return result

    def ok(self, op: Op) -> OpResult:
        result = self.one(op)
        assert result.status in ("applied", "merged"), result
        return result


def make_notes(tenant: Tenant, policy: str = "field_merge") -> None:
    """Publish `notes`: title, body, number, and attrs (json)."""
    fields = {"title": "text", "body": "text", "number": "integer", "attrs": "json"}
    make_object_type(tenant, "note", fields, conflict_policy=policy)
    publish(tenant.pk)


def noted(policy: str = "field_merge") -> Tenant:
    """A tenant with `notes` under a merge policy."""
    tenant = make_tenant()
    make_notes(tenant, policy)
    return tenant


def lines(tenant: Tenant, after: int = 0) -> list[dict[str, Any]]:
    """The decoded log of the tenant's own tables."""
    found = [decode_line(line) for run in read(tenant.pk, after, 100_000, 1 << 30).segments for line in run.lines]
    return [line for line in found if line["table"] not in ("object_metadata", "layout_definition")]


def row(tenant: Tenant, table: str, record_id: str) -> rows.Row:
    tenant.refresh_from_db()
    found = rows.record(tenant.pk, schema_of(tenant.pk, tenant.schema_version), table, record_id)
    assert found is not None
    return found


def values(tenant: Tenant, table: str, record_id: str) -> dict[str, Any]:
    """The non-null values of an undeleted record."""
    found = row(tenant, table, record_id)
    assert not found.deleted
    return {name: value for name, value in found.values().items() if value is not None}


def job(pusher, *ops):
    return PushJob(pusher.actor, ops)


async def gathered(loom, jobs):
    return await asyncio.gather(*(loom.submit(each) for each in jobs), return_exceptions=True)
