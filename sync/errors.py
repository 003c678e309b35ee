"""Pure: errors of the engine. Transports translate them by `code`; see `sync.wire.codes`."""

from sync.wire.codes import Code
from tenants.errors import MoatError


class SyncError(MoatError):
    """An expected failure of the engine, with a code of `sync.wire.codes`."""

    def __init__(self, code: Code, message: str, *, field: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(code, message, field=field)
        self.retry_after = retry_after


class OpRejected(SyncError):
    """One op cannot be applied. Its tx is discarded; other txs continue."""


class PushRejected(SyncError):
    """A whole push is rejected, and nothing of it was applied. `retry_after` (seconds): sending it again may help."""


class AccessChanged(SyncError):
    """Access changed since a channel was chosen, so nothing more may be sent on that channel."""

    def __init__(self) -> None:
        super().__init__(Code.ACCESS_CHANGED, Code.ACCESS_CHANGED.meaning, retry_after=0)


class LogPruned(Exception):
    """The log no longer reaches back to the requested cursor. Clients get rows or a snapshot instead of an error."""
