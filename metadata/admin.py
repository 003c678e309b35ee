"""Admin of object types: edit drafts, publish them with the changelist's action, and read revisions."""

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html_join

from metadata.drafts import drafts_of
from metadata.forms import ObjectFieldForm, ObjectFieldFormSet, ObjectMetadataForm
from metadata.models import ObjectField, ObjectMetadata, SchemaRevision
from metadata.plan import pending
from metadata.plan_checks import POLICIES
from metadata.publish import Publication, publish
from tenants.admin import TenantScopedAdmin, TenantScopedInline, may_administer
from tenants.errors import MoatError, Problem, ValidationFailed
from tenants.locks import lock_tenant
from tenants.models import Tenant

if TYPE_CHECKING:
    from django.contrib.admin.views.main import ChangeList


DRAFT_COLUMNS = ("label", "label_plural", "icon", "title_field", "subtypes", "statuses", "conflict_policy", "retired")
"""The object type's attributes that can be edited at any time."""


class ObjectFieldInline(TenantScopedInline):
    """The draft's fields, stacked: each has too many attributes for a table row."""

    model = ObjectField
    form = ObjectFieldForm
    formset = ObjectFieldFormSet  # type: ignore[assignment]  # its forms know more than the stubs allow
    fk_name = "object_type"
    template = "admin/edit_inline/stacked.html"
    extra = 0
    verbose_name = "field"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("name", "label", "kind", "position"),
                    ("required", "unique", "indexed", "retired"),
                    ("default", "help_text"),
                    ("choices", "reference", "decimal_places"),
                )
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> "QuerySet[ObjectField]":
        """Prefetch the object type, because every form needs its published state."""
        rows: QuerySet[ObjectField] = super().get_queryset(request)
        return rows.select_related("object_type", "reference")

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer the tenant's own object types as references."""
        match = request.resolver_match
        pk = match.kwargs.get("object_id") if match is not None else None
        form_field: Any = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.name == "reference" and form_field is not None and pk is not None and str(pk).isdigit():
            siblings = ObjectMetadata.objects.filter(pk=pk).values("tenant")
            form_field.queryset = form_field.queryset.filter(tenant__in=siblings, retired_version=None)
        return form_field


@dataclass(slots=True)
class TenantPlan:
    """One tenant's part of a confirmation page: its plan, or its problems."""

    tenant: Tenant
    names: list[str]
    publication: Publication | None = None
    problems: list[Problem] = field(default_factory=list)

    @property
    def fingerprint(self) -> str:
        """Return a digest of the plan shown. If the plan changed before it was confirmed, the page asks again."""
        sql, plan = (self.publication.sql, self.publication.plan) if self.publication else ("", "")
        seen = f"{self.tenant.pk}|{sql}|{plan}"
        return hashlib.sha256(seen.encode()).hexdigest()


