"""Pure: parse the messages that clients send over `moat.v1`. See docs/spec/protocol.md.

The server's own frames are in `sync.wire.frames`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sync.wire.codes import Code
from sync.wire.limits import Limits
from sync.wire.op_check import checked
from sync.wire.ops import Op
from sync.wire.strict_json import NotStrict, count_items, loads

PROTOCOL = "moat.v1"
BIGGEST = 2**53 - 1
_HASH_CHARACTERS = 64
_SHORT_TEXT = 200
_TX_LENGTH = 64


class ProtocolError(Exception):
    """A message violates the protocol; none of it was applied. `limit` names the limit it exceeds, if any."""

    def __init__(self, code: Code, message: str, *, ref: int | None = None, limit: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.ref = ref
        self.limit = limit


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message: the client's identity and the state of its replica. Without a replica `state_hash` is None."""

    protocol: str
    token: str = field(repr=False)
    device: str
    schema_version: int
    cursor: int
    state_hash: bytes | None
    server_epoch: str | None
    client: str
    ref: int | None = None
    channel: str | None = None


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Start or restart the stream at a cursor."""

    schema_version: int
    cursor: int
    state_hash: bytes | None
    ref: int | None = None
    channel: str | None = None


@dataclass(frozen=True, slots=True)
class Push:
    """Ops to apply, in order."""

    schema_version: int
    cursor: int
    ops: tuple[Op, ...]
    ref: int | None = None


@dataclass(frozen=True, slots=True)
class SchemaRequest:
    """Request the schema commands after a version."""

    from_version: int
    ref: int | None = None


@dataclass(frozen=True, slots=True)
class PartRequest:
    """Request one part of a snapshot."""

    snapshot: str
    part: int
    ref: int | None = None


@dataclass(frozen=True, slots=True)
class Verify:
    """Request the counts and digests of tables (None: all) at this position in the stream."""

    tables: tuple[str, ...] | None
    ref: int | None = None


Span = tuple[str | None, str | None]


@dataclass(frozen=True, slots=True)
class VerifyRanges:
    """Request the counts and digests of ID ranges of one table. Both ends are inclusive; None is open."""

    table: str
    ranges: tuple[Span, ...]
    ref: int | None = None


@dataclass(frozen=True, slots=True)
class Repair:
    """Request every visible record of an ID range."""

    table: str
    span: Span
    ref: int | None = None


@dataclass(frozen=True, slots=True)
class Ping:
    """Check that the connection is alive."""

    ref: int | None = None


@dataclass(frozen=True, slots=True)
class Pong:
    """The response to the server's ping. `cursor` is the last one that the client has applied."""

    cursor: int | None = None
    ref: int | None = None


@dataclass(frozen=True, slots=True)
class Bye:
    """The client closes the connection."""

    ref: int | None = None


Message = Hello | Subscribe | Push | SchemaRequest | PartRequest | Verify | VerifyRanges | Repair | Ping | Pong | Bye


@dataclass(frozen=True, slots=True)
class Frame:
    """A text frame whose envelope is parsed and whose data lines are not."""

    kind: str
    body: dict[str, Any]
    lines: list[str]
    ref: int | None


def open_frame(text: str, limits: Limits) -> Frame:
    """Check the sizes of a text frame and parse its envelope. Raises `ProtocolError`."""
    if utf8_size(text, limits.frame) > limits.frame:
        raise ProtocolError(Code.TOO_LARGE, f"the frame exceeds {limits.frame} bytes", limit="frame")
    # One line more than a push may have; what follows stays in one piece, and the frame is rejected for its lines.
    lines = text.split("\n", limits.ops + 1)
    whole = lines[: limits.ops + 1]
    if len(text) * 4 > limits.line and any(utf8_size(line, limits.line) > limits.line for line in whole):
        raise ProtocolError(Code.TOO_LARGE, f"a line exceeds {limits.line} bytes", limit="line")
    if count_items(text, limits.items) > limits.items:
        raise ProtocolError(Code.TOO_LARGE, f"the frame has more than {limits.items} values and keys", limit="items")
    body = _object(lines[0], limits.depth, None, "the envelope")
    ref = _integer_or_none(body, "ref", None)
    kind = body.get("type")
    if type(kind) is not str:
        raise ProtocolError(Code.MALFORMED, "the envelope has no type", ref=ref)
    return Frame(kind, body, lines[1:], ref)


