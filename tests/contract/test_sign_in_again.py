"""A replica whose device was revoked signs in again as the same device, and its accepted ops stay known."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.utils import timezone

from moat_client.login import login, remember_login
from moat_client.replica import Replica
from moat_client.sync import Sync
from sync.models import Change
from tenants.models import Device, Tenant
from tenants.tokens import revoke
from tests.builders import make_user
from tests.contract.peer import Peer
from tests.contract.servers import ServerProcess

pytestmark = pytest.mark.contract


def test_an_op_whose_ack_was_lost_before_a_revocation_is_not_applied_twice(
    server: ServerProcess, tenant: Tenant, tmp_path: Path
) -> None:
    """The duplicate is found by the log or, if the replica receives rows instead, by op_id."""
    user = make_user(tenant, "wanda")
    user.password = PBKDF2PasswordHasher().encode(
        "secret", "a salt of its own"
    )  # the server uses another password hasher than the tests
    user.save()

    def sign_in(replica: Replica) -> dict[str, str]:
        found = login(server.url, tenant=tenant.slug, user="wanda", password="secret", replica=replica)
        remember_login(replica, url=server.url, tenant=tenant.slug, user="wanda", **found)
        return found

    with Replica.open(tmp_path / "replica.db") as replica:
        first = sign_in(replica)
        sync = Sync(replica, server.url, **first)
        asyncio.run(sync.once(within=60))
        job = replica.insert("jobs", {"title": "mine"})
        # The op reaches the server, but the response does not reach the replica.
        with Peer(server.port, first["device"], first["token"]).at(tenant) as wire:
            wire.hello()
            (taken,) = wire.push(wire.op("jobs", job, "insert", {"title": "mine"}))
            assert taken["status"] == "applied"
        revoke(Device.objects.get(pk=first["device"]))
        Device.objects.filter(pk=first["device"]).update(
            revoked_at=timezone.now() - timedelta(minutes=1)
        )  # the device's connections are all closed
        again = sign_in(replica)
        assert again["device"] == first["device"]
        assert Device.objects.filter(tenant=tenant, user=user).count() == 1
        status = asyncio.run(Sync(replica, server.url, **again).once(within=60, reset=True))
        assert status.pending == 0
        assert [record["title"] for record in replica.find("jobs")] == ["mine"]
        assert not replica.conflicts()
        replica.update("jobs", job, {"title": "later"})
        assert asyncio.run(Sync(replica, server.url, **again).once(within=60)).pending == 0
    changes = (
        Change.objects.filter(tenant=tenant, table_name="jobs")
        .order_by("cursor")
        .values_list("device_id", "op_id", "version")
    )
    assert list(changes) == [(first["device"], 1, 1), (first["device"], 2, 2)]
