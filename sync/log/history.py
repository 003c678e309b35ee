"""A record's history: its change lines, read from the log."""

from collections.abc import Sequence
from typing import Any

from metadata.schema import ObjectSpec
from sync.channels.channel import Channel
from sync.channels.projection import Side, project
from sync.log.changes import record_lines
from sync.records import sql
from sync.records.rows import records
from sync.wire.lines import decode_line, encode_line


def changes_of(
    tenant_id: int, spec: ObjectSpec, record_id: str, *, limit: int = 200, before: int | None = None
) -> list[dict[str, Any]]:
    """Return a record's newest changes as decoded lines, newest first, as far back as the log reaches.

    `before` excludes that version and later ones, so the last version of a page starts the next. Deleted records have a
    history too; a record that never existed has none.
    """
    row = records(tenant_id, spec, [record_id]).get(record_id)
    if row is None:
        return []
    return [decode_line(line) for line in reversed(record_lines(tenant_id, row.cursor, limit, before=before))]


def changes_seen(channel: Channel, changes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return changes as the channel shows them, without hidden fields and without changes that it does not show."""
    if channel.rules is None:
        return list(changes)
    cursors = [change["cursor"] for change in changes]
    found = sql.fetch_in(
        "SELECT cursor, side FROM change_side WHERE tenant_id = %s AND cursor IN", cursors, [channel.tenant_id]
    )
    sides = {cursor: Side.decode(side) for cursor, side in found}
    lines = [project(encode_line(change), sides.get(change["cursor"]), channel.rules, change) for change in changes]
    return [decode_line(line) for line in lines if line is not None]
