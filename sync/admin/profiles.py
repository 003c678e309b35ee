"""Security profiles in the admin: rules per object type, channels, and an access preview."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection
from django.db.models import QuerySet
from django.forms import BaseInlineFormSet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from metadata.access import Rules
from metadata.access_store import Access, access_of
from metadata.models import RULES_WITH_FULL_ACCESS, AccessRule
from metadata.schema import TenantSchema
from sync.admin.access_forms import AccessRuleForm, published
from sync.admin.filter_help import help_of, parameters_of, unknown_attributes
from sync.channels.row_filter_sql import visible
from sync.records.columns import table_of
from tenants.admin import SecurityProfileAdmin as PlainProfileAdmin
from tenants.models import Device, Membership, SecurityProfile
from tenants.scoping import TenantScopedInline

if TYPE_CHECKING:
    _FormSet = BaseInlineFormSet[AccessRule, SecurityProfile, AccessRuleForm]
else:
    _FormSet = BaseInlineFormSet


class _RuleFormSet(_FormSet):
    """Passes the tenant to each rule, and rejects rules next to full access."""

    def clean(self) -> None:
        """Reject rules that would have no effect."""
        super().clean()
        kept = [form for form in self.forms if form.has_changed() or form.instance.pk]
        full_access = self.instance.full_access
        if full_access and any(not self._should_delete_form(form) for form in kept):  # type: ignore[attr-defined]
            raise ValidationError(RULES_WITH_FULL_ACCESS)

    def _construct_form(self, i: int, **kwargs: Any) -> AccessRuleForm:
        form: AccessRuleForm = super()._construct_form(i, **kwargs)  # type: ignore[misc]
        form.tenant_id = self.instance.tenant_id
        form.offer(self.schema)
        return form

    @property
    def empty_form(self) -> AccessRuleForm:
        """The form that *Add another* copies."""
        form: AccessRuleForm = super().empty_form
        form.offer(self.schema)
        return form

    @cached_property
    def schema(self) -> TenantSchema:
        """The tenant's published schema, read once."""
        return published(self.instance.tenant_id)


class AccessRuleInline(TenantScopedInline):
    """One row per object type. For the profile, object types without a row do not exist."""

    model = AccessRule
    form = AccessRuleForm
    formset: Any = _RuleFormSet
    extra = 0
    template = "admin/edit_inline/stacked.html"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "object_name",
                    ("can_read", "can_create", "can_update", "can_delete"),
                    "readable_fields",
                    "writable_fields",
                    "row_filter",
                    "subtypes",
                    "statuses",
                )
            },
        ),
    )


@dataclass(frozen=True, slots=True)
class TypeAccess:
    """A member's access to one object type."""

    name: str
    records: int
    fields: int
    verbs: str


@dataclass(frozen=True, slots=True)
class AccessPreview:
    """A member's access and channel; `sharing` counts the devices on the channel."""

    username: str
    channel: str
    sharing: int
    types: list[TypeAccess]

    def __str__(self) -> str:
        return f"as {self.username}: " + (
            ", ".join(f"{s.records} {s.name}, {s.fields} fields" for s in self.types) or "nothing"
        )


def accessible_types(schema: TenantSchema, rules: Rules | None) -> list[TypeAccess]:
    """Count the records that rules let through, per object type. Hidden types are left out."""
    return [
        TypeAccess(spec.label_plural or spec.table_name, *_counted(schema, spec.table_name, rules))
        for spec in schema.objects
        if rules is None or spec.table_name in rules.by_table
    ]


def _counted(schema: TenantSchema, table: str, rules: Rules | None) -> tuple[int, int, str]:
    spec = schema.by_table[table]
    condition, values = visible(schema, table, rules, connection.vendor)
    physical = table_of(schema.tenant_id, spec)
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT count(*) FROM {physical} WHERE NOT {physical}."_deleted" AND ({condition})', values)
        records = cursor.fetchone()[0]
    if rules is None:
        return records, len(spec.fields), "read, create, update, delete"
    rule = rules.by_table[table]
    verbs = ["read", *(verb for verb in ("create", "update", "delete") if getattr(rule, verb))]
    return records, sum(rule.can_read(f.name) for f in spec.fields), ", ".join(verbs)


def preview_of(membership: Membership, sharing: Counter[str] | None = None) -> AccessPreview:
    """Return what a member currently sees."""
    access: Access = access_of(membership.tenant_id, membership.user_id)
    counted = sharing if sharing is not None else devices_by_channel(membership.tenant_id)
    types = accessible_types(published(membership.tenant_id), access.rules)
    return AccessPreview(membership.user.get_username(), access.channel, counted[access.channel], types)


