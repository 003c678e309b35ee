"""Pure: every limit on one message, op, push, and turn, and the budget that counts work against a limit.

The numbers are the defaults; docs/spec/limits.md is the table of all of them, and a test compares the two. An item is a
value or a key of an object; an array or object counts as one item, in addition to what it holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

MIB: Final = 1_048_576

MESSAGE_ITEMS: Final = 250_000
"""Items of one message, together with the items of the v1 documents in it. The same for every protocol."""
FRAME_BYTES: Final = 4 * MIB
LINE_BYTES: Final = MIB
HELLO_BYTES: Final = 16_384
OFF_LOOP_BYTES: Final = 65_536
"""A larger frame is parsed in a thread, so that the event loop goes on serving the other connections."""

PUSH_OPS: Final = 10_000
PATCH_OPS: Final = 500
PATCH_BYTES: Final = MIB
PATCH_DEPTH: Final = 64
POINTER_LENGTH: Final = 2000
OP_WORK: Final = 8 * MIB
TX_WORK: Final = 64 * MIB
V1_PUSH_WORK: Final = 256 * MIB
ITEM_WORK: Final = 16
"""What an item of a JSON value costs beyond its bytes."""
BASE_BYTES: Final = 8 * MIB

TURN_WORK: Final = 16 * MIB
TURN_SECONDS: Final = 0.25

REST_BODY: Final = 5 * MIB
REST_DEPTH: Final = 48
V1_BODY: Final = 32 * MIB
V1_DEPTH: Final = 32
V1_ENTITY: Final = 4 * MIB
V1_OPS: Final = 5000


class OverBudget(Exception):
    """A budget is spent. `limit` is its name, `most` what it held."""

    def __init__(self, limit: str, most: int) -> None:
        super().__init__(f"{limit}: {most}")
        self.limit = limit
        self.most = most


class Budget:
    """Counts work as it is done, and ends it when the limit is passed. `parent` is charged with the same work."""

    __slots__ = ("limit", "most", "parent", "spent")

    def __init__(self, limit: str, most: int, parent: "Budget | None" = None) -> None:
        self.limit, self.most, self.parent = limit, most, parent
        self.spent = 0

    def spend(self, amount: int) -> None:
        """Count an amount. Raises `OverBudget` past the limit."""
        self.spent += amount
        if self.parent is not None:
            self.parent.spend(amount)
        if self.spent > self.most:
            raise OverBudget(self.limit, self.most)


def work_of(data: bytes) -> int:
    """Return the work of handling a JSON value, given its compact encoding: its bytes, plus some for small items."""
    return len(data) + ITEM_WORK * (data.count(b",") + data.count(b"[") + data.count(b"{"))


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one connection, sent to the client in `welcome`. Sizes are bytes of UTF-8; times are seconds.

    `items` counts one whole frame. The limits from `patch_ops` on apply to ops over every protocol.
    """

    frame: int = FRAME_BYTES
    line: int = LINE_BYTES
    text: int = 100_000
    json: int = 262_144
    depth: int = 40
    ops: int = 2000
    tables_per_verify: int = 200
    ranges_per_verify: int = 64
    errors: int = 50
    hello_seconds: float = 10
    pushes_in_flight: int = 8
    requests_in_flight: int = 32
    items: int = MESSAGE_ITEMS
    hello: int = HELLO_BYTES
    patch_ops: int = PATCH_OPS
    patch_bytes: int = PATCH_BYTES
    op_work: int = OP_WORK
    tx_work: int = TX_WORK

    def wire(self) -> dict[str, int | float]:
        """Return the limits as they appear in `welcome`."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def limits_from(given: Mapping[str, Any]) -> Limits:
    """Return the default limits with the given ones replaced. Raises `TypeError` for an unknown name."""
    return Limits(**given)
