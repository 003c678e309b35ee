"""Create the data for a benchmark, in a separate process with Django: `python -m benchmarks.fixture '<json>'`.

Input: {"tenants": n} and the arguments of `make_tenant`. Output: one JSON line with the tenants' devices and the state
to subscribe from.
"""

import json
import os
import sys
from dataclasses import dataclass
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.dev")
django.setup()

from django.contrib.auth.models import User  # noqa: E402

from benchmarks.records import values  # noqa: E402
from metadata.models import AccessRule, ObjectField, ObjectMetadata  # noqa: E402
from metadata.publish import publish  # noqa: E402
from sync.settle.push import push  # noqa: E402
from sync.wire.ops import Actor, Op  # noqa: E402
from tenants.models import Membership, SecurityProfile, Tenant  # noqa: E402
from tenants.tokens import issue_device  # noqa: E402

FIELDS = [
    ("title", "text"),
    ("customer_name", "text"),
    ("priority", "integer"),
    ("price", "decimal"),
    ("scheduled_on", "date"),
    ("notes", "text"),
]
BATCH = 1000


@dataclass(frozen=True, slots=True)
class Filtered:
    """The filtered profiles and members of a tenant.

    `profiles` is the number of profiles that each show the jobs of `customers_each` customers and have one member with
    `devices_each` devices. `members` is the number of members of one more profile, which shows the jobs of the customer
    who has the member's name.
    """

    profiles: int = 0
    customers_each: int = 1
    devices_each: int = 1
    members: int = 0

    def make(self, tenant: Tenant) -> list[dict[str, str]]:
        """Create them; return the devices."""
        made: list[dict[str, str]] = []
        for n in range(self.profiles):
            customers = [f"customer-{c}" for c in range(n * self.customers_each, (n + 1) * self.customers_each)]
            made += _member(tenant, _profile(tenant, f"p{n}", customers), f"member-{n}", self.devices_each)
        if self.members:
            own = _profile(tenant, "own", "$user.username")
            for n in range(self.members):
                made += _member(tenant, own, f"customer-{n}", self.devices_each)
        return made


def _profile(tenant: Tenant, name: str, customers: list[str] | str) -> SecurityProfile:
    """Create a profile that shows some customers' jobs without their price."""
    profile = SecurityProfile.objects.create(tenant=tenant, name=name, full_access=False)
    shown = ["title", "customer_name", "priority", "scheduled_on", "notes"]
    filtered = {"customer_name": customers}
    AccessRule.objects.create(
        profile=profile, object_name="job", can_update=True, readable_fields=shown, row_filter=filtered
    )
    return profile


def _member(tenant: Tenant, profile: SecurityProfile, username: str, devices: int) -> list[dict[str, str]]:
    user = User.objects.create_user(username)
    Membership.objects.create(tenant=tenant, user=user, profile=profile)
    return _devices(tenant, user, devices)


def _devices(tenant: Tenant, user: User, count: int) -> list[dict[str, str]]:
    issued = [issue_device(tenant, user, f"device {n}") for n in range(count)]
    return [{"device": i.device.pk, "token": i.token} for i in issued]


def make_tenant(slug: str, devices: int, records: int, **filtered: int) -> dict[str, Any]:
    """Create a tenant with a published object type `job`, and its records, profiles, and devices."""
    tenant = Tenant.objects.create(slug=slug, name=slug)
    profile = SecurityProfile.objects.create(tenant=tenant, name="full", full_access=True)
    user = User.objects.create_user(f"user-{slug}", password="secret")
    Membership.objects.create(tenant=tenant, user=user, profile=profile)
    job = ObjectMetadata.objects.create(
        tenant=tenant, object_name="job", table_name="jobs", label="Job", title_field="title"
    )
    for position, (name, kind) in enumerate(FIELDS):
        ObjectField.objects.create(object_type=job, position=position, name=name, kind=kind, label=name)
    publish(tenant.pk)
    actor = Actor(tenant_id=tenant.pk, by="benchmark")
    for start in range(0, records, BATCH):
        numbers = range(start, min(start + BATCH, records))
        ops = [
            Op(
                op_id=n + 1,
                tx=None,
                table="jobs",
                id=f"job-{n}",
                op="insert",
                base_version=0,
                payload=values(n),
                at=None,
                settles=None,
            )
            for n in numbers
        ]
        rejected = [r for r in push(actor, ops) if r.status != "applied"]
        if rejected:
            raise SystemExit(f"the fixture was rejected: {rejected[0]}")
    made = {"slug": slug, "devices": _devices(tenant, user, devices), "filtered": Filtered(**filtered).make(tenant)}
    tenant.refresh_from_db()
    return {
        **made,
        "state": {
            "cursor": tenant.cursor,
            "state_hash": bytes(tenant.state_hash).hex(),
            "schema_version": tenant.schema_version,
        },
    }


def main() -> None:
    """Read the request from argv, create the tenants, and print them."""
    wanted = json.loads(sys.argv[1])
    count = wanted.pop("tenants")
    made = [make_tenant(f"bench-{n}", **wanted) for n in range(count)]
    sys.stdout.write(json.dumps(made) + "\n")


if __name__ == "__main__":
    main()
