"""The state that all parts of the engine share, and how a connection ends.

Pure: no I/O, clock, or randomness.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from moat_client.engine import events as ev
from moat_client.engine.download import Downloader
from moat_client.engine.events import Action
from moat_client.engine.push import Pusher
from moat_client.engine.repair import Repairer
from moat_client.net.backoff import Backoff
from moat_client.wire.messages import Message, Verified, Welcome
from moat_client.wire.position import Position

FATAL = {
    "bad_token": "The server doesn't recognize this device's token. Sign in again; pending edits are kept.",
    "revoked": "This device was revoked. Sign in again; pending edits are kept.",
    "forbidden": "This user doesn't have access. Ask an administrator.",
    "protocol": "The server doesn't support this client's protocol version. Update the client.",
    "insecure": "The server requires an encrypted connection. Sign in again with an https address.",
    "replaced": "Another program is connected as this device.",
    "wrong_tenant": "This replica belongs to another tenant.",
}
RESET = {
    "ahead": "The server was restored or replaced: its log ends before this replica's cursor. "
    "Pending edits are kept. To start over, run moat sync --reset.",
    "epoch": "The server was restored or replaced: its log is not the one this replica followed. "
    "Pending edits are kept. To start over, run moat sync --reset.",
    "diverged": "This replica couldn't be repaired. Pending edits are kept. To start over, run moat sync --reset.",
}


class State(StrEnum):
    """What the engine is doing."""

    OFFLINE = "offline"
    CONNECTING = "connecting"
    CATCHING_UP = "catching_up"
    UPGRADING = "upgrading"
    REPAIRING = "repairing"
    LIVE = "live"
    ERROR = "error"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Status:
    """The state for people: `percent` of a catch-up; `code` and `message` of an error; `retry_in` seconds."""

    state: State = State.OFFLINE
    percent: int = 0
    cursor: int = 0
    schema_version: int = 0
    code: str = ""
    message: str = ""
    retry_in: float | None = None

    @property
    def needs_reset(self) -> bool:
        """Whether only a reset can help."""
        return self.state is State.ERROR and self.code in RESET


@dataclass(frozen=True, slots=True)
class Identity:
    """The device and token that the engine signs in with."""

    token: str
    device: str
    client: str = "moat-python/0.1"


class Core:
    """The engine's state of one connection.

    `draw` returns random numbers in [0, 1); `now` returns the time in wire form.
    """

    def __init__(
        self, identity: Identity, position: Position, *, draw: Callable[[], float], now: Callable[[], str]
    ) -> None:
        self.position = position
        self._identity = identity
        self._now = now
        self._backoff = Backoff(draw)
        self._status = Status(cursor=position.cursor, schema_version=position.schema_version)
        self._pusher = Pusher()
        self._downloader = Downloader()
        self._repairer: Repairer | None = None
        self._repairs = 0
        self._verify_wanted = False
        self._welcome: Welcome | None = None
        self._retry_after: float | None = None
        self._forget_connection()

    def _forget_connection(self) -> None:
        self._connected = False
        self._received_any = False
        self._streaming = False
        self._collecting = False
        self._span = (0, 0)
        self._rows_total = self._rows_seen = 0
        self._revisions: dict[int, tuple[Any, ...]] = {}
        self._held: list[Message] = []
        self._waiting_schema = False
        self._applying = False
        self._after_schema: Callable[[], list[Action]] | None = None
        self._after_applied: Callable[[], list[Action]] | None = None
        self._verifying: Verified | None = None
        self._repairer = None
        self._downloader.stop()
        self._pusher.restart()

    @property
    def status(self) -> Status:
        """The current state."""
        return self._status

    @property
    def settled_down(self) -> bool:
        """Whether the engine is live and every push was acknowledged."""
        return self._status.state is State.LIVE and self._pusher.idle and not self._held and not self._applying

    def _set(self, state: State, **more: Any) -> None:
        self._status = Status(state, cursor=self.position.cursor, schema_version=self.position.schema_version, **more)

    def _offline(self, reason: str, retry_after: float | None = None) -> list[Action]:
        wait = self._backoff.next(self._retry_after if retry_after is None else retry_after)
        self._retry_after = None
        self._forget_connection()
        self._set(State.OFFLINE, message=reason, retry_in=wait)
        return [*self._no_timers(), ev.SetTimer("retry", wait)]

    def _no_timers(self) -> list[Action]:
        return [ev.CancelTimer(name) for name in ("hello", "ping", "pong", "push")]

    def _break(self, reason: str, retry_after: float | None = None) -> list[Action]:
        """Close this connection and try again later."""
        return [ev.Disconnect(), *self._offline(reason, retry_after)]

    def _fail(self, code: str, message: str = "") -> list[Action]:
        """Stop until a person acts."""
        text = FATAL.get(code) or RESET.get(code) or message or code
        self._forget_connection()
        self._set(State.ERROR, code=code, message=text)
        return [ev.Disconnect(), *self._no_timers(), ev.Notify(code, text)]

    def _apply(self, action: Action, then: Callable[[], list[Action]]) -> list[Action]:
        self._applying, self._after_applied = True, then
        return [action]

    def _applied(self, position: Position) -> list[Action]:
        self.position = position
        self._applying = False
        then, self._after_applied = self._after_applied, None
        return then() if then else []
