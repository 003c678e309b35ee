"""Records of the system tables `object_metadata` and `layout_definition` as the server stores them."""

from collections.abc import Sequence
from typing import Any

import orjson

from sync.records.read_transaction import Reader


def system_records(
    reader: Reader, tenant_id: int, table: str, condition: str, params: Sequence[Any]
) -> list[tuple[str, int, bool, dict[str, Any]]]:
    """Return records of a system table as (ID, version, deleted, data), in ID order."""
    data = "data::text" if reader.vendor == "postgresql" else "data"
    found = reader.all(
        f"SELECT record_id, version, deleted, {data} FROM {reader.schema}sync_systemrecord "
        f"WHERE tenant_id = %s AND table_name = %s AND {condition} ORDER BY record_id",
        [tenant_id, table, *params],
    )
    return [(record_id, version, bool(deleted), orjson.loads(text)) for record_id, version, deleted, text in found]
