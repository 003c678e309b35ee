"""A channel's view of the current database: object types, conditions on records, and system records."""

from collections.abc import Iterable
from typing import Any

from metadata.schema import ObjectSpec, TenantSchema
from sync.channels.channel import Channel
from sync.channels.projection import project_spec, project_system_record
from sync.channels.row_filter_sql import Condition, visible
from sync.wire.system_tables import OBJECT_METADATA

SystemRow = tuple[str, int, bool, dict[str, Any]]


def specs(channel: Channel, schema: TenantSchema) -> list[ObjectSpec]:
    """Return the object types that the channel shows, without hidden fields."""
    projected = (project_spec(spec, channel.rules) for spec in schema.objects)
    return [spec for spec in projected if spec is not None]


def spec_of(channel: Channel, schema: TenantSchema, table: str) -> ObjectSpec | None:
    """Return an object type by its table as the channel shows it; None if the channel hides it."""
    spec = schema.by_table.get(table)
    return None if spec is None else project_spec(spec, channel.rules)


def condition(channel: Channel, schema: TenantSchema, table: str, vendor: str, *, few: bool = False) -> Condition:
    """Return the condition, with its parameters, for the records that the channel sees; `few` as in `visible`."""
    return visible(schema, table, channel.rules, vendor, few=few)


def image_of(table: str, record_id: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return a system record with the name of its object type."""
    return {**data, "object_name": record_id} if table == OBJECT_METADATA else data


def system_rows(channel: Channel, table: str, rows: Iterable[SystemRow]) -> list[SystemRow]:
    """Return system records as (ID, version, deleted, data) as the channel sees them; hidden ones are omitted."""
    if channel.rules is None:
        return list(rows)
    shown: list[SystemRow] = []
    for record_id, version, deleted, data in rows:
        projected = project_system_record(table, image_of(table, record_id, data), channel.rules)
        if projected is not None:
            shown.append((record_id, version, deleted, projected))
    return shown
