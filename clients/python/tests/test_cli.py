"""The command `moat` as people and programs run it; in processes of its own where that matters."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_server import FakeServer

from moat_client.cli.main import main, parser

ROOT = Path(__file__).parents[1]


class Shell:
    def __init__(self, server: FakeServer, db: Path) -> None:
        self.server, self.db = server, db
        self.env = {**os.environ, "MOAT_DB": str(db), "PYTHONPATH": str(ROOT)}
        self.running: list[subprocess.Popen] = []

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run a command in this process (starting one costs more than all the rest)."""
        out, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            got = main([arguments[0], "--db", str(self.db), *arguments[1:]])
        self.errors = errors.getvalue()
        assert got == code, (arguments, got, out.getvalue(), self.errors)
        return out.getvalue()

    def json(self, *arguments: str, code: int = 0):
        return json.loads(self.run(*arguments, "--json", code=code))

    def start(self, *arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "moat_client", *arguments]
        process = subprocess.Popen(command, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.running.append(process)
        return process

    def close(self) -> None:
        for process in self.running:
            process.kill()
            process.communicate()


@pytest.fixture
def shell(server: FakeServer, tmp_path: Path):
    made = Shell(server, tmp_path / "cli.db")
    made.run("login", server.url, "--tenant", "acme", "--user", "u", "--token", "token-d1", "--device", "d1")
    yield made
    made.close()


def test_a_replica_is_made_read_and_written_and_pushed(shell: Shell) -> None:
    assert "cursor 6" in shell.run("sync", "--once")
    assert [o["table_name"] for o in shell.json("objects")] == ["jobs"]
    assert [
        r["id"] for r in shell.json("ls", "jobs", "--where", "price__gte=1.5", "--order", "-id", "--limit", "2")
    ] == ["job-4", "job-3"]
    assert shell.json("get", "jobs", "job-1")["price"] == "1.50"
    added = shell.run("add", "jobs", "title=New one", "price=12.5", "done=yes", 'attrs:={"a": [1]}').strip()
    assert shell.json("get", "jobs", added) | {"version": 0} == {
        "id": added,
        "version": 0,
        "object_type": None,
        "status": None,
        "title": "New one",
        "price": "12.50",
        "attrs": {"a": [1]},
        "done": True,
    }
    assert shell.json("set", "jobs", "job-1", "title=changed", "done=")["title"] == "changed"
    shell.run("rm", "jobs", "job-2")
    assert shell.json("status")["pending"] == 3
    assert shell.json("sync", "--once")["pending"] == 0
    records = shell.server.tenant.records["jobs"]
    assert records[added]["attrs"] == {"a": [1]}
    assert records["job-1"]["title"] == "changed"
    assert "job-2" not in records
    assert shell.json("verify") == {"cursor": 9, "records": 6, "equal": True, "repaired": []}
    assert len(shell.run("export").splitlines()) == 5
    assert (
        shell.run("export", "jobs", "--format", "csv").splitlines()[0]
        == "id,version,object_type,status,title,price,attrs,done"
    )


def test_reads_and_writes_need_no_server_and_sync_says_what_is_missing(shell: Shell) -> None:
    shell.run("sync")
    shell.server.stop()
    shell.run("set", "jobs", "job-1", "title=offline")
    assert shell.json("get", "jobs", "job-1")["title"] == "offline"
    shell.run("sync", "--once", code=3)
    assert "Can't reach the server" in shell.errors
    assert shell.json("status")["pending"] == 1
    shell.server.start()
    shell.run("sync", "--once", "--timeout", "20")
    assert shell.json("status")["pending"] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["set", "jobs", "job-1", "price=abc"], 2, "not a decimal"),
        (["set", "jobs", "job-1", "nope=1"], 2, "no field"),
        (["set", "jobs", "job-1", "title"], 2, "not in the form field=value"),
        (["set", "jobs", "job-1", "attrs:={"], 2, "not valid JSON"),
        (["set", "jobs", "nope", "title=x"], 2, "No record"),
        (["ls", "nothing"], 2, "no table"),
        (["ls", "jobs", "--where", "price__near=1"], 2, "unknown condition"),
        (["get", "jobs", "nope"], 2, "No record"),
        (["resolve", "9", "--mine"], 1, "No problem number 9"),
        (["retry", "9"], 1, "No problem number 9"),
        (["discard", "9"], 1, "No problem number 9"),
        (["export", "--format", "csv", "jobs", "jobs"], 2, "one table"),
    ],
)
def test_mistakes_are_explained_and_write_nothing(shell: Shell, arguments: list[str], code: int, says: str) -> None:
    shell.run("sync")
    shell.run(*arguments, code=code)
    assert says in shell.errors
    assert json.loads((shell.run(*arguments, "--json", code=code), shell.errors)[1])["message"]
    assert shell.json("status")["pending"] == 0


