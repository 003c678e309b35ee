"""Counts and digests of tables, for verification and repair. See docs/spec/protocol.md §9."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from metadata.names import quote
from metadata.replica_ddl import SYSTEM_COLUMNS
from metadata.schema import TenantSchema
from sync.catchup.digest_index import Digest, digests, of_pairs, term, wire
from sync.channels import view
from sync.channels.channel import Channel
from sync.records.columns import table_of
from sync.records.read_transaction import Reader
from sync.records.system_rows import system_records

Range = tuple[str | None, str | None]
EVERYTHING: tuple[Range, ...] = ((None, None),)


def digest_of(records: Iterable[tuple[str, int]]) -> Digest:
    """Pure: return count and digest of (ID, version) pairs, in any order."""
    count = total = 0
    for record_id, version in records:
        total += term(record_id, version)
        count += 1
    return wire(count, total)


def table_digest(
    reader: Reader,
    channel: Channel,
    schema: TenantSchema,
    table: str,
    *,
    low: str | None = None,
    high: str | None = None,
) -> Digest:
    """Return count and digest of the records of a table that a channel sees, or of those with IDs in [low, high].

    Raises `KeyError` for an unknown table.
    """
    return range_digests(reader, channel, schema, table, [(low, high)])[0]


def range_digests(
    reader: Reader, channel: Channel, schema: TenantSchema, table: str, ranges: Sequence[Range] = EVERYTHING
) -> list[Digest]:
    """Return count and digest of the records that a channel sees in each range of IDs.

    All ranges cost one scan at most. Raises `KeyError` for an unknown table.
    """
    if table in SYSTEM_COLUMNS:
        return _system_digests(reader, channel, table, ranges)
    epoch, cursor = reader.all(
        f"SELECT server_epoch, cursor FROM {reader.schema}tenants_tenant WHERE id = %s", [channel.tenant_id]
    )[0]
    found = digests(_Table(reader, channel, schema, table, epoch, cursor))
    return [found.of(low, high) for low, high in ranges]


@dataclass(frozen=True, slots=True)
class _Table:
    """The records of one object type that a channel sees, in one state of the database."""

    reader: Reader
    channel: Channel
    schema: TenantSchema
    table: str
    epoch: str
    cursor: int

    @property
    def physical(self) -> str:
        return table_of(self.schema.tenant_id, self.schema.by_table[self.table])

    @property
    def key(self) -> tuple[str, ...]:
        return self.physical, self.channel.key, self.epoch

    def select(self, columns: str, low: str | None, below: str | None, tail: str) -> tuple[str, list[Any]]:
        few = low is not None and below is not None
        seen, params = view.condition(self.channel, self.schema, self.table, self.reader.vendor, few=few)
        names = {"id": f'{self.physical}."id"', "version": '"version"'}
        condition, params = _bounded(
            self.reader.vendor, names["id"], f'NOT "_deleted" AND ({seen})', params, ((low, ">="), (below, "<"))
        )
        # The condition may contain braces, so format only our own parts.
        query = f"SELECT {columns.format(**names)} FROM {self.physical} WHERE {condition} {tail.format(**names)}"
        return query, params

    def changed(self, since: int, limit: int) -> list[str]:
        found = self.reader.all(
            f'SELECT {quote("id")} FROM {self.physical} WHERE "_cursor" > %s LIMIT {int(limit)}', [since]
        )
        return [record_id for (record_id,) in found]


def _system_digests(reader: Reader, channel: Channel, table: str, ranges: Sequence[Range]) -> list[Digest]:
    rows = system_records(reader, channel.tenant_id, table, "NOT deleted", [])
    found = of_pairs((record_id, version) for record_id, version, _, _ in view.system_rows(channel, table, rows))
    return [found.of(low, high) for low, high in ranges]


def id_range(
    vendor: str, key: str, condition: str, params: list[Any], low: str | None, high: str | None
) -> tuple[str, list[Any]]:
    """Restrict a condition to IDs in [low, high], compared as UTF-8 bytes. None is an open end."""
    return _bounded(vendor, key, condition, params, ((low, ">="), (high, "<=")))


def _bounded(
    vendor: str, key: str, condition: str, params: list[Any], ends: Iterable[tuple[str | None, str]]
) -> tuple[str, list[Any]]:
    collated = f'{key} COLLATE "C"' if vendor == "postgresql" else key
    params = list(params)
    for end, operator in ends:
        if end is not None:
            condition += f" AND {collated} {operator} %s"
            params.append(end)
    return condition, params
