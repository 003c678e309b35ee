"""Pure: what can go wrong in the engine. Transports translate by `code`; see `sync.wire.codes`."""

from sync.wire.codes import Code
from tenants.errors import MoatError


class SyncError(MoatError):
    """An expected failure of the engine, with one of the codes of `sync.wire.codes`."""

    def __init__(self, code: Code, message: str, *, field: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(code, message, field=field)
        self.retry_after = retry_after


class OpRejected(SyncError):
    """One op cannot be applied; its tx is dropped, everything else goes on."""


class PushRejected(SyncError):
    """A push cannot be taken as a whole; nothing of it was applied. `retry_after` (seconds) when sending it again may help."""


class AccessChanged(SyncError):
    """Rights changed since a channel was chosen: what follows belongs to another one, and nothing more may be sent on this one."""

    def __init__(self) -> None:
        super().__init__(Code.ACCESS_CHANGED, Code.ACCESS_CHANGED.meaning, retry_after=0)


class LogPruned(Exception):
    """The log no longer reaches back to the cursor that was asked for. No client hears of it: it is served rows or a snapshot."""
