"""CBOR (RFC 8949): decode any valid item within bounds; encode deterministically.

Deterministic means definite lengths, shortest forms, and map keys sorted length-first. Length-first is the order of RFC
7049 §3.9; for keys of up to 23 bytes it equals that of RFC 8949 §4.2.1. What Python has no type for keeps its place:
`Tag`, `Simple`, and `Pairs` for a map whose keys are not all text.

The server has its own copy of this module, because the client imports nothing of the server. A test keeps the two
equal.

Pure: no I/O, clock, or randomness.
"""

import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

_MAX_UINT: Final = 2**64 - 1
_BREAK: Final = object()
_HALF_NAN: Final = b"\xf9\x7e\x00"
_SHORT: Final = [[bytes((major << 5 | argument,)) for argument in range(24)] for major in range(8)]
_KEY_LENGTH: Final = 64
"""The longest key, in characters, whose encoding is cached; maps repeat the same few keys."""
_ORDERED: Final = 64
"""The most keys of a map whose key order is cached."""


class CborError(ValueError):
    """Bytes are not valid CBOR or exceed a bound, or a value cannot be encoded."""


class TooManyItems(CborError):
    """The bytes hold more items than allowed."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds for decoding: total bytes, levels of nesting, total items, and whether floats may occur.

    Items are all values and keys of the message, whatever holds them; a tag and a chunk of a string count too.
    """

    size: int = 16_777_216
    depth: int = 64
    items: int = 1_000_000
    floats: bool = True


@dataclass(frozen=True, slots=True)
class Tag:
    """A tagged value."""

    number: int
    value: Any


@dataclass(frozen=True, slots=True)
class Simple:
    """A simple value other than false, true, and null; 23 is undefined."""

    number: int


@dataclass(frozen=True, slots=True)
class Pairs:
    """A map whose keys are not all text, in the order of the input."""

    items: tuple[tuple[Any, Any], ...]


def decode(data: bytes, limits: Limits | None = None) -> Any:
    """Return the only value in `data`. Raises `CborError`, also for bytes after the value."""
    limits = limits or Limits()
    if len(data) > limits.size:
        raise CborError(f"Exceeds {limits.size} bytes.")
    reader = _Reader(data, limits)
    value = reader.item(0)
    if value is _BREAK:
        raise CborError("Unexpected break code.")
    if reader.at != len(data):
        raise CborError(f"{len(data) - reader.at} extra bytes after the value.")
    return value


def count_items(data: bytes, limits: Limits) -> int:
    """Count the items of a value; invalid bytes count up to the error. Raises `TooManyItems`."""
    reader = _Reader(data, limits)
    try:
        reader.item(0)
    except TooManyItems:
        raise
    except CborError:
        pass
    return limits.items - reader.left


def canonical(data: bytes, limits: Limits | None = None) -> bytes:
    """Return the deterministic form of a message. Raises `CborError`, also for floats, which no message has."""
    chosen = limits or Limits()
    return encode(decode(data, Limits(chosen.size, chosen.depth, chosen.items, floats=False)))


