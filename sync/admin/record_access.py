"""Access to tenants' records in the admin, and what the record pages share."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, ParamSpec, cast

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse

from metadata.catalog import schema_of
from metadata.schema import ObjectSpec, TenantSchema
from sync.wire.ops import Actor
from tenants.models import Tenant
from tenants.scoping import may_administer

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class TableContext:
    """The table of a page: its tenant, the tenant's published schema, and the object type."""

    tenant: Tenant
    schema: TenantSchema
    spec: ObjectSpec

    def url(self, page: str, *more: str) -> str:
        """Return the URL of a page of this table. `more` is the record ID and what follows it."""
        return reverse(f"admin:records_{page}", args=[self.tenant.slug, self.spec.table_name, *map(quote, more)])

    def actor(self, request: HttpRequest) -> Actor:
        """Return the author for the change log."""
        return Actor(self.tenant.pk, request.user.get_username())


def tenant_of(request: HttpRequest, slug: str) -> Tenant:
    """Return a tenant that the user administers. Others and missing ones get the same rejection."""
    tenant = Tenant.objects.filter(slug=slug).first()
    if tenant is None or not may_administer(request.user, tenant.pk):
        raise PermissionDenied
    return tenant


def table_context(request: HttpRequest, slug: str, table: str) -> TableContext:
    """Return the table a URL names.

    Raises PermissionDenied, or Http404 if no such table is published.
    """
    tenant = tenant_of(request, slug)
    schema = schema_of(tenant.pk, tenant.schema_version)
    spec = schema.by_table.get(table)
    if spec is None:
        raise Http404(f"{tenant.slug} has no published table named {table}.")
    return TableContext(tenant, schema, spec)


def with_table(
    view: Callable[Concatenate[HttpRequest, TableContext, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, str, str, P], HttpResponseBase]:
    """Turn the first two parts of the URL into a TableContext, for views of one table."""

    @wraps(view)
    def wrapped(request: HttpRequest, slug: str, table: str, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        return view(request, table_context(request, slug, table), *args, **kwargs)

    return cast("Callable[Concatenate[HttpRequest, str, str, P], HttpResponseBase]", wrapped)


def page(request: HttpRequest, template: str, on: TableContext | None, **context: Any) -> TemplateResponse:
    """Render a page from templates/admin/records/ with the context every admin page needs."""
    shared = {**admin.site.each_context(request), **context}
    if on:
        shared |= {
            "spec": on.spec,
            "tenant": on.tenant,
            "list_url": on.url("list"),
            "name": on.spec.label or on.spec.object_name,
        }
        shared["names"] = on.spec.label_plural or on.spec.table_name
    return TemplateResponse(request, f"admin/records/{template}", shared)
