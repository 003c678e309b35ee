"""Who may work with which tenant's records in the admin, and the pages' common ground."""

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
    """The table a page is about: its tenant, the tenant's published schema and the object type."""

    tenant: Tenant
    schema: TenantSchema
    spec: ObjectSpec

    def url(self, page: str, *more: str) -> str:
        """Return the URL of one of the pages of this table; `more` is the record id, and what follows it."""
        return reverse(f"admin:records_{page}", args=[self.tenant.slug, self.spec.table_name, *map(quote, more)])

    def actor(self, request: HttpRequest) -> Actor:
        """Return who the log says made a change."""
        return Actor(self.tenant.pk, request.user.get_username())


def tenant_of(request: HttpRequest, slug: str) -> Tenant:
    """Return a tenant that the user administers. Another tenant and one that does not exist are refused alike."""
    tenant = Tenant.objects.filter(slug=slug).first()
    if tenant is None or not may_administer(request.user, tenant.pk):
        raise PermissionDenied
    return tenant


def table_context(request: HttpRequest, slug: str, table: str) -> TableContext:
    """Return the table a URL names. Raises PermissionDenied, or Http404 when nothing of that name is published."""
    tenant = tenant_of(request, slug)
    schema = schema_of(tenant.pk, tenant.schema_version)
    spec = schema.by_table.get(table)
    if spec is None:
        raise Http404(f"{tenant.slug} has no published object type with the table {table}.")
    return TableContext(tenant, schema, spec)


def with_table(
    view: Callable[Concatenate[HttpRequest, TableContext, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, str, str, P], HttpResponseBase]:
    """Turn the first two parts of the URL into a Place, for views of one table."""

    @wraps(view)
    def wrapped(request: HttpRequest, slug: str, table: str, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        return view(request, table_context(request, slug, table), *args, **kwargs)

    return cast("Callable[Concatenate[HttpRequest, str, str, P], HttpResponseBase]", wrapped)


def page(request: HttpRequest, template: str, place: TableContext | None, **context: Any) -> TemplateResponse:
    """Render one of the pages under templates/admin/records/ with what every admin page needs."""
    shared = {**admin.site.each_context(request), "place": place, **context}
    if place:
        shared |= {
            "spec": place.spec,
            "tenant": place.tenant,
            "list_url": place.url("list"),
            "name": place.spec.label or place.spec.object_name,
        }
        shared["names"] = place.spec.label_plural or place.spec.table_name
    return TemplateResponse(request, f"admin/records/{template}", shared)
