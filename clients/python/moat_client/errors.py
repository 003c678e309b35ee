"""Errors a caller can meet. Each has a stable `code`; its `str()` is a sentence for people."""

from typing import TYPE_CHECKING

from moat_client.deprecated import old_names


class MoatError(Exception):
    """Base class of this package's errors."""

    code = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code or self.code


class InvalidEdit(MoatError):
    """A local write that the server would reject too; nothing was written."""

    code = "bad_value"

    def __init__(self, message: str, *, code: str = "bad_value", field: str | None = None) -> None:
        super().__init__(message, code=code)
        self.field = field


class UnknownTable(InvalidEdit):
    """No published object type has this table."""

    def __init__(self, table: str) -> None:
        super().__init__(f"This replica has no table {table!r}.", code="unknown_table")


class UnknownRecord(InvalidEdit):
    """This replica shows no such record."""

    def __init__(self, table: str, record_id: str) -> None:
        super().__init__(f"No record {record_id!r} in {table!r}.", code="unknown_record")


class NotAReplica(MoatError):
    """The file is not a Moat replica, or one of a newer format."""

    code = "not_a_replica"


class MalformedMessage(MoatError):
    """The server sent a message this client cannot read; nothing was applied."""

    code = "malformed"


class Diverged(MoatError):
    """The replica and the server's log disagree and need a repair; nothing was applied."""

    code = "diverged"


class BadSnapshot(MoatError):
    """A downloaded snapshot does not match its manifest; it was discarded."""

    code = "bad_snapshot"


class Unreachable(MoatError):
    """The server could not be reached, or the connection broke."""

    code = "unreachable"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class LoginFailed(MoatError):
    """The server did not accept the credentials."""

    code = "login_failed"


if TYPE_CHECKING:
    Refused = InvalidEdit
else:
    __getattr__ = old_names(__name__, {"Refused": ("moat_client.InvalidEdit", InvalidEdit)})