def parse(frame: Frame, limits: Limits) -> Message:
    """Parse a whole message. Raises `ProtocolError` with a code from docs/spec/errors.md."""
    if frame.kind == "push":
        return _push(frame, limits)
    reader = _READERS.get(frame.kind)
    if reader is None:
        raise ProtocolError(Code.UNKNOWN_TYPE, "unknown message type", ref=frame.ref)
    if frame.lines:
        raise ProtocolError(Code.MALFORMED, "this message type can't have data lines", ref=frame.ref)
    return reader(frame.body, limits, frame.ref)


def utf8_size(text: str, limit: int) -> int:
    """Return the length of a text in UTF-8 bytes; exact only near `limit`, so that short and ASCII texts are cheap."""
    if len(text) * 4 <= limit or text.isascii() or len(text) > limit:
        return len(text)
    return len(text.encode("utf-8", "surrogatepass"))


def _object(line: str, depth: int, ref: int | None, what: str) -> dict[str, Any]:
    try:
        value = loads(line, depth=depth)
    except NotStrict as error:
        raise ProtocolError(Code.MALFORMED, f"{what}: {error}", ref=ref) from None
    if type(value) is not dict:
        raise ProtocolError(Code.MALFORMED, f"{what} is not an object", ref=ref)
    return value


def _integer_or_none(body: Mapping[str, Any], key: str, ref: int | None) -> int | None:
    value = body.get(key)
    if value is None:
        return None
    if type(value) is not int or not -BIGGEST <= value <= BIGGEST:
        raise ProtocolError(Code.MALFORMED, f"{key} must be an integer within ±2^53", ref=ref)
    return value


def _count(body: Mapping[str, Any], key: str, ref: int | None) -> int:
    """Read a non-negative integer."""
    value = _integer_or_none(body, key, ref)
    if value is None or value < 0:
        raise ProtocolError(Code.MALFORMED, f"{key} must be an integer, 0 or greater", ref=ref)
    return value


def _text(body: Mapping[str, Any], key: str, ref: int | None, *, longest: int = _SHORT_TEXT) -> str:
    value = body.get(key)
    if not isinstance(value, str) or len(value) > longest:
        raise ProtocolError(Code.MALFORMED, f"{key} must be text of at most {longest} characters", ref=ref)
    return value


def _hash(body: Mapping[str, Any], ref: int | None) -> bytes | None:
    """Read `state_hash`: 64 lowercase hexadecimal digits. Absent, null, and empty mean that there is none."""
    value = body.get("state_hash")
    if value is None or value == "":
        return None
    if isinstance(value, str) and len(value) == _HASH_CHARACTERS and value == value.lower():
        try:
            return bytes.fromhex(value)
        except ValueError:
            pass
    raise ProtocolError(Code.MALFORMED, "state_hash must be 64 lowercase hexadecimal digits", ref=ref)


def _span(value: Any, ref: int | None) -> Span:
    ends = value if isinstance(value, list) else []
    if len(ends) != 2 or not all(end is None or (isinstance(end, str) and len(end) <= _SHORT_TEXT) for end in ends):
        raise ProtocolError(Code.MALFORMED, "a range must be [low, high], each text or null", ref=ref)
    return ends[0], ends[1]


def _hello(body: Mapping[str, Any], limits: Limits, ref: int | None) -> Hello:
    epoch = body.get("server_epoch")
    client = body.get("client")
    return Hello(
        protocol=_text(body, "protocol", ref),
        token=_text(body, "token", ref),
        device=_text(body, "device", ref),
        schema_version=_count(body, "schema_version", ref),
        cursor=_count(body, "cursor", ref),
        state_hash=_hash(body, ref),
        server_epoch=None if epoch is None else _text(body, "server_epoch", ref),
        client=client[:_SHORT_TEXT] if isinstance(client, str) else "",
        ref=ref,
        channel=_channel(body, ref),
    )


def _channel(body: Mapping[str, Any], ref: int | None) -> str | None:
    """Read the key of the channel that the client's replica holds. Absent, null, and empty mean that it is unknown."""
    return None if body.get("channel") in (None, "") else _text(body, "channel", ref)


def _subscribe(body: Mapping[str, Any], limits: Limits, ref: int | None) -> Subscribe:
    position = (_count(body, "schema_version", ref), _count(body, "cursor", ref), _hash(body, ref))
    return Subscribe(*position, ref, _channel(body, ref))


def _schema(body: Mapping[str, Any], limits: Limits, ref: int | None) -> SchemaRequest:
    return SchemaRequest(_count(body, "from", ref), ref)


