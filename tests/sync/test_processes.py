"""Several server processes on one database: with Redis, with an unreachable Redis, and without."""

import json
import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher

from tenants.models import Tenant
from tenants.tokens import issue_device
from tests.builders import make_user
from tests.contract.peer import Peer
from tests.contract.servers import ServerProcess, free_port
from tests.sync.live import insert, write

pytestmark = pytest.mark.slow
Start = Callable[..., ServerProcess]


def redis_url() -> str | None:
    """The URL of a Redis that responds, or None."""
    url = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/9")
    host, _, port = url.removeprefix("redis://").partition("/")[0].partition(":")
    try:
        with socket.create_connection((host, int(port or 6379)), timeout=1):
            return url
    except OSError:
        return None


@pytest.fixture
def start(transactional_db: None) -> Iterator[Start]:
    with ExitStack() as stack:

        def start(kind: str = "uvicorn", **environment: str) -> ServerProcess:
            server = ServerProcess(kind=kind, environment=environment).start()
            stack.callback(server.stop)
            return server

        yield start


@pytest.fixture
def peer(acme: Tenant) -> Iterator[Callable[[ServerProcess], Peer]]:
    with ExitStack() as stack:

        def connect(server: ServerProcess) -> Peer:
            issued = issue_device(acme, make_user(acme), "peer")
            return stack.enter_context(Peer(server.port, issued.device.pk, issued.token)).at(acme).live()

        yield connect


def resident_kib(server: ServerProcess) -> int:
    assert server.process is not None
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


def measured(server: ServerProcess, name: str) -> float:
    """The value of a server's metric, or 0 if it has not been used yet."""
    with urlopen(Request(f"{server.url}/metrics", headers={"Authorization": "Bearer watching"}), timeout=10) as answer:
        found = re.search(rf"^{re.escape(name)} (\S+)", answer.read().decode(), re.MULTILINE)
    return float(found[1]) if found else 0.0


@pytest.mark.parametrize("redis", ["there", "down", "none"])
def test_i3_i4_changes_of_one_process_reach_the_clients_of_another(
    acme: Tenant, start: Start, peer, redis: str
) -> None:
    """Redis wakes the other process at once. Without it, the poll finds every change."""
    if redis == "there":
        if (url := redis_url()) is None:
            pytest.skip("no Redis answers")
    else:
        url = f"redis://127.0.0.1:{free_port()}/0" if redis == "down" else ""
    one, two = (start(REDIS_URL=url, METRICS_TOKEN="watching") for _ in range(2))
    here, there = peer(one), peer(two)
    for n in range(10):
        for pusher in (here, there):
            (result,) = pusher.push(insert(f"job-{n}-{pusher.device}"))
            assert result["status"] == "applied"
    head = acme.cursor + 20
    for each in (here, there):
        each.catch_up_to(head)
    assert here.lines == there.lines
    here.push(insert("news"))  # nothing of the other process's own wakes it meanwhile
    there.catch_up_to(head + 1)
    by_redis, by_poll = (measured(two, f'moat_wakeups_total{{way="{way}"}}') for way in ("redis", "poll"))
    assert by_redis > by_poll if redis == "there" else by_poll > 0 == by_redis


def test_with_redis_down_people_log_in_and_the_log_and_the_metrics_say_why(acme: Tenant, start: Start) -> None:
    olga = make_user(acme, "olga")
    olga.password = PBKDF2PasswordHasher().encode("right", "salt", 1000)  # the server lacks the tests' fast hasher
    olga.save()
    server = start(REDIS_URL=f"redis://127.0.0.1:{free_port()}/0", METRICS_TOKEN="watching")
    body = json.dumps({"tenant": acme.slug, "user": "olga", "password": "right"}).encode()
    for _ in range(2):
        with urlopen(
            Request(f"{server.url}/api/login", body, {"Content-Type": "application/json"}), timeout=10
        ) as answer:
            assert json.load(answer)["user"] == "olga"
    assert measured(server, "moat_cache_fallbacks_total") >= 4
    assert server.log.count("cache_down") == 1


def test_what_a_command_in_another_process_writes_reaches_clients(acme: Tenant, start: Start, peer) -> None:
    client = peer(start())
    assert write(acme, "by-a-command") == 1
    client.catch_up_to(acme.cursor + 1)


@pytest.mark.parametrize("kind", ["uvicorn", "daphne"])
def test_sigterm_drains_says_bye_and_ends(acme: Tenant, start: Start, peer, kind: str) -> None:
    server = start(kind)
    client = peer(server)
    (result,) = client.push(insert("a"))
    assert result["status"] == "applied"
    assert server.process is not None
    server.process.terminate()
    assert client.until("bye")["reason"] == "drain"
    assert server.process.wait(20) in (0, -15)
    assert not server.failures()


def test_daphne_bounds_what_a_client_that_does_not_read_is_sent(acme: Tenant, start: Start, peer) -> None:
    """daphne accepts everything at once, so only the window of unconfirmed bytes stops the server."""
    server = start("daphne")
    writer, lazy = peer(server), peer(server)
    before = resident_kib(server)
    for n in range(60):
        writer.push(*(insert(f"job-{n}-{k}", notes="x" * 20_000) for k in range(20)))  # 24 MB in all
    writer.catch_up_to(acme.cursor + 1200)
    assert resident_kib(server) - before < 60_000
    lazy.catch_up_to(acme.cursor + 1200, timeout=60)
    assert len(lazy.lines) == 1200
