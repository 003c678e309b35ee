"""Start and stop a real server, in a process pinned to one core, on its own database."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CORES = sorted(os.sched_getaffinity(0))
CUSTOMERS = 1000
"""Number of different customers that the fixture's jobs cycle through."""


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pin_here() -> None:
    """Pin the load generator to the cores that the server does not use."""
    if len(CORES) > 1:
        os.sched_setaffinity(0, set(CORES[1:]))


def rss_kib(pid: int) -> int:
    """Return the resident memory of a process in KiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise ProcessLookupError(pid)


class Server:
    """A running server. `tenants` is what `fixture` created."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, tenants: list[dict[str, Any]], data: Path) -> None:
        self.process = process
        self.port = port
        self.tenants = tenants
        self.data = data

    @property
    def tenant(self) -> dict[str, Any]:
        """Return the first tenant."""
        return self.tenants[0]

    def rss_kib(self) -> int:
        """Return the server's resident memory in KiB."""
        return rss_kib(self.process.pid)

    def cpu_seconds(self) -> float:
        """Return the CPU seconds the server has used. Unlike wall time, they hardly depend on other load."""
        after_name = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


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
    raise TimeoutError("the server did not start within 30 s")


def _start(app: str, port: int, environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        app,
        "--port",
        str(port),
        "--ws",
        "websockets-sansio",
        "--ws-per-message-deflate",
        "false",
    ]
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


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@dataclass(frozen=True, slots=True)
class Database:
    """A database with the tenants that `fixture` created, and the environment that makes Django use it."""

    environment: dict[str, str]
    tenants: list[dict[str, Any]]
    data: Path


MOST_SECONDS = 600
"""Time limit of a command that prepares a benchmark."""


def run(environment: dict[str, str], *command: str) -> bytes:
    """Run a Python command and return its output. Raises RuntimeError with its error output."""
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, check=False, timeout=MOST_SECONDS
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)[:200]}: {done.stderr.decode()[-2000:]}")
    return done.stdout


Fixture = Callable[[dict[str, str]], list[dict[str, Any]]]


def asked(**wanted: int) -> Fixture:
    """Return a function that creates the tenants `bench-0`, `bench-1`, and so on, with these `fixture` arguments."""
    request = json.dumps({"tenants": 1, "devices": 1, "records": 0, **wanted})
    return lambda environment: json.loads(run(environment, "-m", "benchmarks.fixture", request).splitlines()[-1])


def _demo(environment: dict[str, str]) -> list[dict[str, Any]]:
    run(environment, "manage.py", "demo_data")
    command = ("manage.py", "create_device", "--tenant", "acme", "--name", "bench", "--json", "--user")
    issued = [json.loads(run(environment, *command, user).splitlines()[-1]) for user in ("tom", "olga")]
    return [{"slug": "acme", "devices": [{"device": i["device"], "token": i["token"]} for i in issued]}]


@contextmanager
def database(fixture: Fixture) -> Iterator[Database]:
    """Create a new database (at DATABASE_URL if set, else SQLite) with the fixture's data."""
    data = Path(tempfile.mkdtemp(prefix="moat-bench-"))
    environment = {
        **os.environ,
        "MOAT_DATA_DIR": str(data),
        "DJANGO_SETTINGS_MODULE": "config.settings.prod",
        "DEBUG": "0",
        "SECRET_KEY": "k" * 60,
        "HTTPS": "0",
    }
    try:
        run(environment, "manage.py", "migrate", "-v0")
        yield Database(environment, fixture(environment), data)
    finally:
        shutil.rmtree(data, ignore_errors=True)


@asynccontextmanager
async def moat(**wanted: int) -> AsyncIterator[Server]:
    """Run Moat with tenants created by `fixture` with these arguments."""
    async with _served(asked(**wanted)) as server:
        yield server


@asynccontextmanager
async def demo() -> AsyncIterator[Server]:
    """Run Moat with the demo data. Its devices belong to tom, a technician, and to olga, who sees everything."""
    async with _served(_demo) as server:
        yield server


@asynccontextmanager
async def _served(fixture: Fixture) -> AsyncIterator[Server]:
    with database(fixture) as made:
        port, log = free_port(), made.data / "server.log"
        process = _start("config.asgi:application", port, made.environment, log)
        try:
            await _wait_until_up(port, process, log)
            yield Server(process, port, made.tenants, made.data)
        finally:
            _end(process)


@asynccontextmanager
async def bare() -> AsyncIterator[Server]:
    """Run the bare broadcast server of `baseline`: the same uvicorn without Moat."""
    data = Path(tempfile.mkdtemp(prefix="moat-bench-"))
    port, log = free_port(), data / "server.log"
    process = _start("benchmarks.baseline:application", port, dict(os.environ), log)
    try:
        await _wait_until_up(port, process, log)
        yield Server(process, port, [], data)
    finally:
        _end(process)
        shutil.rmtree(data, ignore_errors=True)
