"""Pure: ops as they come in, and the results they are answered with. See docs/spec/protocol.md §5."""

from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["applied", "merged", "duplicate", "conflict", "rejected"]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who pushes. `device_id` is None for writes the server makes itself (admin, REST, commands), which are allowed to settle any conflict.

    `user_id` names the member whose security profile limits the push; None when nothing does.
    """

    tenant_id: int
    by: str
    device_id: str | None = None
    channel: str | None = None
    user_id: int | None = None


# Not frozen, and neither is its result: one is made per op, and a frozen dataclass takes four times as long to make.
@dataclass(slots=True)
class Op:
    """One mutation, not to be changed. `base_version` None stands for whatever the record's version is (server-side callers only); a negative one is refused."""

    op_id: int
    tx: str | None
    table: str
    id: str
    op: str
    base_version: int | None = None
    payload: Any = None
    at: str | None = None
    settles: str | None = None


@dataclass(frozen=True, slots=True)
class ConflictView:
    """A conflict as its device and the inbox show it: what both started from, what each made of it, and who made theirs when."""

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
    """The answer to one op; `wire()` has exactly the keys its status allows."""

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
        """Whether the op's effect is in the log, now or from before."""
        return self.status in ("applied", "merged", "duplicate")

    def wire(self) -> dict[str, Any]:
        """Return the result's line of an `ack`."""
        out: dict[str, Any] = {"op_id": self.op_id, "status": self.status}
        if self.status == "rejected":
            out["code"] = self.code
            out["message"] = self.message
            if self.field is not None:
                out["field"] = self.field
            return out
        if (seen := self.conflict) is not None:
            out.update(conflict=seen.conflict, version=seen.version, base=seen.base, mine=seen.mine, theirs=seen.theirs)
            out.update(fields=list(seen.fields), by=seen.by, at=seen.at)
        if self.version is not None:
            out["version"] = self.version
        if self.cursor is not None:
            out["cursor"] = self.cursor
        if self.kept:
            out["kept"] = list(self.kept)
        return out
