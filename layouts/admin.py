"""Admin of layouts. It writes only through `layouts.publish`, so clients see every change right away."""

import json
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import Field, ModelForm, Script
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from layouts import publish
from layouts.defaults import default_layout
from layouts.forms import LayoutForm, binding_widgets
from layouts.models import ANY, LayoutDefinition
from metadata.catalog import schema_of
from metadata.schema import ObjectSpec
from tenants.admin import TenantScopedAdmin, visible_tenants
from tenants.errors import ValidationFailed
from tenants.models import Tenant

if TYPE_CHECKING:
    _Form = ModelForm[Any]
else:
    _Form = ModelForm


@admin.register(LayoutDefinition)
class LayoutAdmin(TenantScopedAdmin):
    """Layouts by object type, subtype, and status. A record is shown with the most specific match."""

    form = LayoutForm
    fields = ("tenant", "object_name", "object_type", "status", "label", "layout_json")
    list_display = ("object_name", "object_type", "status", "label", "tenant", "updated_at", "warnings")
    list_display_links = ("object_name", "label")
    list_filter = ("tenant", "object_name")
    list_select_related = ("tenant",)
    search_fields = ("object_name", "object_type", "status", "label")

    class Media:
        js = (Script("layouts/preview.js", type="module"),)
        css = {"all": ("layouts/preview.css",)}  # noqa: RUF012

    @admin.display(description="warnings")
    def warnings(self, obj: LayoutDefinition) -> str:
        """List the layout's references to unpublished fields. Clients ignore those; the layout stays in use."""
        schema = schema_of(obj.tenant_id, obj.tenant.schema_version)
        found = [problem.message for problem in publish.problems(obj, schema)]
        return "; ".join(found[:3]) + ("; and more" if len(found) > 3 else "")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Field | None:
        """Offer the published object types if the form's tenant is known."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and db_field.name in ("object_name", "object_type", "status"):
            tenants = list(self._tenants(request)[:2])
            if len(tenants) == 1:
                field.widget = binding_widgets(schema_of(tenants[0].pk, tenants[0].schema_version))[db_field.name]
        return field

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Pass the preview the API's address and the tenants' slugs."""
        slugs = {tenant.pk: tenant.slug for tenant in self._tenants(request)}
        field = context["adminform"].form.fields.get("layout_json")
        if field is not None:
            field.widget.attrs.update({"data-tenants": json.dumps(slugs), "data-objects": reverse("api-objects")})
        return super().render_change_form(request, context, *args, **kwargs)

    def _tenants(self, request: HttpRequest) -> "QuerySet[Tenant]":
        """Return the tenants the form can apply to; for an existing layout, its own."""
        match = request.resolver_match
        pk = match.kwargs.get("object_id") if match is not None else None
        layout = self.get_object(request, pk) if pk else None
        tenants = visible_tenants(request)
        return tenants if layout is None else tenants.filter(pk=layout.tenant_id)

    def save_model(self, request: HttpRequest, obj: Any, form: _Form, change: bool) -> None:
        """Save through the use case."""
        publish.save(obj, request.user.get_username())

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Delete through the use case."""
        publish.delete(obj, request.user.get_username())

    def delete_queryset(self, request: HttpRequest, queryset: "QuerySet[LayoutDefinition]") -> None:
        """Delete each through the use case."""
        for layout in queryset:
            publish.delete(layout, request.user.get_username())

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Show problems caused by a publish between validation and saving."""
        try:
            return super().changeform_view(request, *args, **kwargs)
        except ValidationFailed as error:
            self.message_user(request, error.message, messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

    def get_urls(self) -> list[URLPattern]:
        """Add the page that creates default layouts."""
        view = self.admin_site.admin_view(self.create_defaults)
        return [path("create-defaults/", view, name="layouts_layoutdefinition_create_defaults"), *super().get_urls()]

    def create_defaults(self, request: HttpRequest) -> HttpResponse:
        """List published object types without a default layout, and create one for those selected."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        missing = {f"{tenant.pk}:{spec.object_name}": (tenant, spec) for tenant, spec in self._missing(request)}
        if request.method == "POST":
            chosen = [missing[key] for key in request.POST.getlist("types") if key in missing]
            made = sum(self._create_default(request, tenant, spec) for tenant, spec in chosen)
            self.message_user(request, f"Created {made} default layout{'' if made == 1 else 's'}.", messages.SUCCESS)
            return HttpResponseRedirect(reverse("admin:layouts_layoutdefinition_changelist"))
        context = {
            **self.admin_site.each_context(request),
            "title": "Create default layouts",
            "opts": self.opts,
            "missing": missing,
        }
        return TemplateResponse(request, "admin/layouts/layoutdefinition/create_defaults.html", context)

    def _missing(self, request: HttpRequest) -> list[tuple[Tenant, ObjectSpec]]:
        bound = LayoutDefinition.objects.filter(object_type=ANY, status=ANY).values_list("tenant_id", "object_name")
        have = set(bound.filter(tenant__in=visible_tenants(request)))
        return [
            (tenant, spec)
            for tenant in visible_tenants(request)
            for spec in schema_of(tenant.pk, tenant.schema_version).objects
            if (tenant.pk, spec.object_name) not in have
        ]

    def _create_default(self, request: HttpRequest, tenant: Tenant, spec: ObjectSpec) -> bool:
        layout = LayoutDefinition(
            tenant=tenant,
            object_name=spec.object_name,
            label=spec.label or spec.object_name,
            layout_json=default_layout(spec),
        )
        try:
            publish.save(layout, request.user.get_username())
        except ValidationFailed as error:
            self.message_user(request, f"{spec.object_name}: {error.message}", messages.ERROR)
            return False
        self.log_addition(request, layout, "Created as the default layout.")
        return True