@admin.register(ObjectMetadata)
class ObjectMetadataAdmin(TenantScopedAdmin):
    """Object types. Saving changes only the draft; the *Publish* action creates or alters the tables."""

    form = ObjectMetadataForm
    inlines = (ObjectFieldInline,)
    actions = ("publish_selected",)
    list_display = ("object_name", "label", "table_name", "tenant", "state", "published_at")
    list_filter = ("tenant",)
    list_select_related = ("tenant",)
    search_fields = ("object_name", "label", "table_name")
    change_form_template = "admin/metadata/objectmetadata/change_form.html"
    fieldsets = (
        (None, {"fields": ("tenant", ("object_name", "table_name"), ("label", "label_plural"), "icon")}),
        ("Records", {"fields": ("title_field", "subtypes", "statuses")}),
        ("Conflicts", {"fields": ("conflict_policy",)}),
        ("Published", {"fields": ("state", "published_at", "retired")}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[Any, ...]:
        """Make the names of an object type that clients have read-only. One they never had is deleted, not retired."""
        fields = (*super().get_readonly_fields(request, obj), "state", "published_at")
        if obj is None or obj.published is None:
            return (*fields, "retired")
        return (*fields, "object_name", "table_name") + (("retired",) if obj.retired_version else ())

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Forbid deleting an object type that clients have, which would orphan its table. It is retired instead."""
        return super().has_delete_permission(request, obj) and (obj is None or obj.published is None)

    def has_publish_permission(self, request: HttpRequest) -> bool:
        """Allow operators, tenant admins, and staff with the publish permission who can see object types."""
        return self._may(request, None) or request.user.has_perm("metadata.publish_objectmetadata")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Save the draft without overwriting fields that a concurrent publish may have changed."""
        if not change:
            super().save_model(request, obj, form, change)
            return
        lock_tenant(obj.tenant_id)
        now = ObjectMetadata.objects.get(pk=obj.pk)
        names = () if now.published else ("object_name", "table_name")
        obj.save(update_fields=[*DRAFT_COLUMNS, *names])

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        """Suggest the built-in policies."""
        context = {**(extra_context or {}), "conflict_policies": POLICIES}
        return super().changeform_view(request, object_id, form_url, context)

    @admin.display(description="state")
    def state(self, obj: ObjectMetadata) -> str:
        """Describe how the draft differs from the published state."""
        known: dict[int, frozenset[str]] | None = getattr(obj, "_moat_pending", None)
        if obj.pk is None:
            return "draft"
        differing = known[obj.tenant_id] if known is not None else pending(drafts_of(obj.tenant_id))
        return _state(obj, changed=obj.object_name in differing)

    def get_changelist_instance(self, request: HttpRequest) -> "ChangeList":
        """Compare drafts with the published state once per tenant, not once per row."""
        changelist = super().get_changelist_instance(request)
        compared: dict[int, frozenset[str]] = {}
        for obj in changelist.result_list:
            if obj.tenant_id not in compared:
                compared[obj.tenant_id] = pending(drafts_of(obj.tenant_id))
            obj._moat_pending = compared
        return changelist

    @admin.action(description="Publish selected object types", permissions=["publish"])
    def publish_selected(self, request: HttpRequest, queryset: "QuerySet[ObjectMetadata]") -> HttpResponse | None:
        """Show what publishing would do, and publish once that is confirmed."""
        plans = self._plans(request, queryset)
        confirmed = set(request.POST.getlist("confirmed"))
        blocked = any(plan.problems for plan in plans)
        if confirmed and not blocked and {plan.fingerprint for plan in plans} == confirmed:
            for plan in plans:
                self._publish(request, plan)
            return None
        if confirmed and not blocked:
            self.message_user(
                request, "The drafts changed since you opened this page. Review the plan again.", messages.WARNING
            )
        context = {
            **self.admin_site.each_context(request),
            "title": "Publish object types",
            "opts": self.opts,
            "plans": plans,
            "can_publish": not blocked and any(plan.publication and plan.publication.plan for plan in plans),
            "selected": queryset,
            "action_checkbox_name": ACTION_CHECKBOX_NAME,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/metadata/objectmetadata/publish.html", context)

    def _plans(self, request: HttpRequest, queryset: "QuerySet[ObjectMetadata]") -> list[TenantPlan]:
        by_tenant: dict[int, TenantPlan] = {}
        for obj in queryset.select_related("tenant").order_by("tenant__slug", "object_name"):
            if may_administer(request.user, obj.tenant_id):
                by_tenant.setdefault(obj.tenant_id, TenantPlan(obj.tenant, [])).names.append(obj.object_name)
        for plan in by_tenant.values():
            try:
                plan.publication = publish(plan.tenant.pk, plan.names, dry_run=True)
            except ValidationFailed as error:
                plan.problems = error.problems
        return list(by_tenant.values())

    def _publish(self, request: HttpRequest, plan: TenantPlan) -> None:
        by = request.user if isinstance(request.user, User) else None
        try:
            done = publish(plan.tenant.pk, plan.names, by=by)
        except ValidationFailed as error:
            lines = format_html_join("; ", "{}: {}", ((problem.where, problem.message) for problem in error.problems))
            self.message_user(request, lines, messages.ERROR)
        except MoatError as error:
            self.message_user(request, error.message, messages.ERROR)
        else:
            for obj in ObjectMetadata.objects.filter(tenant=plan.tenant, object_name__in=plan.names):
                self.log_change(request, obj, f"Published in schema version {done.schema_version}.")
            words = (
                f"Published schema version {done.schema_version} for {plan.tenant}."
                if done.plan
                else f"Nothing to publish for {plan.tenant}."
            )
            self.message_user(request, words, messages.SUCCESS)


def _state(obj: ObjectMetadata, *, changed: bool) -> str:
    if obj.retired_version is not None:
        return f"retired in v{obj.retired_version}"
    if obj.published is None:
        return "draft"
    if obj.retired:
        return f"published v{obj.published_version}, retires at the next publish"
    return f"published v{obj.published_version}" + (", unpublished changes" if changed else "")


@admin.register(SchemaRevision)
class SchemaRevisionAdmin(TenantScopedAdmin):
    """What was published, when, and by whom. Append-only, and so read-only."""

    list_display = ("tenant", "schema_version", "summary", "by", "created_at")
    list_filter = ("tenant",)
    list_select_related = ("tenant", "by")
    fields = ("tenant", "schema_version", "by", "created_at", "plan_lines", "sql_lines")
    readonly_fields = fields

    @admin.display(description="plan")
    def summary(self, obj: SchemaRevision) -> str:
        """Show the first step and how many follow."""
        more = len(obj.plan) - 1
        return "" if not obj.plan else obj.plan[0] + (f" (and {more} more)" if more > 0 else "")

    @admin.display(description="plan")
    def plan_lines(self, obj: SchemaRevision) -> str:
        """Show the plan, one line per step."""
        return format_html_join("", "<div>{}</div>", ((line,) for line in obj.plan))

    @admin.display(description="SQL")
    def sql_lines(self, obj: SchemaRevision) -> str:
        """Show the statements that ran."""
        return format_html_join("", "<pre>{};</pre>", ((line,) for line in obj.sql))

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Forbid adding: publishing creates revisions."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Forbid changes: revisions are immutable."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Forbid deletion: clients that are behind need every revision."""
        return False
