"""Make the data a benchmark needs, in a process of its own that has Django: `python -m benchmarks.fixture '<json>'`.

Input: {"tenants": n, "devices": n, "records": n}; output: one JSON line with the tenants' devices and the state to subscribe at.
"""

import json
import os
import sys
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.dev")
django.setup()

from django.contrib.auth.models import User  # noqa: E402

from benchmarks.records import values  # noqa: E402
from metadata.models import ObjectField, ObjectMetadata  # noqa: E402
from metadata.publish import publish  # noqa: E402
from sync.engine import push  # noqa: E402
from sync.ops import Actor, Op  # noqa: E402
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


def make_tenant(slug: str, devices: int, records: int) -> dict[str, Any]:
    """Make a tenant with a published object type `job`, its records and its devices."""
    tenant = Tenant.objects.create(slug=slug, name=slug)
    profile = SecurityProfile.objects.create(tenant=tenant, name="full")
    user = User.objects.create_user(f"user-{slug}", password="secret")
    Membership.objects.create(tenant=tenant, user=user, profile=profile)
    job = ObjectMetadata.objects.create(tenant=tenant, object_name="job", table_name="jobs", label="Job", title_field="title")
    for position, (name, kind) in enumerate(FIELDS):
        ObjectField.objects.create(object_type=job, position=position, name=name, kind=kind, label=name)
    publish(tenant.pk)
    actor = Actor(tenant_id=tenant.pk, by="benchmark")
    for start in range(0, records, BATCH):
        numbers = range(start, min(start + BATCH, records))
        ops = [
            Op(op_id=n + 1, tx=None, table="jobs", id=f"job-{n}", op="insert", base_version=0, payload=values(n), at=None, settles=None)
            for n in numbers
        ]
        refused = [r for r in push(actor, ops) if r.status != "applied"]
        if refused:
            raise SystemExit(f"the fixture was refused: {refused[0]}")
    issued = [issue_device(tenant, user, f"device {n}") for n in range(devices)]
    tenant.refresh_from_db()
    return {
        "slug": slug,
        "devices": [{"device": i.device.pk, "token": i.token} for i in issued],
        "state": {"cursor": tenant.cursor, "state_hash": bytes(tenant.state_hash).hex(), "schema_version": tenant.schema_version},
    }


def main() -> None:
    """Read the request from argv, make the tenants, print them."""
    wanted = json.loads(sys.argv[1])
    made = [make_tenant(f"bench-{n}", wanted["devices"], wanted["records"]) for n in range(wanted["tenants"])]
    sys.stdout.write(json.dumps(made) + "\n")


if __name__ == "__main__":
    main()
