"""Pure: the ops of SyncProtocol v1, as they come and as they are answered."""

from dataclasses import dataclass
from typing import Literal

Verb = Literal["upsert", "delete"]


@dataclass(frozen=True, slots=True)
class EntityOp:
    """One mutation of a CBOR client. `version` is the one it proposes; `body` is None for a delete."""

    op_id: int
    collection: str
    entity_id: str
    verb: Verb
    version: int
    body: bytes | None
    timestamp_ms: int | None = None


@dataclass(frozen=True, slots=True)
class EntityConflictView:
    """An op that was not applied, and the server's state instead: `body` is empty when the record is deleted, and may be when it is not."""

    op: EntityOp
    version: int
    body: bytes
    modified_ms: int | None
    deleted: bool


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of a push: the highest op that is settled, with all before it, and their conflicts."""

    acknowledged: int
    conflicts: tuple[EntityConflictView, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """A change as a CBOR client is told it. `version` as it counts them; `body` is None for a delete.

    `device` and `source_op_id` are the writer's; a change that no device made has an empty device.
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
    """Some changes after a cursor. `next_cursor` is where the next page begins, past what was left out."""

    ops: list[Operation]
    next_cursor: int
    has_more: bool
