"""A tenant with a technician's profile, its office, and Tom, for profile tests on v1."""

from collections.abc import Callable
from typing import Any

import pytest

from metadata.catalog import schema_of
from sync.errors import OpRejected
from sync.records import rows
from sync.settle.entity import EntityRejected
from sync.settle.push import push
from sync.wire.ops import Actor, Op
from tenants.models import Membership, Tenant
from tests.sync.access_builders import make_member, make_profile, make_service, technician_rules
from tests.v1.conftest import Door
from tests.v1.members import Member

SECRETS = ("x1x", "y1y", "9.00", "Other", "hush")


@pytest.fixture
def service(db: None) -> Tenant:
    tenant = make_service()
    make_profile(tenant, "technician", technician_rules())
    return tenant


@pytest.fixture
def office(service: Tenant) -> Door:
    """A device with full access that wrote some records, half of them Tom's."""
    one = Door(service)
    one.push(
        one.op("c1", 1, {"name": "Ada", "secret": "x1x", "undeclared": "y1y"}, collection="customers"),
        one.op("c2", 1, {"name": "hush"}, collection="customers"),
        one.op(
            "j1",
            5,
            {"title": "Fix", "technician": "tom", "customer": "c1", "price": "9.00", "undeclared": "y1y"},
            collection="jobs",
        ),
        one.op("j2", 5, {"title": "Other", "technician": "tess", "customer": "c2", "price": "9.00"}, collection="jobs"),
        one.op("l1", 1, {"job": "j1", "text": "pipe", "free": [1]}, collection="line_items"),
        one.op("l2", 1, {"job": "j2", "text": "hush"}, collection="line_items"),
    )
    return one


@pytest.fixture
def tom(service: Tenant, office: Door) -> Member:
    return Member(service, make_member(service.profiles.get(name="technician"), "tom"))


def demote(tenant: Tenant, username: str, profile: str = "technician") -> None:
    membership = Membership.objects.get(tenant=tenant, user__username=username)
    membership.profile = tenant.profiles.get(name=profile)
    membership.save()


def live(tenant: Tenant, table: str, record: str, **values: Any) -> None:
    patch = [{"op": "replace", "path": f"/{name}", "value": value} for name, value in values.items()]
    (result,) = push(Actor(tenant.pk, "olga"), [Op(1, None, table, record, "update", None, patch)])
    assert result.accepted, result


def row(tenant: Tenant, table: str, record: str) -> rows.Row:
    tenant.refresh_from_db()
    found = rows.record(tenant.pk, schema_of(tenant.pk, tenant.schema_version), table, record)
    assert found is not None
    return found


def refusal(work: Callable[[], Any]) -> OpRejected:
    with pytest.raises(EntityRejected) as caught:
        work()
    return caught.value.error
