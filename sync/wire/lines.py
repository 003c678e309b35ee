"""Pure: change lines, the only encoding of a change. See docs/spec/protocol.md §2.

A line is encoded once, when the change is written. The same bytes are stored, hashed, and sent.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

_WIRE_LENGTH: Final = len("2026-11-21T09:00:00.000000Z")
MADE_AT_AFTER: Final = timedelta(seconds=60)
"""A line has `made_at` only if its op was made more than this before the server accepted it."""


def encode_change(
    cursor: int,
    schema_version: int,
    table: str,
    record_id: str,
    op: str,
    version: int,
    payload: Any,
    at: str,
    by: str,
    device: str | None = None,
    op_id: int | None = None,
    made_at: str | None = None,
) -> bytes:
    """Return a change's line: UTF-8 JSON without a newline, keys in the order of the spec.

    `device` and `op_id` are both given or both None.
    """
    line: dict[str, Any] = {
        "cursor": cursor,
        "schema_version": schema_version,
        "table": table,
        "id": record_id,
        "op": op,
        "version": version,
        "payload": payload,
        "at": at,
        "by": by,
    }
    if device is not None:
        line["device"] = device
        line["op_id"] = op_id
    if made_at is not None:
        line["made_at"] = made_at
    return orjson.dumps(line)


def decode_line(line: bytes | memoryview) -> dict[str, Any]:
    """Return a change line as a dict."""
    decoded: dict[str, Any] = orjson.loads(line)
    return decoded


def encode_line(change: Mapping[str, Any]) -> bytes:
    """Return the line of a decoded change."""
    return encode_change(
        change["cursor"],
        change["schema_version"],
        change["table"],
        change["id"],
        change["op"],
        change["version"],
        change["payload"],
        change["at"],
        change["by"],
        change.get("device"),
        change.get("op_id"),
        change.get("made_at"),
    )


def wire_time(moment: datetime) -> str:
    """Return an aware datetime in wire form: UTC, microseconds, `Z`."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def made_at_of(made: str | None, accepted: datetime) -> str | None:
    """Return when an op was made, in wire form; None unless that is more than `MADE_AT_AFTER` before `accepted`.

    Raises `ValueError` when `made` is not a time.
    """
    if made is None:
        return None
    moment = datetime.fromisoformat(made)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if accepted - moment <= MADE_AT_AFTER:
        return None
    try:
        return made if len(made) == _WIRE_LENGTH and made[-1] == "Z" and made[10] == "T" else wire_time(moment)
    except OverflowError as error:
        raise ValueError(made) from error
