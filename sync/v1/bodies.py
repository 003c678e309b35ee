"""The bytes that go with changes of the log: as a CBOR client wrote them, else the record's columns as they were after the change."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from metadata.schema import TenantSchema
from sync import entities, log, rows, sql
from sync.channels import Channel
from sync.conf import knobs
from sync.diff import PatchFailed, apply_patch
from sync.entities import Body
from sync.rows import Row, Table
from sync.settle.past import known_to, step_of

Key = tuple[str, str]
Change = Mapping[str, Any]


class Bodies:
    """The bodies of some changes, read together. `room` is how many bytes of them may still go into a page."""

    def __init__(self, channel: Channel, schema: TenantSchema, changes: Sequence[Change], room: int) -> None:
        self.room = room
        self.is_full = False
        self._channel, self._schema = channel, schema
        self._kept: dict[int, Body] = {}
        self._sizes = self._read_sizes([change["cursor"] for change in changes])
        self._rows: dict[Key, Row] = {}
        self._states: dict[Key, dict[str, Any]] = {}
        self._load([change for change in changes if change["cursor"] not in self._sizes])

    def affordable(self, changes: Sequence[Change], *, first: bool) -> Iterator[Change]:
        """Yield changes as long as their bodies fit, the very first one always."""
        taken: list[Change] = []
        for change in changes:
            size = self._sizes.get(change["cursor"], 0)
            if self.room < size and not (first and not taken):
                self.is_full = True
                break
            self.room -= size
            taken.append(change)
        self._kept = self._read([change["cursor"] for change in taken if change["cursor"] in self._sizes])
        yield from taken

    def of(self, change: Change) -> Body:
        """Return the body of a change; without bytes when it takes the record away."""
        kept = self._kept.get(change["cursor"])
        if kept is not None:
            return kept
        if change["op"] in ("delete", "evict"):
            return Body(change["version"], None)
        row = self._rows.get((change["table"], change["id"]))
        earlier = None if row is None or row.entity_version is None else self._latest(change)
        if earlier is not None:
            return earlier
        body = entities.document(self._columns(change, row))
        self.room -= len(body)
        return Body(change["version"], body)

    def _read_sizes(self, cursors: Sequence[int]) -> dict[int, int]:
        found = sql.fetch_in("SELECT cursor, length(cbor) FROM v1_changes WHERE tenant_id = %s AND cursor IN", cursors, [self._tenant])
        return {cursor: size or 0 for cursor, size in found}

    def _read(self, cursors: Sequence[int]) -> dict[int, Body]:
        found = sql.fetch_in(
            "SELECT cursor, entity_version, cbor, timestamp_ms FROM v1_changes WHERE tenant_id = %s AND cursor IN", cursors, [self._tenant]
        )
        return {cursor: _body(version, cbor, moment) for cursor, version, cbor, moment in found}

    def _latest(self, change: Change) -> Body | None:
        """Return the newest body of a record up to a change that has none of its own."""
        found = sql.fetch_one(
            "SELECT entity_version, cbor, timestamp_ms FROM v1_changes "
            "WHERE tenant_id = %s AND table_name = %s AND record_id = %s AND cursor < %s ORDER BY cursor DESC LIMIT 1",
            [self._tenant, change["table"], change["id"], change["cursor"]],
        )
        return None if found is None else _body(*found)

    @property
    def _tenant(self) -> int:
        return self._channel.tenant_id

    def _load(self, changes: Iterable[Change]) -> None:
        ids: defaultdict[str, set[str]] = defaultdict(set)
        for change in changes:
            ids[change["table"]].add(change["id"])
        for name, wanted in ids.items():
            found = rows.records(self._tenant, self._schema.by_table[name], sorted(wanted))
            self._rows.update({(name, record_id): row for record_id, row in found.items()})

    def _columns(self, change: Change, row: Row | None) -> dict[str, Any]:
        """Return a record's values as they were after a change."""
        key = (change["table"], change["id"])
        table = rows.table_of(self._tenant, self._schema.by_table[change["table"]])
        if row is not None and row.version == change["version"]:
            record = row.values()
        elif change["op"] == "insert":
            record = dict(change["payload"])
        else:
            record = self._patched(change, key) or self._replayed(change, table, row)
        self._states[key] = record
        return {name: record.get(name) for name in table.fields}

    def _patched(self, change: Change, key: Key) -> dict[str, Any] | None:
        before = self._states.get(key)
        if before is None:
            return None
        try:
            return apply_patch(before, change["payload"])
        except PatchFailed:
            return None

    def _replayed(self, change: Change, table: Table, row: Row | None) -> dict[str, Any]:
        """Read a record's past back from the log; where that was pruned the record as it is now has to do."""
        now = dict.fromkeys(table.fields) if row is None else row.values()
        steps = [step_of(line) for line in log.record_lines(self._tenant, change["cursor"], knobs().base_lines)]
        return known_to(None, change["version"], steps, now, dict(table.defaults)) or now


def _body(version: int, cbor: bytes | memoryview | None, moment: int | None) -> Body:
    return Body(version, None if cbor is None else bytes(cbor), moment)
