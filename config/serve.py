"""Serve for production: one uvicorn process on HOST and PORT. `config/scripts/serve.sh` prepares its environment.

It is code, because uvicorn's command has no argument for one thing and guesses another: how long a client may take to
send its headers, and whose `X-Forwarded-For` counts.
"""

import asyncio
import os
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

LATE = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class ImpatientProtocol(H11Protocol):
    """HTTP/1.1 that closes a connection whose next request does not have its headers within `HEADER_SECONDS`.

    uvicorn waits for ever for the first request, and for the rest of a request that has begun.
    """

    header_seconds = 30.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        self._late: asyncio.TimerHandle | None = None
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of the headers, unless they are complete."""
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._stop()
        elif self.cycle is None or self.cycle.response_complete:
            self._expect()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand over to the WebSocket, which has timeouts of its own."""
        self._stop()
        self._upgraded = True
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop()
        super().connection_lost(exc)

    _upgraded = False

    def _expect(self) -> None:
        if self._late is None and not self._upgraded and not self.transport.is_closing():
            self._late = self.loop.call_later(self.header_seconds, self._too_late)

    def _stop(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _too_late(self) -> None:
        self._late = None
        if not self.transport.is_closing():
            self.transport.write(LATE)
            self.transport.close()


def configuration(**changed: Any) -> uvicorn.Config:
    """Return uvicorn's configuration, from the environment variables HOST, PORT, and BODY_SECONDS."""
    ImpatientProtocol.header_seconds = float(os.environ.get("BODY_SECONDS") or 30)
    given: dict[str, Any] = {
        "host": os.environ.get("HOST") or "0.0.0.0",  # noqa: S104  # a server for others
        "port": int(os.environ.get("PORT") or 8000),
        "http": ImpatientProtocol,
        "ws": "websockets-sansio",
        "ws_per_message_deflate": False,
        # Off whatever NUM_PROXIES is: uvicorn would trust every process on this machine, and rewrite the address before
        # the throttle can count proxies. The application reads X-Forwarded-For by NUM_PROXIES and X-Forwarded-Proto by
        # HTTPS_PROXY_HEADER.
        "proxy_headers": False,
        "forwarded_allow_ips": "",
        "server_header": False,
        "log_level": "warning",
    }
    return uvicorn.Config("config.asgi:application", **{**given, **changed})


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    uvicorn.Server(configuration()).run()


if __name__ == "__main__":
    main()
