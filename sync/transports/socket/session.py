"""Pure: the state machine of one connection, without socket, clock, or database.

States: new → greeting (hello is being checked) → ready → closed. It is fed what arrives, and every method returns the
actions to take, in order.
"""

from dataclasses import dataclass
from enum import Enum

from sync.transports.errors import CLOSE_CODES, FORBIDDEN_AT_HELLO
from sync.wire import frames
from sync.wire.codes import Code
from sync.wire.limits import Limits
from sync.wire.protocol import (
    PROTOCOL,
    Bye,
    Hello,
    Message,
    Ping,
    ProtocolError,
    Push,
    Subscribe,
    open_frame,
    parse,
)

NORMAL_CLOSE = 1000


class State(Enum):
    """State of a connection."""

    NEW = "new"
    GREETING = "greeting"
    READY = "ready"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Reply:
    """Send this text frame. `code` is set for errors, and `limit` if a limit was exceeded."""

    text: str
    code: Code | None = None
    limit: str | None = None


@dataclass(frozen=True, slots=True)
class Do:
    """Carry out this message."""

    message: Message


@dataclass(frozen=True, slots=True)
class Close:
    """Close the socket with this code after all earlier frames are sent."""

    code: int


Action = Reply | Do | Close


class Session:
    """One connection. Bounds its errors, pushes in flight, and other requests in flight."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.state = State.NEW
        self.subscribed = False
        self._errors = 0
        self._pushes = 0
        self._requests = 0

    def receive(self, text: str) -> list[Action]:
        """Handle a text frame."""
        return self.act_on(self.read(text))

    def read(self, text: str) -> Message | ProtocolError:
        """Parse a text frame. Changes nothing, so that any thread may do it; the result goes to `act_on`."""
        try:
            if self.state is State.NEW and len(text) > self.limits.hello:
                raise ProtocolError(Code.TOO_LARGE, f"hello exceeds {self.limits.hello} bytes", limit="hello")
            frame = open_frame(text, self.limits)
            if (self.state is State.NEW) != (frame.kind == "hello"):
                raise ProtocolError(Code.NOT_READY, "send hello first, and only once", ref=frame.ref)
            if self.state is State.GREETING:
                raise ProtocolError(Code.NOT_READY, "wait for welcome", ref=frame.ref)
            return parse(frame, self.limits)
        except ProtocolError as error:
            return error

    def act_on(self, found: Message | ProtocolError) -> list[Action]:
        """Handle a frame that was parsed."""
        if self.state is State.CLOSED:
            return []
        if isinstance(found, ProtocolError):
            return self.fail(found.code, found.message, ref=found.ref, limit=found.limit)
        return self._handle(found)

    def receive_binary(self) -> list[Action]:
        """Reject a binary frame: only the server sends them."""
        return self.fail(Code.MALFORMED, "only the server sends binary frames")

    def greeted(self) -> None:
        """Accept the hello."""
        if self.state is State.GREETING:
            self.state = State.READY

    def hello_timed_out(self) -> list[Action]:
        """Time out a connection that sent no hello."""
        return self.fail(Code.HELLO_TIMEOUT, "no hello arrived in time") if self.state is State.NEW else []

    def push_answered(self) -> None:
        """Record that a push was acknowledged or rejected."""
        self._pushes -= 1

    def request_answered(self) -> None:
        """Record the response to a request other than a push."""
        self._requests -= 1

    def fail(
        self,
        code: Code,
        text: str,
        *,
        ref: int | None = None,
        retry_after: float | None = None,
        limit: str | None = None,
    ) -> list[Action]:
        """Respond with an error. Close if its code demands it or there were too many errors."""
        if self.state is State.CLOSED:
            return []
        actions: list[Action] = [Reply(frames.error(code, text, ref=ref, retry_after=retry_after), code, limit)]
        closing = CLOSE_CODES.get(code)
        if closing is None and code is Code.FORBIDDEN and self.state is State.GREETING:
            closing = FORBIDDEN_AT_HELLO
        self._errors += 1
        if closing is None and self._errors > self.limits.errors:
            actions.append(
                Reply(frames.error(Code.TOO_MANY_ERRORS, "too many errors on this connection"), Code.TOO_MANY_ERRORS)
            )
            closing = CLOSE_CODES[Code.TOO_MANY_ERRORS]
        if closing is not None:
            self.state = State.CLOSED
            actions.append(Close(closing))
        return actions

    def bye(self, reason: str, retry_after: float, close_code: int) -> list[Action]:
        """Say goodbye on the server's initiative, and close."""
        if self.state is State.CLOSED:
            return []
        self.state = State.CLOSED
        return [Reply(frames.message("bye", reason=reason, retry_after=retry_after)), Close(close_code)]

    def _handle(self, message: Message) -> list[Action]:
        match message:
            case Hello():
                if message.protocol != PROTOCOL:
                    return self.fail(Code.PROTOCOL, f"this server supports {PROTOCOL} only", ref=message.ref)
                self.state = State.GREETING
            case Bye():
                self.state = State.CLOSED
                return [Close(NORMAL_CLOSE)]
            case Push():
                return self._handle_push(message)
            case Subscribe():
                self.subscribed = True
        if not isinstance(message, Hello | Ping):
            self._requests += 1
            if self._requests > self.limits.requests_in_flight:
                self._requests -= 1
                return self.fail(
                    Code.OVERLOADED,
                    "too many requests at once",
                    ref=message.ref,
                    retry_after=1,
                    limit="requests_in_flight",
                )
        return [Do(message)]

    def _handle_push(self, message: Push) -> list[Action]:
        if self._pushes >= self.limits.pushes_in_flight:
            text = f"too many pushes awaiting an ack (limit {self.limits.pushes_in_flight})"
            return self.fail(Code.OVERLOADED, text, ref=message.ref, retry_after=0.1, limit="pushes_in_flight")
        self._pushes += 1
        return [Do(message)]