def devices_by_channel(tenant_id: int) -> Counter[str]:
    """Count the devices whose replica holds each channel."""
    held = Device.objects.filter(tenant_id=tenant_id, revoked_at=None).exclude(channel="")
    return Counter(held.values_list("channel", flat=True))


admin.site.unregister(SecurityProfile)


@admin.register(SecurityProfile)
class SecurityProfileAdmin(PlainProfileAdmin):
    """What members may see and do."""

    list_display = (  # type: ignore[assignment]
        "name",
        "tenant",
        "full_access",
        "revision",
        "members",
        "channels_in_use",
        "preview",
    )
    list_filter = ("tenant",)
    list_select_related = ("tenant",)
    search_fields = ("name",)
    change_form_template = "admin/tenants/securityprofile/change_form.html"
    readonly_fields = ("revision", "channels_in_use", "preview")  # type: ignore[assignment]
    inlines: ClassVar = [AccessRuleInline]

    def get_inlines(self, request: HttpRequest, obj: Any) -> list[Any]:
        """Offer rules only once the profile exists: its tenant determines the object types."""
        return list(self.inlines) if obj is not None else []

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        """Fetch what the columns need."""
        return super().get_queryset(request).prefetch_related("memberships")

    @admin.display(description="members")
    def members(self, obj: SecurityProfile) -> int:
        """Return how many members have the profile."""
        return len(obj.memberships.all())

    @admin.display(description="devices per channel")
    def channels_in_use(self, obj: SecurityProfile) -> str:
        """Return how many devices share each of its channels."""
        keys = {
            channel.key: channel.parameters
            for channel in obj.channels.all()
            if channel.profile_revision == obj.revision
        }
        counted = devices_by_channel(obj.tenant_id)
        shown = [
            f"{', '.join(f'{k}={v}' for k, v in sorted(parameters.items())) or 'all'}: {counted[key]}"
            for key, parameters in keys.items()
        ]
        return "; ".join(shown[:20]) + (f"; {len(shown) - 20} more" if len(shown) > 20 else "") if shown else "-"

    @admin.display(description="preview")
    def preview(self, obj: SecurityProfile) -> str:
        """Link to the access preview."""
        return (
            format_html(
                '<a href="{}">Preview access</a>', reverse("admin:tenants_securityprofile_preview", args=[obj.pk])
            )
            if obj.pk
            else "-"
        )

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        """Add the help for row filters."""
        if obj is not None:
            parameters = parameters_of(obj.tenant_id)
            context |= {"parameters": parameters, "filter_help": help_of(published(obj.tenant_id), parameters)}
        return super().render_change_form(request, context, add, change, form_url, obj)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Warn about a profile without rules, and about parameters that no member has.

        Such a filter is valid, but it matches nothing until a member has the attribute.
        """
        super().save_related(request, form, formsets, change)
        if not form.instance.full_access and not form.instance.rules.exists():
            self.message_user(
                request, "This profile has no rules yet, so its members can’t see any records.", messages.WARNING
            )
        filters = list(form.instance.rules.values_list("row_filter", flat=True))
        for name in unknown_attributes(filters, parameters_of(form.instance.tenant_id)):
            attribute = name.rpartition(".")[2]
            self.message_user(
                request,
                f"No member has {name} yet, so this filter matches nothing. Add {attribute} to the "
                "membership attributes.",
                messages.WARNING,
            )

    def get_urls(self) -> list[URLPattern]:
        """Add the preview."""
        view = self.admin_site.admin_view(self.preview_view)
        return [path("<int:object_id>/preview/", view, name="tenants_securityprofile_preview"), *super().get_urls()]

    def preview_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Show what each member of a profile sees: records and fields per object type."""
        profile = get_object_or_404(self.get_queryset(request), pk=object_id)
        if not self.has_view_permission(request, profile):
            raise PermissionDenied
        sharing = devices_by_channel(profile.tenant_id)
        members = (
            profile.memberships.filter(user__is_active=True).select_related("user").order_by("user__username")[:100]
        )
        context = {
            **self.admin_site.each_context(request),
            "title": f"Access preview: {profile.name}",
            "profile": profile,
            "seen": [preview_of(member, sharing) for member in members],
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/tenants/securityprofile/preview.html", context)
