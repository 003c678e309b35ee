"""Counts and digests of tables, for verification and repair. See docs/spec/protocol.md §9."""

from collections import OrderedDict
from collections.abc import Iterable
from hashlib import sha256
from threading import Lock
from typing import Any

from metadata.replica_ddl import SYSTEM_COLUMNS
from metadata.schema import TenantSchema
from sync.channels import view
from sync.channels.channel import Channel
from sync.records.columns import table_of
from sync.records.read_transaction import Reader
from sync.records.system_rows import system_records

Digest = tuple[int, str]
_MODULUS = 2**64
_CACHE_SIZE = 4096
_cache: OrderedDict[tuple[str, int], Digest] = OrderedDict()
_lock = Lock()

# One record's term, computed by the database: the first 8 bytes of the hash as a signed integer. Signed and unsigned
# integers are equal modulo 2^64.
_POSTGRESQL_TERM = (
    "('x' || encode(substr(sha256(convert_to({id}, 'UTF8') || '\\x00'::bytea || "
    "convert_to({version}::text, 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint"
)


def digest_of(records: Iterable[tuple[str, int]]) -> Digest:
    """Pure: return count and digest of (id, version) pairs, in any order."""
    count = total = 0
    for record_id, version in records:
        total += int.from_bytes(sha256(b"%b\x00%d" % (record_id.encode(), version)).digest()[:8], "big")
        count += 1
    return count, f"{total % _MODULUS:016x}"


def table_digest(
    reader: Reader,
    channel: Channel,
    schema: TenantSchema,
    table: str,
    *,
    low: str | None = None,
    high: str | None = None,
) -> Digest:
    """Return count and digest of a table's records that a channel sees, or of those with IDs in [low, high].

    A whole table's digest is cached until one of its records changes. Raises `KeyError` for an unknown table.
    """
    if table in SYSTEM_COLUMNS:
        return _system_digest(reader, channel, table, low, high)
    physical = table_of(schema.tenant_id, schema.by_table[table])
    seen, params = view.condition(channel, schema, table, reader.vendor, few=low is not None and high is not None)
    source: tuple[str, str, str, str, list[Any]] = (
        physical,
        f'{physical}."id"',
        '"version"',
        f'NOT "_deleted" AND ({seen})',
        params,
    )
    if low is not None or high is not None:
        return _scan(reader, *source, low, high)
    key = (f"{physical} {channel.key}", reader.all(f'SELECT COALESCE(MAX("_cursor"), 0) FROM {physical}')[0][0])
    with _lock:
        found = _cache.get(key)
    if found is None:
        found = _scan(reader, *source, None, None)
        with _lock:
            _cache[key] = found
            while len(_cache) > _CACHE_SIZE:
                _cache.popitem(last=False)
    return found


def forget() -> None:
    """Clear the cache. For tests, where a table can reappear with other records."""
    with _lock:
        _cache.clear()


def _system_digest(reader: Reader, channel: Channel, table: str, low: str | None, high: str | None) -> Digest:
    if not channel.filtered:
        return _scan(reader, *_system_source(channel.tenant_id, table), low, high)
    condition, params = id_range(reader.vendor, "record_id", "NOT deleted", [], low, high)
    rows = view.system_rows(channel, table, system_records(reader, channel.tenant_id, table, condition, params))
    return digest_of((record_id, version) for record_id, version, _, _ in rows)


def _system_source(tenant_id: int, table: str) -> tuple[str, str, str, str, list[Any]]:
    return (
        "sync_systemrecord",
        "record_id",
        "version",
        "NOT deleted AND tenant_id = %s AND table_name = %s",
        [tenant_id, table],
    )


def _scan(
    reader: Reader,
    source: str,
    key: str,
    version: str,
    condition: str,
    params: list[Any],
    low: str | None,
    high: str | None,
) -> Digest:
    condition, params = id_range(reader.vendor, key, condition, params, low, high)
    where = f"FROM {source} WHERE {condition}"
    if reader.vendor == "postgresql":
        term = _POSTGRESQL_TERM.format(id=key, version=version)
        count, total = reader.all(f"SELECT count(*), COALESCE(sum({term}), 0) {where}", params)[0]
        return count, f"{int(total) % _MODULUS:016x}"
    return digest_of(pair for chunk in reader.stream(f"SELECT {key}, {version} {where}", params) for pair in chunk)


def id_range(
    vendor: str, key: str, condition: str, params: list[Any], low: str | None, high: str | None
) -> tuple[str, list[Any]]:
    """Restrict a condition to IDs in [low, high], compared as UTF-8 bytes. None is an open end."""
    collated = f'{key} COLLATE "C"' if vendor == "postgresql" else key
    params = list(params)
    for end, operator in ((low, ">="), (high, "<=")):
        if end is not None:
            condition += f" AND {collated} {operator} %s"
            params.append(end)
    return condition, params