class _Reader:
    __slots__ = ("at", "data", "end", "left", "limits")

    def __init__(self, data: bytes, limits: Limits) -> None:
        self.data, self.at, self.end, self.limits = data, 0, len(data), limits
        self.left = limits.items

    def take(self, count: int) -> bytes:
        start, end = self.at, self.at + count
        if end > self.end:
            raise CborError("Unexpected end of data.")
        self.at = end
        return self.data[start:end]

    def head(self) -> tuple[int, int, int | None]:
        """Return the major type, the additional information, and the argument (None for an indefinite length)."""
        if self.at >= self.end:
            raise CborError("Unexpected end of data.")
        if self.left <= 0:
            raise self.too_many()
        self.left -= 1
        first = self.data[self.at]
        self.at += 1
        major, info = first >> 5, first & 31
        if info < 24:
            return major, info, info
        if info < 28:
            return major, info, int.from_bytes(self.take(1 << (info - 24)), "big")
        if info == 31 and major not in (0, 1, 6):
            return major, info, None
        raise CborError(f"0x{first:02x} is not a valid CBOR initial byte.")

    def item(self, depth: int) -> Any:
        """Read one item, or `_BREAK`."""
        major, info, argument = self.head()
        if major == 7:
            return self.simple(info, argument)
        if major < 2 and argument is not None:
            return argument if major == 0 else -1 - argument
        if major < 4:
            return self.string(major, argument)
        if depth >= self.limits.depth:
            raise CborError(f"Nested more than {self.limits.depth} levels deep.")
        if major == 4:
            return self.array(argument, depth + 1)
        if major == 5:
            return self.map(argument, depth + 1)
        return Tag(argument or 0, self.value(depth + 1))

    def value(self, depth: int) -> Any:
        found = self.item(depth)
        if found is _BREAK:
            raise CborError("Break code inside an item.")
        return found

    def simple(self, info: int, argument: int | None) -> Any:
        if info < 20:
            return Simple(info)
        if info < 23:
            return (False, True, None)[info - 20]
        if argument is None:
            return _BREAK
        if info == 23:
            return Simple(23)
        if info == 24:
            if argument < 32:
                raise CborError("Simple values below 32 must use one byte.")
            return Simple(argument)
        if not self.limits.floats:
            raise CborError("Floats are not allowed")
        size = 1 << (info - 24)
        return struct.unpack({2: ">e", 4: ">f", 8: ">d"}[size], argument.to_bytes(size, "big"))[0]

    def string(self, major: int, length: int | None) -> bytes | str:
        if length is not None:
            return _text(self.take(length)) if major == 3 else self.take(length)
        chunks: list[bytes] = []
        while True:
            if self.at < self.end and self.data[self.at] == 0xFF:
                self.at += 1
                break
            kind, _, size = self.head()
            if kind != major or size is None:
                raise CborError("Chunk of the wrong type in an indefinite-length string.")
            chunk = self.take(size)
            if major == 3:
                _text(chunk)  # each chunk must be valid UTF-8
            chunks.append(chunk)
        whole = b"".join(chunks)
        return _text(whole) if major == 3 else whole

    def too_many(self) -> TooManyItems:
        return TooManyItems(f"Exceeds {self.limits.items} items.")

    def array(self, count: int | None, depth: int) -> list[Any]:
        out: list[Any] = []
        if count is not None:
            if count > self.left:
                raise self.too_many()
            if count > self.end - self.at:  # every item takes at least one byte
                raise CborError("Unexpected end of data.")
            return [self.value(depth) for _ in range(count)]
        while (found := self.item(depth)) is not _BREAK:
            out.append(found)
        return out

    def map(self, count: int | None, depth: int) -> dict[str, Any] | Pairs:
        pairs: list[tuple[Any, Any]] = []
        if count is not None:
            if count * 2 > self.left:
                raise self.too_many()
            if count * 2 > self.end - self.at:
                raise CborError("Unexpected end of data.")
            pairs = [(self.value(depth), self.value(depth)) for _ in range(count)]
        else:
            while (key := self.item(depth)) is not _BREAK:
                pairs.append((key, self.value(depth)))
        if all(type(key) is str for key, _ in pairs):
            out = dict(pairs)
            if len(out) != len(pairs):
                raise CborError("Duplicate map key.")
            return out
        if len({encode(key) for key, _ in pairs}) != len(pairs):
            raise CborError("Duplicate map key.")
        return Pairs(tuple(pairs))


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise CborError("Text is not valid UTF-8.") from error


def encode(value: Any) -> bytes:
    """Return the deterministic encoding of a value. Raises `CborError` for unsupported types and too deep nesting."""
    out: list[bytes] = []
    try:
        _put(value, out)
    except RecursionError as error:
        raise CborError("Nested too deeply.") from error
    return b"".join(out)


