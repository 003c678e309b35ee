"""Which conflicts a user can see and resolve.

Everyone sees the conflicts of their own edits. A tenant admin also sees those of the records that their security
profile shows them: a conflict holds the values of its record, so it must not outlive the record's visibility.
"""

from django.db import connection
from django.db.models import Q
from django.db.models.expressions import RawSQL

from metadata.access_store import Access
from metadata.catalog import schema_of
from metadata.names import quote
from metadata.schema import TenantSchema, physical_name
from sync.channels.row_filter_sql import visible
from tenants.models import Membership
from tenants.rows import read_tenant


def conflicts_for(access: Access, username: str, role: str) -> Q:
    """Return the condition that selects a user's conflicts in one tenant."""
    tenant, rules = Q(tenant_id=access.tenant_id), access.rules
    own = tenant & Q(by=username)
    if role != Membership.Role.ADMIN:
        return own if rules is None else own & Q(table_name__in=list(rules.by_table))
    if rules is None:
        return tenant
    found = read_tenant(access.tenant_id)
    schema = schema_of(access.tenant_id, found.schema_version if found else 0)
    seen = Q(pk__in=[])
    for table in rules.by_table:
        seen |= Q(table_name=table) & (Q(by=username) | Q(record_id__in=_visible_ids(access, schema, table)))
    return tenant & seen


def _visible_ids(access: Access, schema: TenantSchema, table: str) -> RawSQL:
    condition, values = visible(schema, table, access.rules, connection.vendor)
    physical = quote(physical_name(access.tenant_id, table))
    return RawSQL(f'SELECT {physical}."id" FROM {physical} WHERE {condition}', values)  # noqa: S611 - published names
