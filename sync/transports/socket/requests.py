"""Database reads behind a connection's requests. Every function blocks: call it in a thread."""

from dataclasses import dataclass

from metadata.export import revisions
from metadata.replica_ddl import SYSTEM_COLUMNS
from metadata.schema import TenantSchema
from sync.catchup.digest import range_digests, table_digest
from sync.catchup.digest_index import Digest
from sync.catchup.plan import (
    Plan,
    Position,
    SchemaChanged,
    channel_state,
    in_channel,
    plan,
    plan_filtered,
    require_current,
    schema_at,
    tenant_state,
)
from sync.catchup.row_frames import Spool, changed_rows, range_rows
from sync.catchup.snapshots.store import read_part
from sync.channels import view
from sync.channels.channel import Channel
from sync.channels.projection import project_commands
from sync.errors import SyncError
from sync.records.read_transaction import Reader, read_transaction
from sync.wire import frames
from sync.wire.codes import Code
from sync.wire.protocol import PartRequest, Repair, SchemaRequest, Verify, VerifyRanges
from tenants.rows import TenantRow

REPAIR_ROWS = 5000
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Begin:
    """How a stream starts: the plan and, in mode `rows`, the frames."""

    plan: Plan
    spool: Spool | None = None


@dataclass(frozen=True, slots=True)
class Verified:
    """Digests of one consistent state."""

    state: TenantRow
    tables: dict[str, Digest]


def begin(channel: Channel, position: Position, *, may_scan: bool) -> Begin | None:
    """Choose how a client catches up, and read the rows if needed.

    Without `may_scan`, return None if this needs a scan.
    Raises SyncError, and AccessChanged if access has just changed.
    """
    if not position.is_of(channel) and position.cursor:
        return Begin(Plan("snapshot", channel_state(channel, channel.tenant_id)))
    if channel.filtered:
        state = channel_state(channel, channel.tenant_id)
        return Begin(plan_filtered(channel, state, position))
    for _ in range(_ATTEMPTS):
        try:
            with read_transaction() as reader:
                state = tenant_state(reader, channel.tenant_id)
                require_current(channel, state)
                chosen = plan(reader, state, position, may_count=may_scan)
                if chosen is None:
                    return None
                if chosen.mode != "rows":
                    return Begin(chosen)
                return Begin(chosen, changed_rows(reader, schema_at(chosen.state), position.cursor, chosen.total))
        except SchemaChanged:
            continue
    raise SyncError(Code.UNAVAILABLE, "The schema is changing too quickly to read. Try again.", retry_after=1)


def verify(channel: Channel, message: Verify) -> Verified:
    """Count and digest tables in one consistent state. Raises SyncError `unknown_table`."""
    for _ in range(_ATTEMPTS):
        try:
            with read_transaction() as reader:
                state, schema = _state(reader, channel)
                shown = [spec.table_name for spec in view.specs(channel, schema)]
                names = message.tables if message.tables is not None else [*SYSTEM_COLUMNS, *shown]
                for name in names:
                    _known(channel, schema, name)
                tables = {name: table_digest(reader, channel, schema, name) for name in names}
            return Verified(in_channel(channel, state), tables)
        except SchemaChanged:
            continue
    raise SyncError(Code.UNAVAILABLE, "The schema is changing too quickly to read. Try again.", retry_after=1)


def verify_ranges(channel: Channel, message: VerifyRanges) -> str:
    """Return the response to a verify of ID ranges. Raises SyncError `unknown_table`."""
    with read_transaction() as reader:
        state, schema = _state(reader, channel)
        _known(channel, schema, message.table)
        found = range_digests(reader, channel, schema, message.table, message.ranges)
    state = in_channel(channel, state)
    return frames.message(
        "verify", message.ref, cursor=state.cursor, state_hash=state.state_hash.hex(), table=message.table, ranges=found
    )


def repair(channel: Channel, message: Repair) -> str:
    """Return the frame with the records of an ID range.

    Raises SyncError `unknown_table`, or `too_large` if the client must halve the range.
    """
    with read_transaction() as reader:
        _, schema = _state(reader, channel)
        _known(channel, schema, message.table)
        frame = range_rows(reader, channel, schema, message.table, message.span, most=REPAIR_ROWS, ref=message.ref)
    if frame is None:
        raise SyncError(Code.TOO_LARGE, f"The range contains more than {REPAIR_ROWS} records. Request a smaller range.")
    return frame


def schema_commands(channel: Channel, message: SchemaRequest) -> str:
    """Return the schema commands after a version, for the tables the channel knows."""
    with read_transaction() as reader:
        require_current(channel, tenant_state(reader, channel.tenant_id))
    found = revisions(channel.tenant_id, message.from_version)
    if channel.rules is not None:
        found = [{**one, "commands": project_commands(one["commands"], channel.rules)} for one in found]
    newest = found[-1]["schema_version"] if found else message.from_version
    return frames.envelope(
        "schema", message.ref, **{"from": message.from_version, "to": newest, "revisions": found}
    ).decode()


def part(channel: Channel, message: PartRequest) -> bytes:
    """Return a part of one of the channel's snapshots.

    Raises SyncError `snapshot_gone`, and AccessChanged if access has changed.
    """
    with read_transaction() as reader:
        require_current(channel, tenant_state(reader, channel.tenant_id))
    data = read_part(channel.tenant_id, channel.key, message.snapshot, message.part)
    if data is None:
        raise SyncError(Code.SNAPSHOT_GONE, "This snapshot part doesn't exist. Subscribe again.")
    return data


def _state(reader: Reader, channel: Channel) -> tuple[TenantRow, TenantSchema]:
    state = tenant_state(reader, channel.tenant_id)
    require_current(channel, state)
    return state, schema_at(state)


def _known(channel: Channel, schema: TenantSchema, table: str) -> None:
    if table not in SYSTEM_COLUMNS and view.spec_of(channel, schema, table) is None:
        raise SyncError(Code.UNKNOWN_TABLE, "No published object type has this table.")
