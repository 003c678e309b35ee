"""The engine's input (events) and output (actions).

The driver performs actions one after another, in order. An action marked → is answered by the event it names, before
the engine receives anything else from the server.

Pure: no I/O, clock, or randomness.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from moat_client.wire.lines import PendingOp
from moat_client.wire.messages import Changes, Manifest, OpResult, Rows, Settled
from moat_client.wire.position import Position

Span = tuple[str | None, str | None]
Digest = tuple[int, str]
Revisions = tuple[tuple[int, tuple[Mapping[str, Any], ...]], ...]


# Events


@dataclass(frozen=True, slots=True)
class Start:
    """Connect, and stay connected."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Send a bye and close."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The socket is open."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The socket closed, or could not be opened. `code` is the WebSocket close code, 0 when there was none."""

    code: int = 0
    reason: str = ""
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """A text frame arrived."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReceivedBinary:
    """A binary frame arrived."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer set by SetTimer ran out."""

    name: str


@dataclass(frozen=True, slots=True)
class LocalChange:
    """There may be new ops to push."""


@dataclass(frozen=True, slots=True)
class VerifyWanted:
    """Compare every table with the server."""


@dataclass(frozen=True, slots=True)
class ResetWanted:
    """Start over from the server's data and keep the overlays."""


@dataclass(frozen=True, slots=True)
class Applied:
    """The replica is now at this position."""

    position: Position


@dataclass(frozen=True, slots=True)
class NotApplied:
    """The server's data does not fit the replica; nothing was applied."""

    reason: str


@dataclass(frozen=True, slots=True)
class DownloadReady:
    """These parts of the snapshot are already on disk."""

    have: frozenset[int]


@dataclass(frozen=True, slots=True)
class PartStored:
    """A part was checked and stored; `ok` is False when it was damaged. `progress` goes from 0 to 1."""

    part: int
    ok: bool
    progress: float


@dataclass(frozen=True, slots=True)
class SnapshotRejected:
    """The assembled snapshot does not match its manifest; it was discarded."""

    reason: str


@dataclass(frozen=True, slots=True)
class OpsRead:
    """Pending ops with op_ids above the requested one, in order; empty when there are none.

    Ops above `fresh_after` are sent for the first time.
    """

    ops: tuple[PendingOp, ...]
    fresh_after: int = 0


@dataclass(frozen=True, slots=True)
class DigestsReady:
    """This replica's counts and digests by table."""

    tables: Mapping[str, Digest]


@dataclass(frozen=True, slots=True)
class RangesReady:
    """A range of this replica, cut into pieces, each with its count and digest."""

    table: str
    pieces: tuple[tuple[Span, Digest], ...]


Event = (
    Start
    | Stop
    | Opened
    | Disconnected
    | Received
    | ReceivedBinary
    | TimerFired
    | LocalChange
    | VerifyWanted
    | ResetWanted
    | Applied
    | NotApplied
    | DownloadReady
    | PartStored
    | SnapshotRejected
    | OpsRead
    | DigestsReady
    | RangesReady
)


# Actions


@dataclass(frozen=True, slots=True)
class Connect:
    """Open the socket. Answered later by Opened or Disconnected."""


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Close the socket. No Disconnected follows."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send a text frame."""

    data: bytes


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Fire once after `seconds`; replaces a timer of the same name."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class CancelTimer:
    """Cancel a timer."""

    name: str


@dataclass(frozen=True, slots=True)
class SetServerIdentity:
    """Store the server's identity before the first change of a new replica is applied. → Applied"""

    tenant: str
    channel: str
    server_epoch: str


@dataclass(frozen=True, slots=True)
class ApplyChanges:
    """Apply a frame, after the revisions. → Applied or NotApplied"""

    frame: Changes
    revisions: Revisions = ()


@dataclass(frozen=True, slots=True)
class StartRows:
    """Start collecting rows; drops rows collected before."""


@dataclass(frozen=True, slots=True)
class CollectRows:
    """Collect a frame of rows."""

    rows: Rows


@dataclass(frozen=True, slots=True)
class ApplyRows:
    """Apply all collected rows in one transaction, after the revisions. → Applied or NotApplied"""

    to: int
    state_hash: str
    schema_version: int
    channel: str
    revisions: Revisions = ()


@dataclass(frozen=True, slots=True)
class ApplySchema:
    """Run schema revisions on their own. → Applied or NotApplied"""

    revisions: Revisions


@dataclass(frozen=True, slots=True)
class StartDownload:
    """Prepare to receive a snapshot. → DownloadReady"""

    manifest: Manifest


@dataclass(frozen=True, slots=True)
class StorePart:
    """Check and store a part. → PartStored"""

    part: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Install:
    """Install the downloaded snapshot. → Applied or SnapshotRejected"""


@dataclass(frozen=True, slots=True)
class ReadOps:
    """Read pending ops to push. → OpsRead"""

    after: int
    limit: int


@dataclass(frozen=True, slots=True)
class RecordResults:
    """Record the results of a push; ops with op_ids above `fresh_after` had not been sent before."""

    results: tuple[OpResult, ...]
    fresh_after: int


@dataclass(frozen=True, slots=True)
class RejectOps:
    """Mark these ops as rejected: the server cannot accept them."""

    op_ids: tuple[int, ...]
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Renumber:
    """Assign new op_ids to pending ops from this one on."""

    start: int


@dataclass(frozen=True, slots=True)
class RecordSettled:
    """Drop conflicts that were resolved elsewhere, and notify the user."""

    settled: tuple[Settled, ...]


@dataclass(frozen=True, slots=True)
class RecordAccess:
    """Store what the user may see and do, for offline use: `{"rules": [...]}`; null rules mean full access."""

    access: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ComputeDigests:
    """Count and digest these tables. → DigestsReady"""

    tables: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CutRange:
    """Cut a range into about `pieces` pieces at local IDs, and digest each. → RangesReady"""

    table: str
    span: Span
    pieces: int


@dataclass(frozen=True, slots=True)
class DigestRanges:
    """Digest these ranges of a table. → RangesReady"""

    table: str
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class ApplyRepair:
    """Replace a range with the server's records."""

    table: str
    span: Span
    frames: tuple[Rows, ...]


@dataclass(frozen=True, slots=True)
class Adopt:
    """Adopt a position after a repair. → Applied"""

    cursor: int
    state_hash: str
    channel: str
    server_epoch: str
    replay_until: int


@dataclass(frozen=True, slots=True)
class ResetReplica:
    """Delete all synced data and keep the overlays. → Applied"""


@dataclass(frozen=True, slots=True)
class Report:
    """The state changed; see Engine.status."""


@dataclass(frozen=True, slots=True)
class Notify:
    """Show the user a message."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Verified:
    """The result of VerifyWanted: the tables that differ, which are repaired next; empty when all are equal."""

    cursor: int
    records: int
    differing: tuple[str, ...]


Action = (
    Connect
    | Disconnect
    | Send
    | SetTimer
    | CancelTimer
    | SetServerIdentity
    | ApplyChanges
    | StartRows
    | CollectRows
    | ApplyRows
    | ApplySchema
    | StartDownload
    | StorePart
    | Install
    | ReadOps
    | RecordResults
    | RejectOps
    | Renumber
    | RecordSettled
    | RecordAccess
    | ComputeDigests
    | CutRange
    | DigestRanges
    | ApplyRepair
    | Adopt
    | ResetReplica
    | Report
    | Notify
    | Verified
)
