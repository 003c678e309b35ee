"""Two v1 devices and a live replica converge although messages are lost, repeated, or late."""

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from moat_client.errors import Unreachable
from moat_client.v1 import Config, EntityStore, SyncEngine, field_merge, last_write_wins, server_wins
from moat_client.v1.http import Http
from sync.log.verify import verify_log
from sync.models import Change, Conflict
from tenants.models import Tenant
from tenants.tokens import issue_device
from tests.builders import make_user
from tests.contract.replicas import Client, verify_replica
from tests.contract.servers import ServerProcess

pytestmark = [pytest.mark.contract, pytest.mark.slow]
WORDS = ("oak", "elm", "ash", "fir", "yew")


def patiently(work: Callable[[], Any]) -> None:
    """Do some work, and retry it while the server is busy."""
    deadline = time.monotonic() + 60
    while True:
        try:
            work()
        except Unreachable as problem:
            if time.monotonic() > deadline:
                raise
            time.sleep(problem.retry_after or 0.5)
        else:
            return


class UnluckyHttp(Http):
    """Loses requests or responses, sends requests twice, and sends old ones again much later in random order."""

    def __init__(self, url: str, token: str, rng: random.Random) -> None:
        super().__init__(url, lambda: token)
        self.rng: random.Random | None = rng
        self.held: list[tuple[str, dict[str, Any]]] = []

    def call(self, path: str, message: dict[str, Any]) -> dict[str, Any]:
        fate = 1.0 if self.rng is None else self.rng.random()
        if fate < 0.12:
            raise Unreachable("The request was lost.")
        if fate < 0.24:
            self.held.append((path, message))
            raise Unreachable("The request is late.")
        if fate < 0.36:
            super().call(path, message)
            raise Unreachable("The answer was lost.")
        if fate < 0.48:
            super().call(path, message)
        return super().call(path, message)

    def late(self) -> None:
        """Deliver the delayed requests."""
        if self.rng is not None:
            self.rng.shuffle(self.held)
        while self.held:
            path, message = self.held.pop()
            patiently(lambda path=path, message=message: super(UnluckyHttp, self).call(path, message))


class Device:
    """A v1 store and its engine."""

    def __init__(self, tenant: Tenant, server: ServerProcess, path: Path, rng: random.Random) -> None:
        issued = issue_device(tenant, make_user(tenant), path.stem)
        self.calls = UnluckyHttp(server.url, issued.token, rng)
        self.store = EntityStore(path)
        config = Config(server.url, tenant.slug, issued.device.pk, lambda: issued.token, collections=("jobs",))
        resolver = rng.choice((server_wins, last_write_wins, field_merge))
        self.engine = SyncEngine(self.store, config, resolver=resolver, calls=self.calls)

    def sync(self) -> None:
        with contextlib.suppress(Unreachable):
            self.engine.sync()

    def jobs(self) -> dict[str, dict[str, Any]]:
        return dict(self.store.collection("jobs").items())


class World:
    """Two v1 devices and a replica, driven by a random number generator."""

    def __init__(self, tenant: Tenant, server: ServerProcess, folder: Path, seed: int) -> None:
        self.tenant, self.rng = tenant, random.Random(seed)
        self.devices = [Device(tenant, server, folder / f"v1-{n}.db", self.rng) for n in range(2)]
        self.live = Client(tenant, server.url, folder / "live.db").sync()
        self.ids = [f"job-{n}" for n in range(5)]
        self.inserted: set[str] = set()
        self.count = 0

    def step(self) -> None:
        self.count += 1
        self.rng.choice(
            (
                self.edit,
                self.edit,
                self.edit,
                self.edit_live,
                self.edit_live,
                self.sync,
                self.sync,
                self.sync_live,
                self.late,
            )
        )()

    def edit(self) -> None:
        device, record = self.rng.choice(self.devices), self.rng.choice(self.ids)
        jobs = device.store.collection("jobs")
        before = jobs.get(record)
        if before is not None and self.rng.random() < 0.2:
            jobs.delete(record)
        else:
            kept = before if before is not None and self.rng.random() < 0.7 else {"title": "new"}
            jobs.put(
                record,
                {
                    **kept,
                    self.rng.choice(("title", "notes")): f"{self.rng.choice(WORDS)} {self.count}",
                    "own": self.count,
                },
            )

    def edit_live(self) -> None:
        replica, record = self.live.replica, self.rng.choice(self.ids)
        if replica.get("jobs", record) is None:
            if record not in self.inserted:
                self.inserted.add(record)
                replica.insert("jobs", {"title": f"live {self.count}"}, record_id=record)
        elif self.rng.random() < 0.2:
            replica.delete("jobs", record)
        else:
            replica.update(
                "jobs",
                record,
                {self.rng.choice(("title", "notes")): f"live {self.count}", "crew": self.rng.randrange(5)},
            )

    def sync(self) -> None:
        self.rng.choice(self.devices).sync()

    def sync_live(self) -> None:
        self.live.sync()

    def late(self) -> None:
        self.rng.choice(self.devices).calls.late()

    def settle(self) -> None:
        """With a working network, resolve every open conflict and sync all devices until nothing changes."""
        for device in self.devices:
            device.calls.late()
            device.calls.rng = None
        for _ in range(8):
            for device in self.devices:
                patiently(device.engine.sync)
            self.live.sync()
            for problem in self.live.replica.conflicts():
                if problem.state == "conflict":
                    self.live.replica.resolve(problem.n, self.rng.choice(("mine", "theirs")))
                else:
                    self.live.replica.discard(problem.n)
            self.live.sync()
            if not self.live.replica.conflicts():
                break
        for device in self.devices:
            patiently(device.engine.sync)

    def close(self) -> None:
        self.live.replica.close()
        for device in self.devices:
            device.store.close()


@pytest.fixture(params=range(6))
def world(request: pytest.FixtureRequest, tenant: Tenant, server: ServerProcess, tmp_path: Path) -> Iterator[World]:
    made = World(tenant, server, tmp_path, request.param)
    yield made
    made.close()


def test_two_v1_devices_and_a_live_replica_converge(world: World, tmp_path: Path) -> None:
    for _ in range(50):
        world.step()
    world.settle()
    one, two = (device.jobs() for device in world.devices)
    assert one == two
    rows = {row["id"]: row for row in world.live.replica.find("jobs")}
    assert rows.keys() == one.keys()
    for record, document in one.items():
        shown = {name: rows[record][name] for name in ("title", "notes", "crew")}
        assert shown == {
            "notes": None,
            "crew": 1,
            **{name: value for name, value in document.items() if name in shown},
        }, record
    for device in world.devices:
        assert device.store.counts().pending == device.store.counts().refused == 0
        sent = list(
            Change.objects.filter(tenant=world.tenant, device_id=device.engine.config.device_id).values_list(
                "op_id", flat=True
            )
        )
        assert len(sent) == len(set(sent)), "an op was applied twice"
    assert not Conflict.objects.filter(
        tenant=world.tenant, state=Conflict.State.OPEN, device_id=world.live.device
    ).exists()
    assert not verify_log(world.tenant.pk).problems
    verify_replica(world.live, tmp_path)