def _head(major: int, argument: int) -> bytes:
    if argument < 24:
        return _SHORT[major][argument]
    kind = major << 5
    if argument < 0x100:
        return bytes((kind | 24, argument))
    if argument < 0x10000:
        return bytes((kind | 25,)) + argument.to_bytes(2, "big")
    if argument < 0x1_0000_0000:
        return bytes((kind | 26,)) + argument.to_bytes(4, "big")
    return bytes((kind | 27,)) + argument.to_bytes(8, "big")


def _put(value: Any, out: list[bytes]) -> None:
    kind = type(value)
    if kind is str:
        try:
            raw = value.encode()
        except UnicodeEncodeError as error:
            raise CborError("Can't encode a lone surrogate.") from error
        out.append(_head(3, len(raw)))
        out.append(raw)
    elif kind is int:
        _put_int(value, out)
    elif kind is bytes:
        out.append(_head(2, len(value)))
        out.append(value)
    elif kind is dict:
        _put_dict(value, out)
    elif kind is list or kind is tuple:
        out.append(_head(4, len(value)))
        for each in value:
            _put(each, out)
    elif value is None:
        out.append(b"\xf6")
    elif kind is bool:
        out.append(b"\xf5" if value else b"\xf4")
    elif kind is float:
        out.append(_float(value))
    else:
        _put_rare(value, out)


def _put_rare(value: Any, out: list[bytes]) -> None:
    if isinstance(value, Tag):
        out.append(_head(6, value.number))
        _put(value.value, out)
    elif isinstance(value, Pairs):
        _put_map(value.items, out)
    elif isinstance(value, Simple):
        out.append(_head(7, value.number) if value.number < 24 else bytes((0xF8, value.number)))
    else:
        raise CborError(f"Can't encode {type(value).__name__} as CBOR.")


def _put_int(value: int, out: list[bytes]) -> None:
    argument = value if value >= 0 else -1 - value
    if argument > _MAX_UINT:
        raise CborError("Integer exceeds 64 bits.")
    out.append(_head(0 if value >= 0 else 1, argument))


def _put_dict(value: dict[Any, Any], out: list[bytes]) -> None:
    order = _order(tuple(value)) if len(value) <= _ORDERED else None
    if order is None:
        _put_map(value.items(), out)
        return
    out.append(_head(5, len(order)))
    for encoded, key in order:
        out.append(encoded)
        _put(value[key], out)


@lru_cache(maxsize=1024)
def _order(keys: tuple[Any, ...]) -> tuple[tuple[bytes, str], ...] | None:
    """Return (encoded key, key) of short text keys, sorted; messages of one kind share it. None for other keys."""
    if any(type(key) is not str or len(key) > _KEY_LENGTH for key in keys):
        return None
    return tuple(sorted(((_key(key), key) for key in keys), key=_length_first))


def _put_map(pairs: Iterable[tuple[Any, Any]], out: list[bytes]) -> None:
    encoded = [
        (_key(key) if type(key) is str and len(key) <= _KEY_LENGTH else encode(key), value) for key, value in pairs
    ]
    encoded.sort(key=_length_first)
    out.append(_head(5, len(encoded)))
    for key, value in encoded:
        out.append(key)
        _put(value, out)


@lru_cache(maxsize=4096)
def _key(key: str) -> bytes:
    return encode(key)


def _length_first(pair: tuple[bytes, Any]) -> tuple[int, bytes]:
    return len(pair[0]), pair[0]


def _float(value: float) -> bytes:
    """Return the shortest encoding of the same number; all NaNs get one encoding."""
    if math.isnan(value):
        return _HALF_NAN
    for head, form in ((b"\xf9", ">e"), (b"\xfa", ">f")):
        try:
            packed = struct.pack(form, value)
        except OverflowError:
            continue
        if struct.unpack(form, packed)[0] == value:
            return head + packed
    return b"\xfb" + struct.pack(">d", value)
