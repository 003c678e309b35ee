"""The same scenarios over the WebSocket, over SyncProtocol v1, and between both."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import pytest

from metadata.models import ObjectField, ObjectMetadata
from metadata.publish import publish
from sync.models import Change
from tenants.models import Device, Tenant
from tenants.tokens import issue_device, revoke
from tests.builders import make_user
from tests.contract.servers import ServerProcess
from tests.contract.storms import assert_log_whole, storm_until_killed
from tests.contract.talkers import OverHttp, OverSocket, Talker

pytestmark = pytest.mark.contract
KINDS = {"ws": OverSocket, "http": OverHttp}
Open = Callable[..., Talker]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def opened(stack: ExitStack, kind: str, tenant: Tenant, server: ServerProcess) -> Talker:
    issued = issue_device(tenant, make_user(tenant), kind)
    tenant.refresh_from_db()
    talker: Talker = KINDS[kind](tenant, server.port, issued.device.pk, issued.token)
    stack.callback(talker.close)
    return talker


@pytest.fixture(params=["ws-ws", "http-http", "ws-http", "http-ws"])
def pair(
    request: pytest.FixtureRequest, stack: ExitStack, tenant: Tenant, server: ServerProcess
) -> tuple[Talker, Talker]:
    """Two devices, each with its own protocol."""
    one, two = (opened(stack, kind, tenant, server) for kind in request.param.split("-"))
    return one, two


def test_an_edit_of_one_device_reaches_the_other(pair: tuple[Talker, Talker]) -> None:
    one, two = pair
    assert one.insert("a", {"title": "A", "price": "1.50", "attrs": {"k": [1, None]}}) == "applied"
    assert two.jobs()["a"] == {"title": "A", "price": "1.50", "attrs": {"k": [1, None]}}
    assert two.update("a", {"title": "B", "urgent": True}) == "applied"
    wanted = {"title": "B", "price": "1.50", "attrs": {"k": [1, None]}, "urgent": True}
    assert one.jobs()["a"] == two.jobs()["a"] == wanted


def test_an_op_sent_many_times_is_applied_once(pair: tuple[Talker, Talker], tenant: Tenant) -> None:
    one, two = pair
    for n in range(10):
        one.insert(f"a{n}", {"title": str(n)})
    for _ in range(3):
        assert one.send_again() == {"duplicate"}
    assert len(two.jobs()) == 10
    assert Change.objects.filter(tenant=tenant, table_name="jobs").count() == 10


def test_offline_edits_are_merged(pair: tuple[Talker, Talker]) -> None:
    one, two = pair
    one.insert("a", {"title": "0", "notes": "0"})
    one.jobs()
    two.jobs()
    one.go_offline()
    two.update("a", {"notes": "two"})
    one.reopen()
    assert one.update("a", {"title": "one"}) == "merged"
    assert one.jobs()["a"] == two.jobs()["a"] == {"title": "one", "notes": "two"}


def test_a_record_is_deleted_and_restored(pair: tuple[Talker, Talker]) -> None:
    one, two = pair
    one.insert("a", {"title": "A", "notes": "n"})
    one.jobs()
    assert two.jobs().keys() == {"a"}
    assert two.delete("a") == "applied"
    assert one.jobs() == two.jobs() == {}
    assert one.insert("a", {"title": "again"}) == "applied"
    assert one.jobs() == two.jobs()
    assert two.jobs()["a"]["title"] == "again"
    assert "notes" not in two.jobs()["a"]


def test_a_publish_while_one_is_offline(pair: tuple[Talker, Talker], tenant: Tenant) -> None:
    one, two = pair
    one.insert("a", {"title": "A"})
    one.jobs()
    one.go_offline()
    job = ObjectMetadata.objects.get(tenant=tenant, object_name="job")
    ObjectField.objects.create(object_type=job, position=99, name="added", kind="text", label="Added", default="new")
    publish(tenant.pk)
    two.jobs()
    assert two.update("a", {"added": "by two"}) == "applied"
    one.reopen()
    assert one.update("a", {"title": "one"}) == "merged"
    wanted = {"title": "one", "added": "by two"}
    assert one.jobs()["a"] == two.jobs()["a"] == wanted


def test_a_revoked_device_is_rejected_and_the_other_continues(pair: tuple[Talker, Talker]) -> None:
    one, two = pair
    assert one.is_let_in()
    revoke(Device.objects.get(pk=one.device))
    assert not one.is_let_in()
    assert two.insert("a", {"title": "A"}) == "applied"


def test_tenants_do_not_see_each_other(
    pair: tuple[Talker, Talker], stack: ExitStack, server: ServerProcess, other_tenant: Tenant
) -> None:
    one, two = pair
    strangers = [opened(stack, kind, other_tenant, server) for kind in KINDS]
    one.insert("a", {"title": "secret"})
    assert two.jobs().keys() == {"a"}
    for stranger in strangers:
        assert stranger.jobs() == {}
    strangers[0].insert("a", {"title": "mine"})
    assert one.jobs()["a"]["title"] == "secret"
    assert strangers[1].jobs()["a"]["title"] == "mine"


@pytest.mark.slow
def test_nothing_acked_is_lost_when_the_server_is_killed(
    stack: ExitStack, tenant: Tenant, own_server: ServerProcess
) -> None:
    """Both protocols are used at once. Every acked op is applied once, and all devices see the same records."""
    acked: list[str] = []
    for round_ in range(3):
        talkers = [opened(stack, kind, tenant, own_server) for kind in ("ws", "ws", "http", "http")]

        def storm(talker: Talker, name: str) -> None:
            n = 0
            try:
                while True:
                    if talker.insert(f"{name}-{n}", {"title": "t"}) == "applied":
                        acked.append(f"{name}-{n}")
                    n += 1
            except Exception:  # the connection can break in several ways
                return

        storms = [partial(storm, talker, f"r{round_}t{n}") for n, talker in enumerate(talkers)]
        wanted = 40 * (round_ + 1)
        storm_until_killed(own_server, storms, lambda wanted=wanted: len(acked) >= wanted)
    stored = list(Change.objects.filter(tenant=tenant, table_name="jobs").values_list("record_id", flat=True))
    assert len(stored) == len(set(stored))
    assert set(acked) <= set(stored)
    assert_log_whole(tenant)
    late = opened(stack, "http", tenant, own_server)
    assert late.jobs().keys() == set(stored)
