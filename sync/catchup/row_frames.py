"""Records as `rows` frames: those changed since a cursor, and those of an ID range. See protocol.md §4 and §9.

Frames are spooled to a temporary file within one read transaction and sent from there. So a slow client holds no
transaction open, and memory stays bounded.
"""

import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from metadata.replica_ddl import SYSTEM_COLUMNS
from metadata.schema import ObjectSpec, TenantSchema
from sync.catchup.digest import id_range
from sync.channels import view
from sync.channels.channel import Channel
from sync.channels.projection import project_spec
from sync.records.columns import column_names, line_encoder, selected, system_values, table_of
from sync.records.read_transaction import Reader
from sync.records.system_rows import system_records
from sync.wire import frames
from sync.wire.protocol import Span

FRAME_BYTES = 512 * 1024
SPOOL_BYTES = 1024 * 1024


class Spool:
    """Frames for one client, in memory up to `SPOOL_BYTES`, else in a temporary file."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115  # closed by `close`
        self._sizes: list[int] = []
        self._next = 0

    def add(self, frame: str) -> None:
        """Append a frame."""
        data = frame.encode()
        self._file.write(data)
        self._sizes.append(len(data))

    def rewind(self) -> "Spool":
        """Go back to the first frame."""
        self._file.seek(0)
        self._next = 0
        return self

    def next_frame(self) -> str | None:
        """Return the next frame; None after the last."""
        if self._next == len(self._sizes):
            return None
        size = self._sizes[self._next]
        self._next += 1
        return self._file.read(size).decode()

    def close(self) -> None:
        """Delete the frames."""
        self._file.close()


def changed_rows(reader: Reader, schema: TenantSchema, since: int, total: int) -> Spool:
    """Spool every record changed after a cursor, and the IDs of deleted ones. `total` counts the type records."""
    spool, remaining = Spool(), total
    for table in SYSTEM_COLUMNS:
        changed = system_records(reader, schema.tenant_id, table, "cursor > %s", [since])
        batch = _Batch(spool, table, SYSTEM_COLUMNS[table])
        for record_id, version, deleted, data in changed:
            batch.delete(record_id) if deleted else batch.add(
                orjson.dumps(system_values(table, record_id, version, data))
            )
        batch.flush(remaining)
    for spec in schema.objects:
        batch, encode = _Batch(spool, spec.table_name, column_names(spec)), line_encoder(spec)
        for chunk in _type_records(reader, schema.tenant_id, spec, '"_cursor" > %s', [since]):
            for deleted, *row in chunk:
                batch.delete(row[0]) if deleted else batch.add(encode(row))
            remaining -= len(chunk)
            batch.flush_when_full(remaining)
        batch.flush(remaining)
    return spool.rewind()


def range_rows(
    reader: Reader, channel: Channel, schema: TenantSchema, table: str, span: Span, *, most: int, ref: int | None
) -> str | None:
    """Return the `rows` frame of a repair: every record with an ID in the span that the channel sees.

    Returns None if there are more than `most`.
    """
    if table in SYSTEM_COLUMNS:
        condition, params = id_range(reader.vendor, "record_id", "NOT deleted", [], *span)
        found = view.system_rows(channel, table, system_records(reader, schema.tenant_id, table, condition, params))
        lines = [orjson.dumps(system_values(table, record_id, version, data)) for record_id, version, _, data in found]
        return None if len(lines) > most else frames.rows(table, SYSTEM_COLUMNS[table], lines, span=span, ref=ref)
    spec = project_spec(schema.by_table[table], channel.rules)
    if spec is None:
        raise KeyError(table)
    visible, values = view.condition(channel, schema, table, reader.vendor, few=None not in span)
    condition, params = id_range(
        reader.vendor, f'{table_of(schema.tenant_id, spec)}."id"', f'NOT "_deleted" AND ({visible})', values, *span
    )
    encode, lines = line_encoder(spec), []
    for chunk in _type_records(reader, schema.tenant_id, spec, condition, params, limit=most + 1):
        lines.extend(encode(row[1:]) for row in chunk)
    return None if len(lines) > most else frames.rows(table, column_names(spec), lines, span=span, ref=ref)


def _type_records(
    reader: Reader, tenant_id: int, spec: ObjectSpec, condition: str, params: Sequence[Any], *, limit: int | None = None
) -> Iterator[list[tuple[Any, ...]]]:
    """Yield (deleted, *record in stored form) in chunks."""
    tail = "" if limit is None else f" LIMIT {limit}"
    source = f"FROM {table_of(tenant_id, spec)} WHERE {condition}{tail}"
    return reader.stream(f'SELECT "_deleted", {selected(spec, reader.vendor)} {source}', params)


class _Batch:
    """Collects records of one table into frames."""

    def __init__(self, spool: Spool, table: str, columns: Sequence[str]) -> None:
        self._spool, self._table, self._columns = spool, table, columns
        self._lines: list[bytes] = []
        self._deleted: list[str] = []
        self._size = 0

    def add(self, line: bytes) -> None:
        """Add a record, as its line."""
        self._lines.append(line)
        self._size += len(line) + 1

    def delete(self, record_id: str) -> None:
        """Add the ID of a deleted record."""
        self._deleted.append(record_id)
        self._size += len(record_id) + 3

    def flush_when_full(self, remaining: int) -> None:
        """Make a frame if the batch is large enough."""
        if self._size >= FRAME_BYTES:
            self.flush(remaining)

    def flush(self, remaining: int) -> None:
        """Make a frame of the batch, if it is not empty."""
        if self._lines or self._deleted:
            self._spool.add(
                frames.rows(self._table, self._columns, self._lines, deleted=self._deleted, remaining=remaining)
            )
            self._lines, self._deleted, self._size = [], [], 0
