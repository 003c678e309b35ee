"""Pure: parse and build the messages of SyncProtocol v1. Unknown keys are ignored."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from sync.entities.cbor import Tag, TooManyItems
from sync.entities.document import MAX_VERSION, items_of
from sync.entities.ops import EntityConflictView, EntityOp, Operation, Page, Pushed, Verb
from sync.transports.v1.errors import V1Code, V1Error, invalid
from sync.wire.limits import MESSAGE_ITEMS

CBOR: Final = "application/cbor"
JSON: Final = "application/json"
NO_DEVICE: Final = "server"
"""The `deviceId` of a change made without a device. Clients require text there."""

_VERBS: Final[dict[str, Verb]] = {"put": "upsert", "upsert": "upsert", "delete": "delete"}
_TEXT: Final = 200
_UINT8_ARRAY: Final = 64
"""The RFC 8746 tag that some browser encoders put before every byte string."""
_TOO_LARGE: Final = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


@dataclass(frozen=True, slots=True)
class Bounds:
    """Request limits: ops per push, bytes per entity, and default and maximum page size.

    `items`: values and keys of all documents of a push.
    """

    ops: int
    entity: int
    page: int
    page_max: int
    items: int = MESSAGE_ITEMS


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull. `collections` is None for all."""

    since: int
    limit: int
    collections: tuple[str, ...] | None


def require_map(message: object) -> Mapping[str, Any]:
    """Return the message if it is a map with text keys."""
    if not isinstance(message, dict):
        raise invalid("The request must be a map with text keys.")
    return message


def text(message: Mapping[str, Any], key: str, prefix: str = "", *, limit: int = _TEXT) -> str:
    """Return a required text."""
    value = message.get(key)
    if not isinstance(value, str) or not value or len(value) > limit:
        raise invalid(f"{key} must be text of 1 to {limit} characters.", prefix + key)
    return value


def whole(
    message: Mapping[str, Any],
    key: str,
    prefix: str = "",
    *,
    least: int = 0,
    most: int = MAX_VERSION,
    default: int | None = None,
) -> int:
    """Return a whole number.

    Floats without a fraction are accepted: some encoders have no large integers.
    """
    value = message.get(key)
    if value is None and default is not None:
        return default
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not int or not least <= value <= most:
        raise invalid(f"{key} must be a whole number from {least} to {most}.", prefix + key)
    return value


def named(message: Mapping[str, Any], key: str, expected: str, prefix: str = "", *, required: bool = True) -> None:
    """Check that a message names the caller's own database or device."""
    if message.get(key) is None and not required:
        return
    if text(message, key, prefix) != expected:
        raise V1Error(V1Code.AUTHORIZATION_FAILED, f"The token belongs to a different {key}.", field=prefix + key)


def handshake(message: Mapping[str, Any]) -> None:
    """Check the optional members of a handshake."""
    info = message.get("clientInfo")
    if info is not None and not isinstance(info, dict):
        raise invalid("clientInfo must be a map.", "clientInfo")
    version = message.get("protocolVersion", 1)
    if version != 1:
        raise V1Error(V1Code.VERSION_MISMATCH, "This server supports version 1 only.", field="protocolVersion")


def pull_request(message: Mapping[str, Any], bounds: Bounds) -> PullRequest:
    """Parse a pull."""
    limit = whole(message, "limit", least=1, default=bounds.page)
    return PullRequest(
        whole(message, "sinceCursor", default=0), min(limit, bounds.page_max), names(message.get("collections"))
    )


def names(value: object) -> tuple[str, ...] | None:
    """Parse a list of collections. None and an empty list mean all."""
    if value is None or value == []:
        return None
    if (
        not isinstance(value, list)
        or len(value) > 1000
        or not all(isinstance(each, str) and len(each) <= _TEXT for each in value)
    ):
        raise invalid("collections must be a list of names.", "collections")
    return tuple(value)


def push_request(message: Mapping[str, Any], database: str, device: str, bounds: Bounds) -> list[EntityOp]:
    """Parse the ops of a push."""
    ops = message.get("ops")
    if not isinstance(ops, list):
        raise invalid("ops must be a list.", "ops")
    if len(ops) > bounds.ops:
        raise V1Error(
            V1Code.INVALID_REQUEST,
            f"A push can have at most {bounds.ops} ops.",
            status=_TOO_LARGE,
            field="ops",
            limit="v1_ops",
        )
    read = [_op(each, f"ops[{n}].", database, device, bounds) for n, each in enumerate(ops)]
    _count_documents(read, bounds.items)
    return read


