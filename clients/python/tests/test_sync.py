"""The driver over real sockets: once, run, reconnect, two clients, locks between two processes."""

import asyncio
import json
import time
from pathlib import Path

import pytest
from fake_server import FakeServer, login_server

from moat_client import Hooks, LoginFailed, MoatError, Replica, State, Stopped, Sync, Unreachable, login, remember_login
from moat_client.cli.main import main
from moat_client.net.urls import base_url, socket_url
from moat_client.sync import other_sync


def member(server: FakeServer, path: Path, device: str = "d1") -> Replica:
    replica = Replica.open(path)
    remember_login(replica, url=server.url, tenant="acme", user="u", device=device, token=f"token-{device}")
    return replica


@pytest.fixture
def replica(server: FakeServer, tmp_path: Path):
    with member(server, tmp_path / "a.db") as made:
        yield made


async def until(condition, seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.01)


async def test_once_catches_up_pushes_and_returns(server: FakeServer, replica: Replica) -> None:
    status = await Sync(replica).once(within=20)
    assert (status.cursor, status.pending) == (server.tenant.cursor, 0)
    replica.update("jobs", "job-1", {"title": "pushed"})
    status = await Sync(replica).once(within=20)
    assert status.pending == 0
    assert server.tenant.records["jobs"]["job-1"]["title"] == "pushed"


async def test_an_edit_in_one_client_appears_in_the_other_live(
    server: FakeServer, replica: Replica, tmp_path: Path
) -> None:
    with member(server, tmp_path / "b.db", "d2") as other:
        seen = []
        one, two = Sync(replica), Sync(other, hooks=Hooks(on_change=seen.append))
        running = [asyncio.create_task(one.run()), asyncio.create_task(two.run())]
        await until(lambda: one.status.state is State.LIVE and two.status.state is State.LIVE)
        replica.update("jobs", "job-2", {"title": "hello"})
        await until(lambda: other.get("jobs", "job-2")["title"] == "hello")
        await until(lambda: replica.status().pending == 0)
        assert [(line.id, line.op, line.device) for line in seen][-1] == ("job-2", "update", "d1")
        one.stop()
        two.stop()
        await asyncio.gather(*running)
        assert one.status.state is State.STOPPED


async def test_a_server_that_goes_away_is_found_again_and_offline_edits_arrive(
    server: FakeServer, replica: Replica
) -> None:
    states = []
    sync = Sync(replica, hooks=Hooks(on_status=lambda s: states.append(s.state)))
    running = asyncio.create_task(sync.run())
    await until(lambda: sync.status.state is State.LIVE)
    await asyncio.to_thread(server.stop)
    await until(lambda: sync.status.state is State.OFFLINE)
    replica.update("jobs", "job-1", {"title": "made offline"})
    await asyncio.to_thread(server.start)
    await until(lambda: server.tenant.records["jobs"]["job-1"]["title"] == "made offline")
    await until(lambda: replica.status().pending == 0)
    sync.stop()
    await running
    assert State.CONNECTING in states


async def test_once_without_a_server_says_so_at_once_and_keeps_the_edit(server: FakeServer, replica: Replica) -> None:
    await Sync(replica).once(within=20)
    replica.update("jobs", "job-1", {"title": "kept"})
    await asyncio.to_thread(server.stop)
    with pytest.raises(Unreachable):
        await Sync(replica).once()
    with pytest.raises(Unreachable):
        await Sync(replica).once(within=0.7)
    assert replica.status().pending == 1
    assert replica.get("jobs", "job-1")["title"] == "kept"


async def test_a_wrong_token_raises_stopped(server: FakeServer, replica: Replica) -> None:
    with pytest.raises(Stopped) as stopped:
        await Sync(replica, token="wrong").once(within=20)
    assert stopped.value.code == "bad_token"


async def test_verify_and_snapshot_over_sockets(server: FakeServer, replica: Replica) -> None:
    server.tenant.prefer_snapshot = True
    for n in range(400):
        server.do(server.tenant.change, "jobs", f"s-{n}", "insert", {"title": "x" * 50})
    percent = []
    verified = await Sync(replica, hooks=Hooks(on_status=lambda s: percent.append(s.percent))).verify(within=20)
    assert (verified.differing, verified.records) == ((), 406)
    assert max(percent) > 10
    assert percent == sorted(percent[: percent.index(max(percent)) + 1]) + percent[percent.index(max(percent)) + 1 :]


async def test_while_one_sync_runs_another_uses_it_through_the_file(server: FakeServer, replica: Replica) -> None:
    sync = Sync(replica)
    running = asyncio.create_task(sync.run())
    await until(lambda: sync.status.state is State.LIVE)
    with Replica.open(replica.path) as second:  # as another process would
        with pytest.raises(MoatError, match="already"):
            await Sync(second).run()
        await until(lambda: other_sync(second)["state"] == "live")
        second.update("jobs", "job-3", {"title": "by the other"})
        status = await Sync(second).once(within=20)
        assert status.pending == 0
        assert server.tenant.records["jobs"]["job-3"]["title"] == "by the other"
        assert (await Sync(second).verify(within=20)).differing == ()
        assert second.recent_changes(limit=1)[0].id == "job-3"
    sync.stop()
    await running
    assert other_sync(replica) == {}


