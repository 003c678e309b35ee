"""Start a real server in a process pinned to one core, on a database of its own, and stop it again."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CORES = sorted(os.sched_getaffinity(0))


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pin_here() -> None:
    """Keep the load generator off the server's core."""
    if len(CORES) > 1:
        os.sched_setaffinity(0, set(CORES[1:]))


def rss_kib(pid: int) -> int:
    """Return the resident memory of a process in KiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise ProcessLookupError(pid)


class Server:
    """A running server. `tenants` is what `fixture` made."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, tenants: list[dict[str, Any]], data: Path) -> None:
        self.process = process
        self.port = port
        self.tenants = tenants
        self.data = data

    @property
    def tenant(self) -> dict[str, Any]:
        """The first tenant."""
        return self.tenants[0]

    def rss_kib(self) -> int:
        """Return the server's resident memory in KiB."""
        return rss_kib(self.process.pid)


async def _wait_until_up(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        if process.poll() is not None:
            raise RuntimeError(f"the server ended: {log.read_text()[-2000:]}")
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
            continue
        writer.close()
        return
    raise TimeoutError("the server did not come up within 30 s")


def _start(app: str, port: int, environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "uvicorn", app, "--port", str(port), "--ws", "websockets-sansio", "--ws-per-message-deflate", "false"]
    command += ["--log-level", "warning"]
    core = {CORES[0]}
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=log.open("wb"),
        stderr=subprocess.STDOUT,
        preexec_fn=lambda: os.sched_setaffinity(0, core),
    )


@asynccontextmanager
async def moat(*, tenants: int = 1, devices: int = 1, records: int = 0) -> AsyncIterator[Server]:
    """Run Moat with tenants `bench-0`… on a fresh database (DATABASE_URL when set, else SQLite)."""
    wanted = json.dumps({"tenants": tenants, "devices": devices, "records": records})
    async with _served(lambda environment: json.loads(_run(environment, "-m", "benchmarks.fixture", wanted))) as server:
        yield server


@asynccontextmanager
async def demo() -> AsyncIterator[Server]:
    """Run Moat with the demo data, on a fresh database as above; its tenant's devices are of tom, a technician, and of olga, who sees all."""

    def fixture(environment: dict[str, str]) -> list[dict[str, Any]]:
        _run(environment, "manage.py", "demo_data")
        command = ("manage.py", "create_device", "--tenant", "acme", "--name", "bench", "--json", "--user")
        issued = [json.loads(_run(environment, *command, user)) for user in ("tom", "olga")]
        return [{"slug": "acme", "devices": [{"device": i["device"], "token": i["token"]} for i in issued]}]

    async with _served(fixture) as server:
        yield server


def _run(environment: dict[str, str], *command: str) -> str:
    """Run Python and return the last line it printed."""
    done = subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.splitlines()[-1] if done.stdout else ""


@asynccontextmanager
async def _served(fixture: Callable[[dict[str, str]], list[dict[str, Any]]]) -> AsyncIterator[Server]:
    data = Path(tempfile.mkdtemp(prefix="moat-bench-"))
    environment = {
        **os.environ,
        "MOAT_DATA_DIR": str(data),
        "DJANGO_SETTINGS_MODULE": "config.settings.prod",
        "DEBUG": "0",
        "SECRET_KEY": "k" * 60,
        "HTTPS": "0",
    }
    _run(environment, "manage.py", "migrate", "-v0")
    made = fixture(environment)
    port, log = free_port(), data / "server.log"
    process = _start("config.asgi:application", port, environment, log)
    try:
        await _wait_until_up(port, process, log)
        yield Server(process, port, made, data)
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(data, ignore_errors=True)


@asynccontextmanager
async def bare() -> AsyncIterator[Server]:
    """Run the bare broadcast server of `baseline`: the same uvicorn with nothing behind it."""
    data = Path(tempfile.mkdtemp(prefix="moat-bench-"))
    port, log = free_port(), data / "server.log"
    process = _start("benchmarks.baseline:application", port, dict(os.environ), log)
    try:
        await _wait_until_up(port, process, log)
        yield Server(process, port, [], data)
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(data, ignore_errors=True)
