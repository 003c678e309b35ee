"""`moat v1 …` against a real server: every command with its JSON, exit codes, and error messages."""

import io
import json
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moat_client.cli.v1 import main
from tenants.models import Tenant
from tenants.tokens import issue_device
from tests.builders import make_user
from tests.contract.replicas import Client
from tests.contract.servers import ServerProcess
from tests.contract.v1_peer import V1Peer

pytestmark = pytest.mark.contract
Moat = Callable[..., tuple[int, str, str]]


@pytest.fixture
def moat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Moat:
    """Run a command on a separate store; return exit code, output, and errors."""
    monkeypatch.setenv("MOAT_V1_DB", str(tmp_path / "store.db"))
    monkeypatch.delenv("MOAT_V1_TOKEN", raising=False)

    def run(*arguments: str, given: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(given))
        code = main(arguments)
        out, errors = capsys.readouterr()
        return code, out, errors

    return run


@pytest.fixture
def where(tenant: Tenant, server: ServerProcess, tmp_path: Path) -> list[str]:
    issued = issue_device(tenant, make_user(tenant), "cli")
    (tmp_path / "token").write_text(f"{issued.token}\n")
    return [
        "--url",
        server.url,
        "--db-id",
        tenant.slug,
        "--device",
        issued.device.pk,
        "--token-file",
        str(tmp_path / "token"),
    ]


def read(answer: tuple[int, str, str]) -> Any:
    assert answer[0] == 0, answer
    return json.loads(answer[1])


def test_a_day_with_the_command_line(
    moat: Moat, where: list[str], tenant: Tenant, server: ServerProcess, tmp_path: Path
) -> None:
    token = ["--token-file", str(tmp_path / "token")]
    assert moat("put", "jobs", "a", "title=A", "crew:=3")[0] == 0
    assert read(moat("put", "jobs", "b", "-", "--json", given='{"title": "B", "attrs": {"k": [1]}}')) == {
        "collection": "jobs", "id": "b", "version": 1,
    }  # fmt: skip
    assert moat("sync", *where) == (0, "Pulled 0, pushed 2, 0 conflicts. Cursor 5.\n", "")
    assert read(moat("get", "jobs", "b", "--json")) == {"title": "B", "attrs": {"k": [1]}}
    assert [each["id"] for each in read(moat("get", "jobs", "--json"))] == ["a", "b"]
    issued = issue_device(tenant, make_user(tenant), "other")
    other = V1Peer(server.port, tenant.slug, issued.device.pk, issued.token)
    other.push(other.op("jobs", "a", 2, {"title": "theirs"}), other.op("jobs", "c", 1, {"title": "C"}))
    other.close()
    moat("put", "jobs", "a", "title=mine")
    assert read(moat("sync", *token, "--json")) == {"pulled": 2, "pushed": 0, "conflicts": 1, "refused": 0, "cursor": 7}
    assert read(moat("conflicts", "--json")) == [
        {"collection": "jobs", "id": "a", "outcome": "theirs", "mine": {"title": "mine"}, "theirs": {"title": "theirs"}}
    ]
    assert moat("rm", "jobs", "b") == (0, "Deleted b.\n", "")
    moat("put", "jobs", "d", "crew=many")
    moat("put", "nowhere", "e", "k=v")
    code, out, errors = moat("sync", *token)
    assert (code, out) == (5, "Pulled 0, pushed 1, 0 conflicts. Cursor 8.\n")
    assert errors == "Rejected by the server: 2. Run: moat v1 conflicts\n"
    status = read(moat("status", "--json"))
    assert (status["pending"], status["refused"], status["conflicts"], status["cursor"]) == (0, 2, 1, 8)
    assert (status["url"], status["db_id"], status["collections"]) == (server.url, tenant.slug, ["jobs", "nowhere"])
    assert read(moat("conflicts", "--clear", "--json")) == {"cleared": 3}
    assert moat("conflicts")[1] == "No conflicts and no rejected ops.\n"
    assert [each["id"] for each in read(moat("get", "jobs", "--json"))] == ["a", "c"]
    assert moat("sync", *token)[0] == 0


def test_every_error_is_a_sentence(moat: Moat, where: list[str], tmp_path: Path) -> None:
    def fails(code: int, text: str, *arguments: str, given: str = "") -> None:
        found, out, errors = moat(*arguments, given=given)
        assert (found, out) == (code, ""), errors
        assert text in errors
        found, _, errors = moat(*arguments, "--json", given=given)
        assert (found, set(json.loads(errors)) >= {"error", "message"}) == (code, True)

    fails(1, "No store at", "status")
    fails(2, "Missing: --url, --db-id, --device, a token", "sync")
    fails(2, "Can't read", "sync", *where[:-1], str(tmp_path / "nothing"))
    fails(2, "'bad' is not in the form field=value", "put", "jobs", "a", "bad")
    fails(2, "n: 'x' is not valid JSON", "put", "jobs", "a", "n:=x")
    fails(2, "exceeds 64 bits", "put", "jobs", "a", "n:=99999999999999999999")
    fails(2, "standard input: ", "put", "jobs", "a", "-", given='{"a"')
    fails(2, "must contain a JSON object", "put", "jobs", "a", "-", given="[1]")
    fails(1, "a not found in jobs", "get", "jobs", "a")
    fails(1, "a not found in jobs", "rm", "jobs", "a")
    fails(3, "Can't reach the server", "sync", "--url", "http://127.0.0.1:9", *where[2:])
    fails(1, "must use https", "sync", "--url", "http://192.0.2.1", *where[2:])
    assert read(moat("status", "--json"))["url"] is None, "a setting that did not work was remembered"
    assert moat("sync", *where)[0] == 0
    (tmp_path / "bad token").write_text("moat_x")
    fails(1, "The token is not valid", "sync", "--token-file", str(tmp_path / "bad token"))
    fails(1, "belongs to device", "sync", *where[:5], "other", *where[6:])
    (tmp_path / "text").write_text("no database " * 100)
    fails(1, "is not a moat v1 store", "status", "--db", str(tmp_path / "text"))
    sqlite3.connect(tmp_path / "other.db").executescript("CREATE TABLE t (a)").connection.close()
    fails(1, "is not a moat v1 store", "status", "--db", str(tmp_path / "other.db"))
    fails(1, "unable to open", "put", "a", "b", "--db", str(tmp_path / "no folder" / "x.db"))


def test_watch_reports_events_and_sends_what_another_process_writes(
    moat: Moat, where: list[str], tenant: Tenant, server: ServerProcess, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "moat_client", "v1", "watch", *where]
    watcher = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines: list[str] = []
    read_line = watcher.stdout.readline  # type: ignore[union-attr]
    reader = threading.Thread(target=lambda: lines.extend(iter(read_line, "")))
    reader.start()
    try:
        moat("put", "jobs", "a", "title=A")
        _until(lambda: "Pushed 1.\n" in lines)
        live = Client(tenant, server.url, tmp_path / "live.db").sync()
        live.replica.update("jobs", "a", {"title": "live"})
        live.sync()
        _until(lambda: "Pulled 1.\n" in lines)
        live.replica.close()
        assert read(moat("get", "jobs", "a", "--json"))["title"] == "live"
    finally:
        watcher.kill()
        reader.join(10)
        watcher.communicate()


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
