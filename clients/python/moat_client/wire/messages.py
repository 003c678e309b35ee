"""Parse the server's messages and encode the client's (docs/spec/protocol.md).

Pure: no I/O, clock, or randomness.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from moat_client.errors import MalformedMessage
from moat_client.wire.codec import dumps, loads

PROTOCOL = "moat.v1"


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of what one connection may send, in bytes or counts. `welcome` replaces these defaults."""

    frame: int = 1024 * 1024
    line: int = 1024 * 1024
    ops: int = 500
    pushes_in_flight: int = 4
    requests_in_flight: int = 8
    ranges_per_verify: int = 16
    tables_per_verify: int = 100

    @classmethod
    def from_wire(cls, data: Mapping[str, Any]) -> "Limits":
        """Read `welcome.limits`; limits it does not name keep their defaults."""
        known = {k: int(data[k]) for k in cls.__dataclass_fields__ if isinstance(data.get(k), int) and data[k] > 0}
        return cls(**known)


@dataclass(frozen=True, slots=True)
class Settled:
    """A conflict of this device that was resolved elsewhere."""

    conflict: str
    resolution: str
    by: str | None = None
    at: str | None = None


@dataclass(frozen=True, slots=True)
class Welcome:
    """The response to `hello`: the device's identity, the server's position, and how the chains compare."""

    tenant: str
    channel: str
    schema_version: int
    cursor: int
    server_epoch: str
    chain: str
    user: str = ""
    profile: str = ""
    device: str = ""
    limits: Limits = Limits()
    settled: tuple[Settled, ...] = ()
    access: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class CatchUp:
    """How the stream starts: `log`, `rows`, `snapshot`, or `repair`."""

    mode: str
    to: int = 0
    schema_version: int = 0
    total: int = 0
    manifest: "Manifest | None" = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """A snapshot: a ready replica file in gzipped parts. `parts` holds (size, sha256) of each."""

    snapshot: str
    channel: str
    cursor: int
    schema_version: int
    state_hash: str
    server_epoch: str
    size: int
    sha256: str
    parts: tuple[tuple[int, str], ...]
    tables: dict[str, tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Changes:
    """Change lines with cursors in (`start`, `to`], as the bytes that were hashed."""

    schema_version: int
    start: int
    to: int
    state_hash: str
    lines: list[bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Rows:
    """Records of one table as JSON arrays in `columns` order; `remaining` counts those after this frame."""

    table: str
    columns: tuple[str, ...]
    deleted: tuple[str, ...]
    remaining: int
    lines: list[bytes] = field(repr=False)
    ref: int | None = None
    is_range: bool = False


@dataclass(frozen=True, slots=True)
class RowsEnd:
    """All rows were sent; the replica is now at `to`."""

    to: int
    schema_version: int
    state_hash: str


@dataclass(frozen=True, slots=True)
class Live:
    """Everything up to `cursor` was sent; later changes arrive as they commit."""

    cursor: int
    state_hash: str


@dataclass(frozen=True, slots=True)
class SchemaRevisions:
    """Schema commands by version, in order."""

    to: int
    revisions: tuple[tuple[int, tuple[dict[str, Any], ...]], ...]


@dataclass(frozen=True, slots=True)
class OpResult:
    """The result of one op; `wire` is the server's whole result."""

    op_id: int
    status: str
    wire: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ack:
    """The results of a push, durable on the server."""

    ref: int | None
    results: tuple[OpResult, ...]


@dataclass(frozen=True, slots=True)
class Verified:
    """Counts and digests of `tables`, or of the requested ranges of `table`."""

    cursor: int
    state_hash: str
    ref: int | None = None
    table: str | None = None
    tables: dict[str, tuple[int, str]] = field(default_factory=dict)
    ranges: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ServerError:
    """The server rejected a message; `code` is stable, `message` is for people."""

    code: str
    message: str
    ref: int | None = None
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Ping:
    """A request for a sign of life."""

    ref: int | None = None


@dataclass(frozen=True, slots=True)
class Pong:
    """A sign of life."""


@dataclass(frozen=True, slots=True)
class Bye:
    """The server is about to close the connection."""

    reason: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class SettledNote:
    """Conflicts of this device were just resolved elsewhere."""

    settled: tuple[Settled, ...]


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message of a later protocol; it is ignored."""

    kind: str


Message = (
    Welcome
    | CatchUp
    | Changes
    | Rows
    | RowsEnd
    | Live
    | SchemaRevisions
    | Ack
    | Verified
    | ServerError
    | Ping
    | Pong
    | Bye
    | SettledNote
    | Unknown
)


def parse(data: bytes) -> Message:
    """Read a text frame; raises MalformedMessage."""
    head, *lines = data.split(b"\n")
    try:
        body = loads(head)
        reader = _READERS.get(body["type"])
        return reader(body, lines) if reader else Unknown(str(body["type"]))
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise MalformedMessage(f"invalid server message: {problem!r}") from problem


def parse_part(data: bytes) -> tuple[str, int, bytes]:
    """Read a binary frame: (snapshot, part, gzip bytes); raises MalformedMessage."""
    try:
        size = int.from_bytes(data[:4])
        header = loads(data[4 : 4 + size])
        return str(header["snapshot"]), int(header["part"]), data[4 + size :]
    except (ValueError, KeyError, TypeError) as problem:
        raise MalformedMessage(f"invalid snapshot part: {problem!r}") from problem


def encode(kind: str, lines: Iterable[bytes] = (), /, **keys: Any) -> bytes:
    """Return a text frame; keys whose value is None are left out."""
    envelope = dumps({"type": kind} | {k: v for k, v in keys.items() if v is not None})
    return b"\n".join([envelope, *lines])


def _welcome(body: dict[str, Any], _: list[bytes]) -> Welcome:
    return Welcome(
        tenant=str(body["tenant"]),
        channel=str(body["channel"]),
        schema_version=int(body["schema_version"]),
        cursor=int(body["cursor"]),
        server_epoch=str(body["server_epoch"]),
        chain=str(body["chain"]),
        user=str(body.get("user") or ""),
        profile=str(body.get("profile") or ""),
        device=str(body.get("device") or ""),
        limits=Limits.from_wire(body.get("limits") or {}),
        settled=tuple(map(_settled, body.get("settled") or ())),
        access=body["access"] if isinstance(body.get("access"), dict) else None,
    )


def _settled(data: Mapping[str, Any]) -> Settled:
    return Settled(str(data["conflict"]), str(data["resolution"]), data.get("by"), data.get("at"))


def _catch_up(body: dict[str, Any], _: list[bytes]) -> CatchUp:
    manifest = body.get("manifest")
    return CatchUp(
        mode=str(body["mode"]),
        to=int(body.get("to") or 0),
        schema_version=int(body.get("schema_version") or 0),
        total=int(body.get("total") or 0),
        manifest=manifest_from_wire(manifest) if manifest else None,
    )


def manifest_from_wire(data: Mapping[str, Any]) -> Manifest:
    """Read a snapshot's manifest."""
    return Manifest(
        snapshot=str(data["snapshot"]),
        channel=str(data["channel"]),
        cursor=int(data["cursor"]),
        schema_version=int(data["schema_version"]),
        state_hash=str(data["state_hash"]),
        server_epoch=str(data["server_epoch"]),
        size=int(data["size"]),
        sha256=str(data["sha256"]),
        parts=tuple((int(part["size"]), str(part["sha256"])) for part in data["parts"]),
        tables=_digests(data["tables"]),
    )


def _digests(data: Mapping[str, Any]) -> dict[str, tuple[int, str]]:
    return {str(table): (int(count), str(digest)) for table, (count, digest) in data.items()}


def _changes(body: dict[str, Any], lines: list[bytes]) -> Changes:
    return Changes(int(body["schema_version"]), int(body["from"]), int(body["to"]), str(body["state_hash"]), lines)


def _rows(body: dict[str, Any], lines: list[bytes]) -> Rows:
    return Rows(
        table=str(body["table"]),
        columns=tuple(map(str, body["columns"])),
        deleted=tuple(map(str, body.get("deleted") or ())),
        remaining=int(body.get("remaining") or 0),
        lines=lines,
        ref=body.get("ref"),
        is_range="range" in body,
    )


def _schema(body: dict[str, Any], _: list[bytes]) -> SchemaRevisions:
    revisions = tuple((int(r["schema_version"]), tuple(r["commands"])) for r in body["revisions"])
    return SchemaRevisions(int(body["to"]), revisions)


def _ack(body: dict[str, Any], _: list[bytes]) -> Ack:
    return Ack(body.get("ref"), tuple(OpResult(int(r["op_id"]), str(r["status"]), r) for r in body["results"]))


def _verified(body: dict[str, Any], _: list[bytes]) -> Verified:
    return Verified(
        cursor=int(body["cursor"]),
        state_hash=str(body["state_hash"]),
        ref=body.get("ref"),
        table=body.get("table"),
        tables=_digests(body.get("tables") or {}),
        ranges=tuple((int(count), str(digest)) for count, digest in body.get("ranges") or ()),
    )


def _error(body: dict[str, Any], _: list[bytes]) -> ServerError:
    wait = body.get("retry_after")
    return ServerError(
        str(body["code"]), str(body.get("message") or ""), body.get("ref"), None if wait is None else float(wait)
    )


def _bye(body: dict[str, Any], _: list[bytes]) -> Bye:
    wait = body.get("retry_after")
    return Bye(str(body.get("reason") or ""), None if wait is None else float(wait))


_READERS: dict[str, Callable[[dict[str, Any], list[bytes]], Message]] = {
    "welcome": _welcome,
    "catch_up": _catch_up,
    "changes": _changes,
    "rows": _rows,
    "rows_end": lambda body, _: RowsEnd(int(body["to"]), int(body["schema_version"]), str(body["state_hash"])),
    "live": lambda body, _: Live(int(body["cursor"]), str(body["state_hash"])),
    "schema": _schema,
    "ack": _ack,
    "verify": _verified,
    "error": _error,
    "ping": lambda body, _: Ping(body.get("ref")),
    "pong": lambda body, _: Pong(),
    "bye": _bye,
    "settled": lambda body, _: SettledNote((_settled(body),)),
}
