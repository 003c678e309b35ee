"""Publish an object type without a table, which is enough for layouts: they read only definitions."""

from metadata.models import ObjectMetadata
from metadata.schema import Choice, FieldSpec, ObjectSpec
from tenants.models import Tenant

JOB = ObjectSpec(
    "job",
    "jobs",
    label="Job",
    title_field="title",
    subtypes=(Choice("residential", "Residential"), Choice("commercial", "Commercial")),
    statuses=(Choice("open", "Open"), Choice("done", "Done")),
    fields=(FieldSpec("title", "text"), FieldSpec("price", "decimal", decimal_places=2)),
)


def publish_spec(tenant: Tenant, spec: ObjectSpec = JOB) -> None:
    """Make a spec the tenant's published type of that name, and increment `schema_version`."""
    tenant.schema_version += 1
    tenant.save(update_fields=["schema_version"])
    ObjectMetadata.objects.update_or_create(
        tenant=tenant,
        object_name=spec.object_name,
        defaults={
            "table_name": spec.table_name,
            "published": spec.record({}),
            "published_version": tenant.schema_version,
        },
    )
