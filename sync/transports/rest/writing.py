"""Turn requests into ops, push them through the engine, and return the results."""

import re
import secrets
import time
from collections.abc import Sequence
from typing import Any

from django.db import transaction

from sync.errors import SyncError
from sync.settle import push
from sync.transports.rest.auth import Caller
from sync.transports.rest.errors import RestCode, RestError
from sync.transports.rest.reading import live_record, spec_for, view_of_caller
from sync.wire.codes import Code
from sync.wire.ops import Op, OpResult
from sync.wire.patch import escape
from tenants.locks import lock_tenant

_CODES = {str(code): code for code in Code}
_ETAG = re.compile(r'"(0|[1-9][0-9]{0,15})"')


def new_id() -> str:
    """Return a UUIDv7 (RFC 9562): milliseconds since 1970, then random bits. Later IDs sort later."""
    value = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def etag(version: int) -> str:
    """Return a record's ETag."""
    return f'"{version}"'


def versions_in(header: str | None) -> set[int] | None:
    """Return the versions an `If-Match` allows, or None without a header or for `*`.

    A weak tag matches nothing (RFC 9110).
    """
    if header is None or header.strip() == "*":
        return None
    versions = set()
    for part in header.split(","):
        tag = part.strip()
        if tag.startswith("W/"):
            continue
        found = _ETAG.fullmatch(tag)
        if found is None:
            raise RestError(
                RestCode.BAD_REQUEST, 'If-Match must be a version in double quotes, such as "7".', field="If-Match"
            )
        versions.add(int(found[1]))
    return versions


def merge_patch(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Return fields to merge as a JSON Patch: each value replaces the field's, null clears it."""
    return [{"op": "add", "path": f"/{escape(name)}", "value": value} for name, value in values.items()]


def push_one(caller: Caller, op: Op, allowed: set[int] | None) -> OpResult:
    """Apply one op if the record has one of the `allowed` versions. Raises on any failure.

    The version is compared under the tenant's lock, so no other write can intervene.
    """
    if allowed is None:
        return accepted(push.push(caller.actor, [op])[0])
    with transaction.atomic():
        lock_tenant(caller.tenant_id)
        tenant_view = view_of_caller(caller)
        version = live_record(tenant_view, spec_for(tenant_view, op.table), op.id).version
        if version not in allowed:
            raise RestError(RestCode.STALE, f"The record is now at version {version}.", version=version)
        return accepted(push.push(caller.actor, [op])[0])


def push_all(caller: Caller, ops: Sequence[Op]) -> list[OpResult]:
    """Apply ops, transaction by transaction."""
    return push.push(caller.actor, list(ops))


def accepted(result: OpResult) -> OpResult:
    """Return an accepted result. Raises any other as an error."""
    if result.accepted:
        return result
    if result.status == "conflict":
        raise RestError(RestCode.CONFLICT, "Someone else changed the same fields.", **result_json(result))
    raise SyncError(_CODES.get(result.code or "", Code.INTERNAL), result.message or "", field=result.field)


def result_json(result: OpResult) -> dict[str, Any]:
    """Return a result without its op_id, which is meaningless to REST callers."""
    return {key: value for key, value in result.wire().items() if key != "op_id"}
