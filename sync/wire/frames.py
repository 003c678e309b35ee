"""Pure: encoders of the frames that the server sends, one function per frame.

A text frame is a `str`: an envelope, then data lines exactly as they are stored.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

PART_HEADER_BYTES = 4


def envelope(kind: str, ref: int | None = None, /, **keys: Any) -> bytes:
    """Encode an envelope. Keys whose value is None are omitted; `ref` comes last."""
    body = {"type": kind, **{name: value for name, value in keys.items() if value is not None}}
    if ref is not None:
        body["ref"] = ref
    return orjson.dumps(body)


def message(kind: str, ref: int | None = None, /, **keys: Any) -> str:
    """Encode a frame without data lines."""
    return envelope(kind, ref, **keys).decode()


def error(code: str, text: str, *, ref: int | None = None, retry_after: float | None = None) -> str:
    """Encode an `error`: a stable code and a message that says what to do. `retry_after` is in seconds."""
    return message("error", ref, code=code, message=text, retry_after=retry_after)


def ack(results: Iterable[Mapping[str, Any]], *, ref: int | None) -> str:
    """Encode the response to a push: one result per op, in op order."""
    body: dict[str, Any] = {"type": "ack", "results": list(results)}
    if ref is not None:
        body["ref"] = ref
    return orjson.dumps(body).decode()


def changes(
    channel: str, lines: Sequence[bytes], *, schema_version: int, from_cursor: int, to_cursor: int, state_hash: bytes
) -> str:
    """Encode the changes of a channel with cursors in (from_cursor, to_cursor], all made under one schema version."""
    head = orjson.dumps(
        {
            "type": "changes",
            "channel": channel,
            "schema_version": schema_version,
            "from": from_cursor,
            "to": to_cursor,
            "state_hash": state_hash.hex(),
        }
    )
    return b"\n".join((head, *lines)).decode()


def rows(
    table: str,
    columns: Sequence[str],
    records: Sequence[bytes],
    *,
    deleted: Sequence[str] = (),
    remaining: int | None = None,
    span: tuple[str | None, str | None] | None = None,
    ref: int | None = None,
) -> str:
    """Encode records of one table, each line a JSON array in `columns` order.

    `span` is the ID range that a repair replaces.
    """
    body: dict[str, Any] = {"type": "rows", "table": table, "columns": columns, "deleted": deleted}
    if remaining is not None:
        body["remaining"] = remaining
    if span is not None:
        body["range"] = span
    if ref is not None:
        body["ref"] = ref
    return b"\n".join((orjson.dumps(body), *records)).decode()


def part(snapshot: str, number: int, data: bytes) -> bytes:
    """Encode a snapshot part: the length of its JSON header (4 bytes, big-endian), the header, and the gzip bytes."""
    header = orjson.dumps({"snapshot": snapshot, "part": number})
    return len(header).to_bytes(PART_HEADER_BYTES, "big") + header + data
