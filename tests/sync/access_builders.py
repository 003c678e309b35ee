"""A tenant with filtered profiles, an independent evaluation of its rules, and a folding replica."""

from django.contrib.auth.models import User

from metadata.access_store import access_of
from metadata.catalog import schema_of
from metadata.models import AccessRule
from metadata.publish import publish
from sync.records import rows, sql
from sync.wire.lines import decode_line
from sync.wire.patch import apply_patch
from tenants.models import Membership, SecurityProfile, Tenant
from tests.builders import make_object_type, make_tenant, make_user

FIELDS = {
    "customers": ("name", "secret"),
    "jobs": ("title", "technician", "customer", "price"),
    "line_items": ("job", "text"),
}


def make_service(slug=None):
    """A tenant with published customers, jobs, and line items."""
    tenant = make_tenant(slug)
    customer = make_object_type(tenant, "customer", {"name": {"kind": "text", "required": True}, "secret": "text"})
    job = make_object_type(
        tenant,
        "job",
        {
            "title": {"kind": "text", "required": True},
            "technician": "text",
            "customer": {"kind": "reference", "reference": customer},
            "price": {"kind": "decimal", "decimal_places": 2},
        },
        subtypes=[{"value": "home", "label": "Home"}, {"value": "shop", "label": "Shop"}],
        statuses=[{"value": "open", "label": "Open"}, {"value": "done", "label": "Done"}],
    )
    make_object_type(tenant, "line_item", {"job": {"kind": "reference", "reference": job}, "text": "text"})
    publish(tenant.pk)
    tenant.refresh_from_db()
    return tenant


def make_profile(tenant: Tenant, name: str, rules: dict[str, dict]) -> SecurityProfile:
    """A filtered profile. `rules` maps an object name to AccessRule attributes."""
    profile = SecurityProfile.objects.create(tenant=tenant, name=name, full_access=False)
    for object_name, about in rules.items():
        AccessRule.objects.create(profile=profile, object_name=object_name, **about)
    return profile


def technician_rules() -> dict[str, dict]:
    return {
        "job": {
            "can_update": True,
            "readable_fields": ["title", "technician", "customer"],
            "writable_fields": ["status", "title", "technician"],
            "row_filter": {"technician": "$user.username"},
        },
        "line_item": {
            "can_create": True,
            "can_update": True,
            "can_delete": True,
            "row_filter": {"job.technician": "$user.username"},
        },
        "customer": {"readable_fields": ["name"], "row_filter": {"<job.customer.technician": "$user.username"}},
    }


def make_member(profile: SecurityProfile, username: str, **attributes) -> User:
    user = make_user(profile.tenant, username)
    Membership.objects.get(user=user).delete()
    Membership.objects.create(tenant=profile.tenant, user=user, profile=profile, attributes=attributes)
    return user


def access(tenant: Tenant, user: User):
    return access_of(tenant.pk, user.pk)


def everything(tenant: Tenant):
    """Every undeleted record of a tenant: {table: {id: values with version}}."""
    tenant.refresh_from_db()
    schema = schema_of(tenant.pk, tenant.schema_version)
    found = {}
    for spec in schema.objects:
        table = rows.table_of(tenant.pk, spec)
        read = [rows.Row(table, raw) for raw in sql.fetch(table.select)]
        found[spec.table_name] = {
            r.id: {"id": r.id, "version": r.version, **r.values(), "_deleted": r.deleted} for r in read
        }
    return found


def shown(tenant: Tenant, rules: dict[str, dict], user: User, membership: Membership):
    """An independent evaluation of a profile's rules: {table: {id: (version, readable values)}}."""
    data = everything(tenant)
    names = {"job": "jobs", "customer": "customers", "line_item": "line_items"}

    def parameter(value):
        if not isinstance(value, str) or not value.startswith("$"):
            return [value]
        owner, attribute = value[1:].split(".")
        got = getattr(user, attribute) if owner == "user" else membership.attributes.get(attribute)
        return [v for v in (got if isinstance(got, list) else [got]) if v is not None]

    def allowed(value):
        return [one for item in (value if isinstance(value, list) else [value]) for one in parameter(item)]

    def reached(table, record, key):
        if key.startswith("<"):
            child, reference, field = key[1:].split(".")
            return [r[field] for r in data[names[child]].values() if not r["_deleted"] and r[reference] == record["id"]]
        if "." in key:
            reference, field = key.split(".")
            parent = data[names[reference]].get(record[reference])
            return [] if parent is None or parent["_deleted"] else [parent[field]]
        return [record[key]]

    out = {}
    for object_name, rule in rules.items():
        if not rule.get("can_read", True):
            continue
        table = names[object_name]
        readable = rule.get("readable_fields")
        out[table] = {}
        for record in data[table].values():
            if record["_deleted"]:
                continue
            conditions = dict(rule.get("row_filter") or {})
            passes = all(
                any(v in allowed(wanted) for v in reached(table, record, key)) for key, wanted in conditions.items()
            )
            passes = passes and (not rule.get("subtypes") or record["object_type"] in rule["subtypes"])
            passes = passes and (not rule.get("statuses") or record["status"] in rule["statuses"])
            if passes:
                hidden = (
                    {"id", "version", "_deleted"}
                    if readable is None
                    else {*record} - {*readable, "object_type", "status"}
                )
                out[table][record["id"]] = (
                    record["version"],
                    {k: v for k, v in record.items() if k not in hidden and v is not None},
                )
    return out


class Fold:
    """A client's records after some lines."""

    def __init__(self, start=None):
        self.tables = {t: dict(r) for t, r in (start or {}).items()}

    def apply(self, lines):
        for line in lines:
            self.one(decode_line(line))

    def one(self, change):
        records = self.tables.setdefault(change["table"], {})
        op, record_id, version = change["op"], change["id"], change["version"]
        if op == "insert":
            assert record_id not in records, change
            records[record_id] = (version, {k: v for k, v in change["payload"].items() if v is not None})
        elif op == "update":
            old_version, values = records[record_id]
            assert version == old_version + 1, change
            new = apply_patch(values, change["payload"])
            records[record_id] = (version, {k: v for k, v in new.items() if v is not None})
        elif op == "delete":
            records.pop(record_id, None)  # a delete of a deleted record gets an ack and a line in the log
        else:
            assert op == "evict"
            del records[record_id]

    def types(self):
        return {t: r for t, r in self.tables.items() if t not in ("object_metadata", "layout_definition")}
