"""A FakeTenant behind real WebSockets, and a sign-in over HTTP. For tests only."""

import asyncio
import contextlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fake_session import FakeSession
from fake_tenant import FakeTenant
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed


class FakeServer:
    """Runs in a thread of its own, so that blocking tests and other processes can talk to it."""

    def __init__(self, tenant: FakeTenant, folder: Path) -> None:
        self.tenant, self.folder = tenant, folder
        self.tokens = {f"token-d{n}": f"d{n}" for n in range(1, 9)}
        self.port = 0
        self.connections: set[ServerConnection] = set()
        self._started = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> "FakeServer":
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._started.clear()
        self._thread.start()
        assert self._started.wait(10)
        return self

    def stop(self) -> None:
        if not self._thread.is_alive():
            return
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def do(self, work: Any, *args: Any, **more: Any) -> Any:
        """Do something to the tenant in the server's thread."""

        async def run() -> Any:
            return work(*args, **more)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(20)

    def _run(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        server: Server = await serve(self._connection, "127.0.0.1", self.port, max_size=None, close_timeout=0.2)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        server.close()
        await server.wait_closed()

    async def _connection(self, socket: ServerConnection) -> None:
        session = FakeSession(self.tenant, self.folder, self.tokens)
        self.connections.add(socket)
        wake = asyncio.Event()
        self.tenant.listeners.append(wake.set)
        pump = asyncio.create_task(self._pump(socket, session, wake))
        try:
            async for message in socket:
                data = message.encode() if isinstance(message, str) else message
                for answer in session.receive(data):
                    await socket.send(answer)
                if session.closed:
                    await socket.close(session.closed)
        except ConnectionClosed:
            pass
        finally:
            pump.cancel()
            self.connections.discard(socket)
            self.tenant.listeners.remove(wake.set)

    async def _pump(self, socket: ServerConnection, session: FakeSession, wake: asyncio.Event) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await wake.wait()
                wake.clear()
                for frame in session.live():
                    await socket.send(frame)


@contextlib.contextmanager
def login_server(answer: tuple[int, dict[str, Any], dict[str, str]], seen: list[Any]) -> Iterator[str]:
    """Answer every POST with (status, body, headers)."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((self.path, json.loads(body)))
            status, data, headers = answer
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(json.dumps(data).encode())

        def log_message(self, *args: Any) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