def test_a_conflict_is_shown_and_resolved(shell: Shell) -> None:
    shell.run("sync")
    shell.run("set", "jobs", "job-1", "title=mine")
    shell.server.do(
        shell.server.tenant.change, "jobs", "job-1", "update", [{"op": "replace", "path": "/title", "value": "theirs"}]
    )
    shell.run("sync", code=5)
    text = shell.run("conflicts")
    assert all(word in text for word in ("mine", "theirs", "by olga", "moat resolve 1"))
    (problem,) = shell.json("conflicts")
    assert (problem["n"], problem["fields"]) == (1, ["title"])
    shell.run("resolve", "1", "--edit", "title=both")
    shell.run("sync")
    assert shell.server.tenant.records["jobs"]["job-1"]["title"] == "both"
    assert "Nothing needs" in shell.run("conflicts")


def test_a_follower_pushes_what_another_process_writes_and_tail_shows_it(shell: Shell) -> None:
    shell.run("sync")
    follower = shell.start("sync", "--follow", "--json")
    while json.loads(follower.stdout.readline()).get("state") != "live":
        pass
    tail = shell.start("tail", "--json")
    time.sleep(2)
    setter = shell.start("set", "jobs", "job-3", "title=from the shell")
    assert setter.wait(60) == 0
    line = json.loads(tail.stdout.readline())
    assert (line["table"], line["id"], line["device"]) == ("jobs", "job-3", "d1")
    assert shell.server.tenant.records["jobs"]["job-3"]["title"] == "from the shell"
    assert shell.json("sync", "--once")["pending"] == 0
    assert shell.json("verify")["equal"] is True
    assert shell.json("status")["sync"]["state"] == "live"
    shell.server.do(shell.server.tenant.change, "jobs", "job-0", "delete", None)
    assert json.loads(tail.stdout.readline())["op"] == "delete"
    for process in (follower, tail):
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert shell.run("tail", "--once", "--lines", "1").count("\n") == 1


def test_a_reset_starts_over_and_pushes_what_was_pending(shell: Shell) -> None:
    shell.run("sync")
    shell.run("set", "jobs", "job-1", "title=kept")
    shell.server.tenant.epoch = "e" * 32
    shell.run("sync", code=1)
    assert "restored" in shell.errors
    tenant = shell.server.tenant
    tenant.prefer_snapshot = True
    shell.run("sync", "--reset")
    assert tenant.records["jobs"]["job-1"]["title"] == "kept"


def test_nothing_is_made_where_there_is_no_replica(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["status", "--db", str(tmp_path / "none.db")]) == 1
    assert "Sign in first" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_every_command_has_help_with_examples() -> None:
    (commands,) = [a for a in parser()._actions if a.dest == "command"]
    assert len(commands.choices) == 16
    for name, made in commands.choices.items():
        assert f"moat {name}" in made.format_help()
        assert "--json" in made.format_help()