async def test_a_live_query_follows_local_and_remote_changes(server: FakeServer, replica: Replica) -> None:
    sync = Sync(replica)
    running = asyncio.create_task(sync.run())
    await until(lambda: sync.status.state is State.LIVE)
    seen = []

    def note(rows) -> None:
        seen.append(rows[0]["title"])

    async def watch() -> None:
        async for rows in replica.watch("SELECT title FROM jobs WHERE id = 'job-1'"):
            note(rows)

    watching = asyncio.create_task(watch())
    await until(lambda: seen == ["Job 1"])
    replica.update("jobs", "job-1", {"title": "mine"})
    await until(lambda: seen[-1] == "mine")
    await until(lambda: replica.status().pending == 0)
    server.do(server.tenant.change, "jobs", "job-1", "update", [{"op": "replace", "path": "/title", "value": "theirs"}])
    await until(lambda: seen[-1] == "theirs")
    assert seen == ["Job 1", "mine", "theirs"]
    watching.cancel()
    sync.stop()
    await running


def test_login_sends_what_the_server_wants_and_keeps_the_token(tmp_path: Path) -> None:
    seen: list = []
    with login_server((200, {"device": "d9", "token": "secret"}, {}), seen) as url:
        found = login(url, tenant="acme", user="olga", password="pw", device_name="laptop")
    assert found == {"device": "d9", "token": "secret"}
    assert seen == [("/api/login", {"tenant": "acme", "user": "olga", "password": "pw", "device": "laptop"})]


def test_login_errors_are_distinguished() -> None:
    with (
        login_server((401, {"code": "bad_login", "message": "Tenant, user or password is wrong."}, {}), []) as url,
        pytest.raises(LoginFailed, match="wrong"),
    ):
        login(url, tenant="a", user="b", password="c")
    with login_server((429, {}, {"Retry-After": "7"}), []) as url, pytest.raises(Unreachable) as late:
        login(url, tenant="a", user="b", password="c")
    assert late.value.retry_after == 7
    with pytest.raises(Unreachable):
        login("http://127.0.0.1:9", tenant="a", user="b", password="c")
    with pytest.raises(MoatError, match="valid server URL"):
        login("ftp://x", tenant="a", user="b", password="c")


def test_addresses() -> None:
    assert base_url("localhost:8000/") == "http://localhost:8000"
    assert base_url("[::1]:8000") == "http://[::1]:8000"
    assert base_url("moat.example") == "https://moat.example"
    assert base_url("192.168.1.7:8000/sub/") == "https://192.168.1.7:8000/sub"
    assert base_url("http://moat.example") == "http://moat.example"
    assert socket_url("https://moat.example/sub/") == "wss://moat.example/sub/ws/sync"


def test_a_replica_keeps_to_its_tenant_and_remembers_its_former_devices(server: FakeServer, tmp_path: Path) -> None:
    with member(server, tmp_path / "c.db") as replica:
        asyncio.run(Sync(replica).once(within=20))
        with pytest.raises(MoatError, match="belongs to tenant acme"):
            remember_login(replica, url=server.url, tenant="other", user="u", device="d2", token="t")
        remember_login(replica, url=server.url, tenant="acme", user="u", device="d2", token="token-d2")
        with replica.store.read() as (con, _):
            assert con.execute("SELECT value FROM device_state WHERE key = 'past_devices'").fetchone()[0] == '["d1"]'


FAR = "http://moat.example"


def test_a_password_and_a_token_do_not_travel_in_the_clear(tmp_path: Path) -> None:
    replica = Replica.open(tmp_path / "a.db")
    with pytest.raises(MoatError) as refused:
        login(FAR, tenant="a", user="b", password="c")
    assert refused.value.code == "insecure" and "--insecure" in str(refused.value)
    given = {"tenant": "a", "user": "u", "device": "d", "token": "t"}
    with pytest.raises(MoatError, match="isn't encrypted"):
        remember_login(replica, url=FAR, **given)
    assert not replica.status().device
    remember_login(replica, url=FAR, insecure=True, **given)
    assert Sync(replica)._url == "ws://moat.example/ws/sync"  # as signed in, also by an earlier version
    assert Sync(replica, FAR)
    with pytest.raises(MoatError, match="isn't encrypted"):
        Sync(replica, "http://other.example")
    for near in ("localhost:8000", "http://127.0.0.1:8000", "http://[::1]:8000"):
        remember_login(replica, url=near, **given)
    replica.close()


def test_the_command_line_refuses_before_it_asks_for_a_password(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moat_client.cli.syncing._password", lambda _: pytest.fail("asked for a password"))
    command = ["login", FAR, "--tenant", "a", "--user", "u", "--db", str(tmp_path / "a.db"), "--json"]
    assert main(command) == 1
    assert json.loads(capsys.readouterr().err)["error"] == "insecure"
    assert main([*command, "--insecure", "--token", "t", "--device", "d"]) == 0
