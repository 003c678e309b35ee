"""Pure: the ops of SyncProtocol v1 and the responses to them."""

from dataclasses import dataclass
from typing import Literal

Verb = Literal["upsert", "delete"]


@dataclass(frozen=True, slots=True)
class EntityOp:
    """One mutation of a CBOR client. `version` is the proposed version; `body` is None for a delete."""

    op_id: int
    collection: str
    entity_id: str
    verb: Verb
    version: int
    body: bytes | None
    timestamp_ms: int | None = None


@dataclass(frozen=True, slots=True)
class EntityConflictView:
    """An op that was not applied because of a conflict, and the server's version of its record.

    `body` is empty when the record is deleted, and can be empty otherwise.
    """

    op: EntityOp
    version: int
    body: bytes
    modified_ms: int | None
    deleted: bool


@dataclass(frozen=True, slots=True)
class Pushed:
    """The result of a push: the highest op_id up to which all ops are settled, and the conflicts among them."""

    acknowledged: int
    conflicts: tuple[EntityConflictView, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """A change as CBOR clients receive it. `version` counts as they count; `body` is None for a delete.

    `device` and `source_op_id` are the writer's. A change by the server itself has an empty `device`.
    """

    cursor: int
    collection: str
    entity_id: str
    verb: Verb
    version: int
    body: bytes | None
    timestamp_ms: int
    device: str = ""
    source_op_id: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some changes after a cursor. `next_cursor` is the start of the next page, past changes that were omitted."""

    ops: list[Operation]
    next_cursor: int
    has_more: bool
