"""I9: replicas of a channel become equal after any order of events, and no edit is lost silently."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from metadata.models import ObjectField, ObjectMetadata
from metadata.publish import publish
from sync.models import Change, Conflict
from sync.settle.push import push
from sync.wire.ops import Actor, Op
from tenants.models import Tenant
from tests.contract.replicas import Client, content, verify_replica
from tests.contract.servers import ServerProcess

pytestmark = pytest.mark.contract

WORDS = ("oak", "elm", "ash", "fir", "yew")


class World:
    """Three replicas, a server and an admin, driven by a random number generator."""

    def __init__(self, tenant: Tenant, server: ServerProcess, folder: Path, rng: random.Random) -> None:
        self.tenant, self.rng, self.fields = tenant, rng, 0
        self.clients = [Client(tenant, server.url, folder / f"replica-{n}.db").sync() for n in range(3)]
        self.ids = [f"job-{n}" for n in range(6)]
        self.offline_inserts: set[str] = set()

    def edit(self) -> None:
        replica = self.rng.choice(self.clients).replica
        record, word = self.rng.choice(self.ids), self.rng.choice(WORDS)
        if replica.get("jobs", record) is None:
            if record not in self.offline_inserts:
                self.offline_inserts.add(record)
                replica.insert("jobs", {"title": word, "attrs": {"tree": word}, "price": "1.50"}, record_id=record)
            return
        changes = self.rng.choice(
            (
                {"title": word},
                {"notes": word, "crew": self.rng.randrange(5)},
                {"attrs": {"tree": word, self.rng.choice(WORDS): self.rng.random()}},
                {"price": f"{self.rng.randrange(100)}.25", "urgent": self.rng.random() < 0.5},
                {"status": self.rng.choice(("open", "done"))},
            )
        )
        replica.update("jobs", record, changes)

    def delete(self) -> None:
        replica = self.rng.choice(self.clients).replica
        record = self.rng.choice(self.ids)
        if replica.get("jobs", record) is not None:
            replica.delete("jobs", record)

    def transact(self) -> None:
        replica = self.rng.choice(self.clients).replica
        with replica.transaction() as tx:
            customer = tx.insert("customers", {"name": self.rng.choice(WORDS)})
            job = tx.insert("jobs", {"title": "with customer", "customer": customer})
            tx.insert("line_items", {"job": job, "quantity": self.rng.randrange(9)})

    def edit_on_the_server(self) -> None:
        record = self.rng.choice(self.ids)
        versions = Change.objects.filter(tenant=self.tenant, table_name="jobs", record_id=record).values_list(
            "version", flat=True
        )
        patch = [{"op": "replace", "path": "/notes", "value": f"office {self.rng.choice(WORDS)}"}]
        op = Op(
            op_id=1,
            tx=None,
            table="jobs",
            id=record,
            op="update",
            base_version=max(versions, default=0),
            payload=patch,
            at=None,
            settles=None,
        )
        push(Actor(tenant_id=self.tenant.pk, by="office"), [op])

    def publish(self) -> None:
        self.fields += 1
        job = ObjectMetadata.objects.get(tenant=self.tenant, object_name="job")
        about = {"default": "new"} if self.rng.random() < 0.5 else {}
        ObjectField.objects.create(
            object_type=job, position=50 + self.fields, name=f"extra_{self.fields}", kind="text", label="Extra", **about
        )
        publish(self.tenant.pk)

    def reconnect(self) -> None:
        self.rng.choice(self.clients).sync()

    def crash(self) -> None:
        self.rng.choice(self.clients).reopen()

    def step(self) -> None:
        actions = (
            (self.edit,) * 8
            + (self.reconnect,) * 4
            + (self.edit_on_the_server,) * 2
            + (self.delete, self.transact, self.publish, self.crash)
        )
        self.rng.choice(actions)()

    def settle(self) -> None:
        """Resolve every open conflict and rejection, then sync all replicas until nothing changes."""
        for _ in range(6):
            for client in self.clients:
                client.sync()
                for problem in client.replica.conflicts():
                    if problem.state == "conflict":
                        client.replica.resolve(problem.n, self.rng.choice(("mine", "theirs")))
                    else:
                        client.replica.discard(problem.n)
                client.sync()
            if not any(client.replica.conflicts() for client in self.clients):
                break
        for client in self.clients:
            client.sync()


@pytest.fixture(params=[1, 2, 3])
def world(request: pytest.FixtureRequest, tenant: Tenant, server: ServerProcess, tmp_path: Path) -> Iterator[World]:
    made = World(tenant, server, tmp_path, random.Random(request.param))
    yield made
    for client in made.clients:
        client.replica.close()


@pytest.mark.slow
def test_i9_replicas_converge_under_random_edits_disconnects_and_publishes(world: World, tmp_path: Path) -> None:
    for _ in range(60):
        world.step()
    world.settle()
    contents = [content(client.path) for client in world.clients]
    for other in contents[1:]:
        assert other.keys() == contents[0].keys()
        for name in other:
            assert other[name] == contents[0][name], name
    assert not Conflict.objects.filter(tenant=world.tenant, state=Conflict.State.OPEN).exists()
    verify_replica(world.clients[0], tmp_path)
