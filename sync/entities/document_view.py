"""Pure: the document of a CBOR client (`entityCbor`) as a security profile lets its members read and write it.

A profile names fields, and a document can hold more than those. So where a profile lists what is readable, a key that is not
declared is not named and hence hidden; where it lists what is writable, such a key is locked.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from metadata.access import TableRule
from sync.entities.cbor import Pairs, encode
from sync.entities.document import document, keys_of

Columns = Callable[[], Mapping[str, Any]]
Pair = tuple[Any, Any]


@dataclass(frozen=True, slots=True)
class DocumentView:
    """Documents of one collection through a rule; with none they are what they are. `declared` are the keys that are fields."""

    rule: TableRule | None
    declared: frozenset[str]

    @property
    def whole(self) -> bool:
        """Whether everything in a document is readable, so that its bytes are served as they are."""
        return self.rule is None or self.rule.readable is None

    @property
    def free(self) -> bool:
        """Whether everything in a document may be read and written."""
        return self.rule is None or (self.rule.readable is None and self.rule.writable is None)

    def reads(self, key: Any) -> bool:
        """Whether a key of a document is shown."""
        if self.rule is None or self.rule.readable is None:
            return True
        return type(key) is str and key in self.declared and self.rule.can_read(key)

    def writes(self, key: Any) -> bool:
        """Whether the value of a key is the member's to choose."""
        if self.rule is None or (self.rule.writable is None and self.reads(key)):
            return True
        return type(key) is str and self.reads(key) and self.rule.can_write(key)

    def readable_fields(self) -> frozenset[str]:
        """Return the declared keys that are shown."""
        return frozenset(filter(self.reads, self.declared))

    def writable_fields(self) -> frozenset[str]:
        """Return the declared keys whose values are the member's to choose."""
        return frozenset(filter(self.writes, self.declared))

    def shown(self, data: bytes, columns: Columns) -> bytes:
        """Return a document as the member has it. Where fields are hidden, bytes that are no map are the readable `columns`."""
        if self.whole:
            return data
        pairs = keys_of(data)
        if pairs is None:
            return document({name: value for name, value in columns().items() if self.reads(name)})
        return _encoded(pair for pair in pairs if self.reads(pair[0]))

    def equals(self, mine: bytes, data: bytes, columns: Columns) -> bool:
        """Whether what a member sends is what they see already; how they encode it counts only where bytes are served as they are."""
        if self.whole:
            return mine == data
        return canonical(mine) == self.shown(data, columns)

    def overlaid(self, data: bytes, mine: bytes) -> bytes:
        """Return a document after a member replaced what is theirs to choose in it; the rest keeps what it holds."""
        if self.free:
            return mine
        merged = _encoded(
            [p for p in keys_of(mine) or () if self.writes(p[0])]
            + [p for p in keys_of(data) or () if not self.writes(p[0])]
        )
        return mine if merged == canonical(mine) else merged

    def locked(self, data: bytes | None) -> dict[bytes, Pair]:
        """Return what is shown, no field, and not the member's to choose: by encoded key, the key and its encoded value."""
        pairs = (keys_of(data) or ()) if data is not None else ()
        return {
            encode(k): (k, encode(v))
            for k, v in pairs
            if self.reads(k) and not self.writes(k) and not self._declares(k)
        }

    def _declares(self, key: Any) -> bool:
        return type(key) is str and key in self.declared


def canonical(data: bytes) -> bytes | None:
    """Return a map in deterministic encoding; None for bytes that are no map."""
    pairs = keys_of(data)
    return None if pairs is None else _encoded(pairs)


def _encoded(pairs: Iterable[Pair]) -> bytes:
    return encode(Pairs(tuple(pairs)))
