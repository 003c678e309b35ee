"""Load the demo tenant `acme`. Each step adds only what is missing, so it can run repeatedly."""

from dataclasses import dataclass, field

from django.contrib.auth.models import User
from django.db import connection, transaction

from layouts.models import LayoutDefinition
from layouts.publish import save as save_layout
from metadata.catalog import schema_of
from metadata.definitions import save_drafts
from metadata.models import AccessRule, ObjectField, ObjectMetadata
from metadata.names import quote
from metadata.publish import publish
from metadata.schema import physical_name
from sync.demo import acme, acme_access, acme_layouts, acme_records
from sync.records.rows import existing_ids
from sync.settle.push import push
from sync.wire.ops import Actor, Op
from tenants.members import create_tenant
from tenants.models import Membership, Tenant

SUPERUSER = "admin"
MEMBERS = {"olga": Membership.Role.ADMIN, "tom": Membership.Role.MEMBER, "tess": Membership.Role.MEMBER}
BATCH = 500


class DemoFailed(Exception):
    """The demo data no longer fits its own definitions. Users cannot cause this."""


@dataclass(slots=True)
class Loaded:
    """What this run created."""

    users: list[str] = field(default_factory=list)
    object_types: int = 0
    layouts: int = 0
    records: int = 0

    @property
    def anything(self) -> bool:
        """Whether this run changed anything."""
        return bool(self.users or self.object_types or self.layouts or self.records)


def load_acme() -> Loaded:
    """Create the tenant, its users, object types, layouts, and records where missing."""
    done = Loaded()
    slug, name = acme.TENANT
    tenant = Tenant.objects.filter(slug=slug).first() or create_tenant(slug, name)
    done.users = join_demo_users(tenant)
    done.object_types = _object_types(tenant)
    join_technicians(tenant)
    done.layouts = _layouts(tenant)
    done.records = _records(tenant)
    return done


def is_complete() -> bool:
    """Whether the demo tenant was loaded completely. Records deleted since count as loaded."""
    tenant = Tenant.objects.filter(slug=acme.TENANT[0]).first()
    if tenant is None or User.objects.filter(username__in=[SUPERUSER, *MEMBERS]).count() < len(MEMBERS) + 1:
        return False
    schema = schema_of(tenant.pk, tenant.schema_version)
    return all(
        table in schema.by_table and existing_ids(tenant.pk, table, [records[-1]["id"]])
        for table, records in acme_records.tables()
    )


@transaction.atomic
def remove_tenant(slug: str) -> bool:
    """Delete a demo tenant with its tables, log, and devices, but not users. Return whether it existed."""
    tenant = Tenant.objects.filter(slug=slug).first()
    if tenant is None:
        return False
    published = ObjectMetadata.objects.filter(tenant=tenant, published__isnull=False)
    tables = list(
        published.order_by("-pk").values_list("table_name", flat=True)
    )  # children were created after their parents
    with connection.cursor() as cursor:
        for table in tables:
            cascade = " CASCADE" if connection.vendor == "postgresql" else ""
            cursor.execute(f"DROP TABLE {quote(physical_name(tenant.pk, table))}{cascade}")
    Membership.objects.filter(tenant=tenant).delete()
    ObjectField.objects.filter(object_type__tenant=tenant).delete()
    ObjectMetadata.objects.filter(tenant=tenant).delete()
    tenant.delete()
    return True


def join_demo_users(tenant: Tenant) -> list[str]:
    """Create the demo's missing users and memberships. Return the names of users created."""
    made = []
    if not User.objects.filter(username=SUPERUSER).exists():
        User.objects.create_superuser(SUPERUSER, password=SUPERUSER)
        made.append(SUPERUSER)
    profile = tenant.profiles.filter(full_access=True).first() or tenant.profiles.create(
        name="Full access", full_access=True
    )
    for username, role in MEMBERS.items():
        user = User.objects.filter(username=username).first()
        if user is None:
            user = User.objects.create_user(username, password=username, is_staff=role == Membership.Role.ADMIN)
            made.append(username)
        Membership.objects.get_or_create(tenant=tenant, user=user, defaults={"role": role, "profile": profile})
    return made


@transaction.atomic
def join_technicians(tenant: Tenant) -> bool:
    """Give the demo's technicians their profile if missing. Return whether it was missing."""
    if tenant.profiles.filter(name=acme_access.PROFILE).exists():
        return False
    profile = tenant.profiles.create(name=acme_access.PROFILE, full_access=False)
    for object_name, rule in acme_access.RULES.items():
        AccessRule.objects.create(profile=profile, object_name=object_name, **rule)
    for username, technician in acme_access.MEMBERS.items():
        for member in Membership.objects.filter(tenant=tenant, user__username=username):
            member.profile, member.attributes = profile, {**member.attributes, "technician": technician}
            member.save()
    return True


def _object_types(tenant: Tenant) -> int:
    there = set(ObjectMetadata.objects.filter(tenant=tenant).values_list("object_name", flat=True))
    missing = [draft for draft in acme.OBJECT_TYPES if draft.object_name not in there]
    save_drafts(tenant, missing)
    publish(tenant.pk, [draft.object_name for draft in acme.OBJECT_TYPES], by=User.objects.get(username=SUPERUSER))
    tenant.refresh_from_db()
    return len(missing)


def _layouts(tenant: Tenant) -> int:
    made = 0
    for item in acme_layouts.LAYOUTS:
        binding = {
            "tenant": tenant,
            "object_name": item.object_name,
            "object_type": item.object_type,
            "status": item.status,
        }
        if not LayoutDefinition.objects.filter(**binding).exists():
            save_layout(LayoutDefinition(**binding, label=item.label, layout_json=item.layout_json), by=SUPERUSER)
            made += 1
    tenant.refresh_from_db()
    return made


def _records(tenant: Tenant) -> int:
    made = 0
    for table, records in acme_records.tables():
        there = existing_ids(tenant.pk, table, [record["id"] for record in records])
        missing = [record for record in records if record["id"] not in there]
        for start in range(0, len(missing), BATCH):
            made += _insert(tenant, table, missing[start : start + BATCH])
    return made


def _insert(tenant: Tenant, table: str, records: list[dict[str, object]]) -> int:
    ops = [
        Op(
            n,
            None,
            table,
            str(record["id"]),
            "insert",
            0,
            {k: v for k, v in record.items() if k != "id" and v is not None},
        )
        for n, record in enumerate(records, start=1)
    ]
    for record, result in zip(records, push(Actor(tenant.pk, "olga"), ops), strict=True):
        if not result.accepted:
            raise DemoFailed(f"{table} {record['id']}: {result.field or ''} {result.message}")
    return len(ops)
