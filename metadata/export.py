"""Schema commands between two versions of a tenant's schema, for clients that are behind."""

from typing import Any

from metadata.models import SchemaRevision


def revisions(tenant_id: int, from_version: int, to_version: int | None = None) -> list[dict[str, Any]]:
    """Return what was published after `from_version` up to `to_version` (or the newest), oldest first.

    Shape: `[{"schema_version", "commands"}]`.
    """
    found = SchemaRevision.objects.filter(tenant_id=tenant_id, schema_version__gt=from_version)
    if to_version is not None:
        found = found.filter(schema_version__lte=to_version)
    return [dict(row) for row in found.order_by("schema_version").values("schema_version", "commands")]
