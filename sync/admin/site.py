"""The admin site: Django's own, plus a section of records for each tenant."""

from collections.abc import Callable
from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.auth.views import PasswordChangeView
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import URLPattern, URLResolver, path, reverse

from metadata.catalog import schema_of
from metadata.schema import ObjectSpec
from sync.admin import changes, record_conflict, records
from sync.admin.conflicts import ConflictAdmin
from sync.admin.sign_in import SignInForm, second_factor_page
from sync.models import Conflict
from tenants import second_factor
from tenants.forms import OwnPasswordForm
from tenants.models import Tenant
from tenants.scoping import visible_tenants
from tenants.throttles import seconds_to_wait

MOST_SECTIONS = 10
"""Tenants with their own section on the index. Operators of more find them under Records."""


class MoatAdminSite(AdminSite):
    """The stock admin plus pages for records of published object types."""

    site_header = "Moat"
    site_title = "Moat"
    login_form = SignInForm
    login_template = "admin/sign_in.html"

    def __init__(self, name: str = "admin") -> None:
        """Register the engine's own models here: a decorator would run while the site is still being built."""
        super().__init__(name)
        self.register(Conflict, ConflictAdmin)

    def get_urls(self) -> list[URLPattern | URLResolver]:
        """Put the record pages before the admin's catch-all."""
        pages: list[tuple[str, str, Callable[..., Any]]] = [
            ("records/", "tenants", records.tenant_index),
            ("records/<slug:slug>/", "index", records.tenant_index),
            ("records/<slug:slug>/log/", "log", changes.change_log),
            ("records/<slug:slug>/<str:table>/", "list", records.record_list),
            ("records/<slug:slug>/<str:table>/add/", "add", records.record_add),
            ("records/<slug:slug>/<str:table>/autocomplete/", "autocomplete", records.record_autocomplete),
            ("records/<slug:slug>/<str:table>/<str:record_id>/change/", "change", records.record_change),
            ("records/<slug:slug>/<str:table>/<str:record_id>/delete/", "delete", records.record_delete),
            ("records/<slug:slug>/<str:table>/<str:record_id>/history/", "history", records.record_history),
            (
                "records/<slug:slug>/<str:table>/<str:record_id>/conflict/<uuid:conflict_id>/",
                "conflict",
                record_conflict.record_conflict,
            ),
        ]
        sign_in = path("second-factor/", second_factor_page, name="second_factor")
        own = [path(route, self.admin_view(view), name=f"records_{name}") for route, name, view in pages]
        return [sign_in, *own, *super().get_urls()]

    def has_permission(self, request: HttpRequest) -> bool:
        """Require the second factor of users who have set one up, and of all staff if it is required."""
        return super().has_permission(request) and second_factor.is_satisfied(request.user)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Sign in, at most as often as over the API. Users who must set up a second factor are sent there first."""
        if request.method == "GET" and request.user.is_active and second_factor.must_enroll(request.user):
            return HttpResponseRedirect(reverse("admin:second_factor", current_app=self.name))
        wait = seconds_to_wait(request) if request.method == "POST" else 0
        request.moat_wait = wait  # type: ignore[attr-defined]
        response = super().login(request, extra_context)
        if wait:
            response.status_code = 429
            response["Retry-After"] = str(wait)
        return response

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Change one's own password, and decide about one's devices."""
        view = PasswordChangeView.as_view(
            form_class=OwnPasswordForm,
            success_url=reverse("admin:password_change_done", current_app=self.name),
            template_name="admin/password_change.html",
            extra_context={**self.each_context(request), **(extra_context or {})},
        )
        return view(request)

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Put each tenant's records ahead of the site's own models."""
        apps = super().get_app_list(request, app_label)
        return apps if app_label else [*_sections(request), *apps]


def _sections(request: HttpRequest) -> list[dict[str, Any]]:
    tenants = list(visible_tenants(request)[: MOST_SECTIONS + 1])
    sections = [_section(tenant) for tenant in tenants[:MOST_SECTIONS]]
    if len(tenants) > MOST_SECTIONS:
        every = {
            "name": "All tenants",
            "object_name": "every_tenant",
            "admin_url": reverse("admin:records_tenants"),
            "view_only": True,
        }
        sections.append(_app("Records", "records", reverse("admin:records_tenants"), [every]))
    return sections


def _section(tenant: Tenant) -> dict[str, Any]:
    types = sorted(
        schema_of(tenant.pk, tenant.schema_version).objects, key=lambda spec: spec.label_plural or spec.table_name
    )
    url = reverse("admin:records_index", args=[tenant.slug])
    return _app(f"Records: {tenant}", f"records-{tenant.slug}", url, [_entry(tenant, spec) for spec in types])


def _entry(tenant: Tenant, spec: ObjectSpec) -> dict[str, Any]:
    at = [tenant.slug, spec.table_name]
    return {
        "name": spec.label_plural or spec.label or spec.table_name,
        "object_name": spec.object_name,
        "admin_url": reverse("admin:records_list", args=at),
        "add_url": reverse("admin:records_add", args=at),
        "perms": {"add": True, "change": True, "delete": True, "view": True},
        "view_only": False,
    }


def _app(name: str, label: str, url: str, models: list[dict[str, Any]]) -> dict[str, Any]:
    return {"name": name, "app_label": label, "app_url": url, "has_module_perms": True, "models": models}