def _count_documents(ops: Sequence[EntityOp], items: int) -> None:
    """Reject documents that together hold too many items, before anything decodes them under the tenant's lock."""
    left = items
    for number, op in enumerate(ops):
        try:
            left -= items_of(op.body, left) if op.body is not None else 0
        except TooManyItems:
            raise V1Error(
                V1Code.INVALID_REQUEST,
                f"The documents of the push exceed {items} values and keys.",
                status=_TOO_LARGE,
                field=f"ops[{number}].entityCbor",
                limit="items",
            ) from None


def _op(message: object, at: str, database: str, device: str, bounds: Bounds) -> EntityOp:
    if not isinstance(message, dict):
        raise invalid("An op must be a map.", at.rstrip("."))
    named(message, "dbId", database, at, required=False)
    named(message, "deviceId", device, at, required=False)
    kind = message.get("opType")
    verb = _VERBS.get(kind.lower()) if isinstance(kind, str) else None
    if verb is None:
        raise invalid("opType must be upsert (or PUT) or delete.", f"{at}opType")
    return EntityOp(
        op_id=whole(message, "opId", at, least=1),
        collection=text(message, "collection", at),
        entity_id=text(message, "entityId", at),
        verb=verb,
        version=whole(message, "entityVersion", at),
        body=_body(message.get("entityCbor"), verb, f"{at}entityCbor", bounds.entity),
        timestamp_ms=whole(message, "timestampMs", at, least=-MAX_VERSION, default=0) or None,
    )


def _body(value: object, verb: Verb, at: str, limit: int) -> bytes | None:
    if verb == "delete":
        return None
    if isinstance(value, str):
        value = _from_base64(value, at)
    elif isinstance(value, list):
        value = _from_numbers(value, at)
    elif isinstance(value, Tag) and value.number == _UINT8_ARRAY:
        value = value.value
    if not isinstance(value, bytes):
        raise invalid("An upsert requires entityCbor, a byte string.", at)
    if len(value) > limit:
        raise V1Error(
            V1Code.INVALID_REQUEST,
            f"entityCbor exceeds {limit} bytes.",
            status=_TOO_LARGE,
            field=at,
            limit="v1_entity",
        )
    return value


def _from_base64(value: str, at: str) -> bytes:
    padded = value.replace("-", "+").replace("_", "/") + "=" * (-len(value) % 4)
    try:
        return base64.b64decode(padded, validate=True)
    except (binascii.Error, ValueError):
        raise invalid("In JSON, a byte string must be base64 text.", at) from None


def _from_numbers(value: list[Any], at: str) -> bytes:
    try:
        return bytes(value)
    except (TypeError, ValueError):
        raise invalid("A byte string given as a list must contain only bytes.", at) from None


def handshake_response(cursor: int, head: int, newest_op: int) -> dict[str, Any]:
    """Return the response to a handshake: resume cursor, end of the log, and highest op number."""
    capabilities = {"pull": True, "push": True, "sse": True}
    return {"serverCursor": cursor, "headCursor": head, "lastOpId": newest_op, "capabilities": capabilities}


def pull_response(page: Page, database: str) -> dict[str, Any]:
    """Return a page of changes."""
    return {
        "ops": [operation(op, database) for op in page.ops],
        "nextCursor": page.next_cursor,
        "hasMore": page.has_more,
    }


def operation(op: Operation, database: str, *, bodies: bool = True) -> dict[str, Any]:
    """Return a change as a SyncOperation. Its opId is the cursor, because clients use it as one."""
    out: dict[str, Any] = {
        "opId": op.cursor,
        "dbId": database,
        "deviceId": op.device or NO_DEVICE,
        "collection": op.collection,
        "entityId": op.entity_id,
        "opType": op.verb,
        "entityVersion": op.version,
        "timestampMs": op.timestamp_ms,
        "serverCursor": op.cursor,
    }
    if op.body is not None and bodies:
        out["entityCbor"] = op.body
    if op.source_op_id is not None:
        out["sourceOpId"] = op.source_op_id
    return out


def push_response(pushed: Pushed, database: str, device: str) -> dict[str, Any]:
    """Return the result of a push."""
    return {
        "acknowledgedUpToOpId": pushed.acknowledged,
        "conflicts": [_conflict(view, database, device) for view in pushed.conflicts],
    }


def _conflict(view: EntityConflictView, database: str, device: str) -> dict[str, Any]:
    op = view.op
    sent: dict[str, Any] = {
        "opId": op.op_id,
        "dbId": database,
        "deviceId": device,
        "collection": op.collection,
        "entityId": op.entity_id,
        "opType": op.verb,
        "entityVersion": op.version,
        "timestampMs": op.timestamp_ms or 0,
    }
    if op.body is not None:
        sent["entityCbor"] = op.body
    state: dict[str, Any] = {"entityVersion": view.version, "entityCbor": view.body, "deleted": view.deleted}
    if view.modified_ms is not None:
        state["lastModified"] = view.modified_ms
    return {"collection": op.collection, "entityId": op.entity_id, "clientOp": sent, "serverState": state}
