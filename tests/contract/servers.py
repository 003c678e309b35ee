"""Real server processes on the test database, for tests over real sockets that also kill them."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from django.db import connection

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def database_url() -> str:
    """The URL of the database that this test process uses."""
    settings = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{settings['NAME']}"
    user, password, host, port = (settings[k] or "" for k in ("USER", "PASSWORD", "HOST", "PORT"))
    login = f"{user}:{password}@" if password else f"{user}@"
    return f"postgres://{login}{host or '127.0.0.1'}:{port or 5432}/{settings['NAME']}"


class ServerProcess:
    """One server. It can be started, killed (SIGKILL), and stopped (SIGTERM) repeatedly on the same port."""

    def __init__(self, *, kind: str = "uvicorn", environment: dict[str, str] | None = None) -> None:
        self.kind = kind
        self.port = free_port()
        self.data = Path(tempfile.mkdtemp(prefix="moat-server-"))
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "config.settings.prod",
            "DATABASE_URL": database_url(),
            "MOAT_DATA_DIR": str(self.data),
            "DEBUG": "0",
            "SECRET_KEY": "k" * 60,
            "HTTPS": "0",
            "ALLOWED_HOSTS": "*",
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            **(environment or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.data / "server.log").read_text(errors="replace")

    def failures(self, since: int = 0) -> list[str]:
        """The lines of the log with an exception, or with the traceback of something that does not use it."""
        return [line for line in self.log[since:].splitlines() if '"exception":' in line or "Traceback" in line]

    def _command(self) -> list[str]:
        if self.kind == "daphne":
            # Its access log has whole addresses, query strings included (docs/guides/operate.md).
            command = [sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", str(self.port)]
            return [*command, "--access-log", "/dev/null", "config.asgi:application"]
        return [sys.executable, "-m", "config.serve"]

    def start(self) -> "ServerProcess":
        with (self.data / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command(), cwd=ROOT, env=self.environment, stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended at once: {self.log[-3000:]}")
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=5):
                    return self
            except OSError:
                time.sleep(0.05)
        raise TimeoutError(f"the server did not come up: {self.log[-3000:]}")

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> int:
        """Terminate the server (SIGTERM) and return its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait(10)

    def memory_kib(self) -> int:
        """Private memory in KiB. The pages of the database file that SQLite maps are shared and do not count."""
        assert self.process is not None
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1])
        raise AssertionError("no RssAnon")
