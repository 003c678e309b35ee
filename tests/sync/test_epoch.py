"""Tests of starting a new epoch of a log after a restore."""

import pytest
from django.core.management import CommandError, call_command

from sync.models import Change
from sync.wire.chain import link
from tenants.genesis import genesis
from tenants.models import Tenant
from tests.sync.live import connected, in_thread, serving, write


def test_the_chain_is_computed_anew_from_the_new_genesis(acme: Tenant, capsys) -> None:
    write(acme, *"abc")
    call_command("new_epoch", tenant=[acme.slug])
    after = Tenant.objects.get(pk=acme.pk)
    assert after.server_epoch != acme.server_epoch
    assert f"{acme.slug}: {after.server_epoch}" in capsys.readouterr().out
    state = genesis(after.server_epoch, after.slug)
    for change in Change.objects.filter(tenant=acme).order_by("cursor"):
        state = link(state, bytes(change.line))
        assert bytes(change.state_hash) == state
    assert bytes(after.state_hash) == state


def test_a_tenant_that_does_not_exist_is_named(db) -> None:
    with pytest.raises(CommandError, match="nobody"):
        call_command("new_epoch", tenant=["nobody"])


async def test_a_client_that_knew_the_old_life_is_told_and_a_new_one_starts_from_the_genesis(
    acme: Tenant, device
) -> None:
    issued = await device()
    await in_thread(write, acme, "a")
    await in_thread(call_command, "new_epoch", all=True)
    async with serving() as port, connected(port, issued) as client:
        assert (await client.at(acme).hello())["chain"] == "epoch"
        await client.say("subscribe", **{**client.state, "server_epoch": "ignored"})
        assert (await client.receive())["code"] == "epoch"
        client.cursor, client.state_hash = 0, ""
        await client.say("subscribe", **client.state)  # the user confirmed the restart: allowed on the same connection
        await client.until("live")
        assert client.cursor == acme.cursor + 1
