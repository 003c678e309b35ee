"""Pure: ops as clients send them, and their results. See docs/spec/protocol.md §5."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from sync.wire.codes import Code

Status = Literal["applied", "merged", "duplicate", "conflict", "rejected"]


@dataclass(frozen=True, slots=True)
class Actor:
    """The author of a push.

    `device_id` is None for the server's own writes (admin, REST, commands), which may resolve any conflict.
    `user_id` is the member whose security profile limits the push; None means no limit.
    """

    tenant_id: int
    by: str
    device_id: str | None = None
    channel: str | None = None
    user_id: int | None = None


class Problem(NamedTuple):
    """Why an op cannot be applied to any record."""

    code: Code
    message: str
    field: str | None = None


# Neither `Op` nor `OpResult` is frozen: one of each is created per op, and a frozen dataclass takes four times as long
# to create.
@dataclass(slots=True)
class Op:
    """One mutation; treat it as immutable.

    A `base_version` of None stands for the record's current version (server-side callers only). A negative one is
    rejected. `sync.wire.op_check` sets `checked`, and `problem` if it found one; the engine rejects an op that has one.
    """

    op_id: int
    tx: str | None
    table: str
    id: str
    op: str
    base_version: int | None = None
    payload: Any = None
    at: str | None = None
    settles: str | None = None
    checked: bool = False
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class ConflictView:
    """A conflict as its device and the inbox show it: the common base, both versions, and who made `theirs` when."""

    conflict: str
    version: int
    base: dict[str, Any] | None
    mine: dict[str, Any] | None
    theirs: dict[str, Any] | None
    fields: tuple[str, ...]
    by: str
    at: str | None


@dataclass(slots=True)
class OpResult:
    """The result of one op. `wire()` has exactly the keys that its status allows."""

    op_id: int
    status: Status
    version: int | None = None
    cursor: int | None = None
    kept: tuple[str, ...] = ()
    conflict: ConflictView | None = None
    code: str | None = None
    message: str | None = None
    field: str | None = None

    @property
    def accepted(self) -> bool:
        """Whether the op's effect is in the log, from this push or an earlier one."""
        return self.status in ("applied", "merged", "duplicate")

    def wire(self) -> dict[str, Any]:
        """Return the result as it appears in an `ack`."""
        out: dict[str, Any] = {"op_id": self.op_id, "status": self.status}
        if self.status == "rejected":
            out["code"] = self.code
            out["message"] = self.message
            if self.field is not None:
                out["field"] = self.field
            return out
        if (view := self.conflict) is not None:
            out.update(conflict=view.conflict, version=view.version, base=view.base, mine=view.mine, theirs=view.theirs)
            out.update(fields=list(view.fields), by=view.by, at=view.at)
        if self.version is not None:
            out["version"] = self.version
        if self.cursor is not None:
            out["cursor"] = self.cursor
        if self.kept:
            out["kept"] = list(self.kept)
        return out