def _part(body: Mapping[str, Any], limits: Limits, ref: int | None) -> PartRequest:
    return PartRequest(_text(body, "snapshot", ref), _count(body, "part", ref), ref)


def _verify(body: Mapping[str, Any], limits: Limits, ref: int | None) -> Verify | VerifyRanges:
    if "table" in body:
        ranges = body.get("ranges")
        if not isinstance(ranges, list) or not 0 < len(ranges) <= limits.ranges_per_verify:
            raise ProtocolError(
                Code.MALFORMED, f"ranges must be a list of 1 to {limits.ranges_per_verify} ranges", ref=ref
            )
        return VerifyRanges(_text(body, "table", ref), tuple(_span(item, ref) for item in ranges), ref)
    tables = body.get("tables")
    if tables is None:
        return Verify(None, ref)
    if not isinstance(tables, list) or not all(isinstance(name, str) for name in tables):
        raise ProtocolError(Code.MALFORMED, "tables must be a list of names", ref=ref)
    if len(tables) > limits.tables_per_verify:
        raise ProtocolError(
            Code.TOO_LARGE,
            f"verify can name at most {limits.tables_per_verify} tables",
            ref=ref,
            limit="tables_per_verify",
        )
    return Verify(tuple(tables), ref)


def _repair(body: Mapping[str, Any], limits: Limits, ref: int | None) -> Repair:
    return Repair(_text(body, "table", ref), _span([body.get("low"), body.get("high")], ref), ref)


_READERS: dict[str, Callable[[Mapping[str, Any], Limits, int | None], Message]] = {
    "hello": _hello,
    "subscribe": _subscribe,
    "schema": _schema,
    "part": _part,
    "verify": _verify,
    "repair": _repair,
    "ping": lambda body, limits, ref: Ping(ref),
    "pong": lambda body, limits, ref: Pong(_integer_or_none(body, "cursor", ref), ref),
    "bye": lambda body, limits, ref: Bye(ref),
}


def _push(frame: Frame, limits: Limits) -> Push:
    ref = frame.ref
    if len(frame.lines) > limits.ops:
        raise ProtocolError(Code.TOO_MANY_OPS, f"a push can have at most {limits.ops} ops", ref=ref, limit="ops")
    schema_version, cursor = _count(frame.body, "schema_version", ref), _count(frame.body, "cursor", ref)
    ops = tuple(
        _op(_object(line, limits.depth, ref, f"op line {number}"), ref) for number, line in enumerate(frame.lines, 1)
    )
    _check_order(ops, ref)
    return Push(schema_version, cursor, ops, ref)


def _op(body: dict[str, Any], ref: int | None) -> Op:
    """Parse an op line. Only `op_id` and `tx` must be valid for the push; another member is rejected per op.

    A member of the wrong type becomes a value that the engine always rejects with the right code. The payload's form is
    checked here, before anything is queued.
    """
    get = body.get
    op_id, tx, base_version = get("op_id"), get("tx"), get("base_version")
    table, record_id, verb, at, settles = get("table"), get("id"), get("op"), get("at"), get("settles")
    if type(op_id) is not int or not 0 < op_id <= BIGGEST:
        raise ProtocolError(Code.MALFORMED, "op_id must be an integer, 1 or greater", ref=ref)
    if tx is not None and (type(tx) is not str or not 0 < len(tx) <= _TX_LENGTH):
        raise ProtocolError(Code.MALFORMED, f"tx must be text of 1 to {_TX_LENGTH} characters", ref=ref)
    if base_version is None and verb == "settle":
        base_version = 0
    return checked(
        Op(
            op_id=op_id,
            tx=tx,
            table=table if type(table) is str else "",
            id=record_id if type(record_id) is str else "",
            op=verb if type(verb) is str else "",
            base_version=base_version if type(base_version) is int else -1,
            payload=get("payload"),
            at=at if at is None or type(at) is str else "",
            settles=settles if settles is None or type(settles) is str else "",
        )
    )


def _check_order(ops: tuple[Op, ...], ref: int | None) -> None:
    """Reject a push whose op_ids do not increase, or whose ops of one tx are not adjacent."""
    previous, closed = 0, set[str]()
    current: str | None = None
    for op in ops:
        if op.op_id <= previous:
            raise ProtocolError(Code.OP_ORDER, "op_id values must be strictly increasing", ref=ref)
        previous = op.op_id
        if (tx := op.tx) != current:
            if tx in closed:
                raise ProtocolError(Code.OP_ORDER, "ops of the same tx must be adjacent", ref=ref)
            if current is not None:
                closed.add(current)
            current = tx
