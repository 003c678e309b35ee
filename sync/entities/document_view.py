"""Pure: the document of a CBOR client (`entityCbor`) as a security profile's members may read and write it.

A profile lists declared fields, but a document can have other keys. If the profile lists readable fields, undeclared
keys are hidden; if it lists writable fields, undeclared keys are read-only.
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
    """Documents of one collection as a rule shows them; without a rule they are unrestricted.

    `declared` holds the keys that are fields of the object type.
    """

    rule: TableRule | None
    declared: frozenset[str]

    @property
    def whole(self) -> bool:
        """Whether every key is readable, so that documents are sent byte for byte."""
        return self.rule is None or self.rule.readable is None

    @property
    def free(self) -> bool:
        """Whether every key may be read and written."""
        return self.rule is None or (self.rule.readable is None and self.rule.writable is None)

    def reads(self, key: Any) -> bool:
        """Return whether the member may read a key."""
        if self.rule is None or self.rule.readable is None:
            return True
        return type(key) is str and key in self.declared and self.rule.can_read(key)

    def writes(self, key: Any) -> bool:
        """Return whether the member may write a key."""
        if self.rule is None or (self.rule.writable is None and self.reads(key)):
            return True
        return type(key) is str and self.reads(key) and self.rule.can_write(key)

    def readable_fields(self) -> frozenset[str]:
        """Return the declared keys that the member may read."""
        return frozenset(filter(self.reads, self.declared))

    def writable_fields(self) -> frozenset[str]:
        """Return the declared keys that the member may write."""
        return frozenset(filter(self.writes, self.declared))

    def shown(self, data: bytes, columns: Columns) -> bytes:
        """Return a document as the member sees it.

        If keys are hidden, bytes that are not a map are replaced by the readable `columns`.
        """
        if self.whole:
            return data
        pairs = keys_of(data)
        if pairs is None:
            return document({name: value for name, value in columns().items() if self.reads(name)})
        return _encoded(pair for pair in pairs if self.reads(pair[0]))

    def equals(self, mine: bytes, data: bytes, columns: Columns) -> bool:
        """Return whether a member's document equals what they see of `data`.

        The encoding matters only if documents are sent byte for byte.
        """
        if self.whole:
            return mine == data
        return canonical(mine) == self.shown(data, columns)

    def overlaid(self, data: bytes, mine: bytes) -> bytes:
        """Return a document whose writable keys come from `mine` and whose other keys come from `data`."""
        if self.free:
            return mine
        merged = _encoded(
            [p for p in keys_of(mine) or () if self.writes(p[0])]
            + [p for p in keys_of(data) or () if not self.writes(p[0])]
        )
        return mine if merged == canonical(mine) else merged

    def locked(self, data: bytes | None) -> dict[bytes, Pair]:
        """Return the readable, undeclared, read-only pairs: by encoded key, the key and its encoded value."""
        pairs = (keys_of(data) or ()) if data is not None else ()
        return {
            encode(k): (k, encode(v))
            for k, v in pairs
            if self.reads(k) and not self.writes(k) and not self._declares(k)
        }

    def _declares(self, key: Any) -> bool:
        return type(key) is str and key in self.declared


def canonical(data: bytes) -> bytes | None:
    """Return a map in deterministic encoding; None for bytes that are not a map."""
    pairs = keys_of(data)
    return None if pairs is None else _encoded(pairs)


def _encoded(pairs: Iterable[Pair]) -> bytes:
    return encode(Pairs(tuple(pairs)))
