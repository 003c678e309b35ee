"""The conflict inbox: open conflicts with both versions, authors, and times. Resolved ones stay."""

from collections.abc import Iterator
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import quote
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from metadata.access_store import access_of
from metadata.catalog import schema_of
from sync.models import Conflict
from sync.settle.inbox import conflicts_for
from sync.settle.push import resolve_conflict
from tenants.errors import MoatError
from tenants.models import Membership
from tenants.scoping import TenantScopedAdmin, administered_ids, is_operator


def visible_conflicts(request: HttpRequest) -> Q:
    """Return the condition that selects the conflicts a user of the admin can see, in all tenants they administer."""
    user: Any = request.user
    if is_operator(user):
        return Q()
    found = Q(pk__in=[])
    for tenant_id in administered_ids(user):
        found |= conflicts_for(access_of(tenant_id, user.pk), user.get_username(), Membership.Role.ADMIN)
    return found


class StateFilter(admin.SimpleListFilter):
    """Filter by state. Open conflicts are the default, because the inbox shows what is left to do."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer resolved conflicts and all conflicts."""
        return [("settled", "Resolved"), ("all", "All")]

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Add the label of the default."""
        first, *rest = super().choices(changelist)
        yield {**first, "display": "Open"}
        yield from rest

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Conflict]") -> "QuerySet[Conflict]":
        """Filter the list."""
        if self.value() == "all":
            return queryset
        return queryset.filter(state=Conflict.State.SETTLED if self.value() == "settled" else Conflict.State.OPEN)


class ConflictAdmin(TenantScopedAdmin):
    """Read-only except for resolving: one on the record's own page, or many with an action."""

    list_display = ("record", "op", "what", "by", "created_at", "theirs_by", "theirs_at", "outcome", "tenant")
    list_filter = (StateFilter, "tenant", "table_name")
    list_select_related = ("tenant",)
    search_fields = ("record_id", "table_name", "by", "theirs_by")
    date_hierarchy = "created_at"
    actions = ("settle_mine", "settle_theirs")
    fields = (
        "tenant",
        "record",
        "op",
        "sides",
        "by",
        "device_id",
        "created_at",
        "theirs_by",
        "theirs_at",
        "outcome",
        "settled_at",
    )
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        """Leave out conflicts of records that a tenant admin's security profile hides, unless they made the edit."""
        return super().get_queryset(request).filter(visible_conflicts(request))

    @admin.display(description="record", ordering="record_id")
    def record(self, obj: Conflict) -> SafeString | str:
        """Link to the page that resolves the conflict, if the table is still published."""
        name = f"{obj.table_name} / {obj.record_id}"
        schema = schema_of(obj.tenant_id, obj.tenant.schema_version)
        if obj.table_name not in schema.by_table:
            return f"{name} (retired)"
        where = reverse("admin:records_conflict", args=[obj.tenant.slug, obj.table_name, quote(obj.record_id), obj.pk])
        return format_html('<a href="{}">{}</a>', where, name)

    @admin.display(description="fields")
    def what(self, obj: Conflict) -> str:
        """List the fields both sides changed."""
        return ", ".join(obj.fields) or "the whole record"

    @admin.display(description="outcome", ordering="state")
    def outcome(self, obj: Conflict) -> str:
        """Return how the conflict was resolved."""
        if obj.state == Conflict.State.OPEN:
            return "open"
        return f"{obj.resolution}, {obj.settled_by}" if obj.settled_by else obj.resolution

    @admin.display(description="original → device | server")
    def sides(self, obj: Conflict) -> SafeString:
        """Show the three versions of every field the device set."""
        names = sorted({*(obj.mine or {}), *obj.fields})
        rows = [(name, *(_value(side, name) for side in (obj.base, obj.mine, obj.theirs))) for name in names]
        body = format_html_join("", "<tr><th>{}</th><td>{}</td><td>{}</td><td>{}</td></tr>", rows)
        return format_html(
            "<table><thead><tr><th>Field</th><th>Original</th><th>Device</th><th>Server</th></tr></thead>"
            "<tbody>{}</tbody></table>",
            body,
        )

    @admin.action(description="Resolve with the device’s values")
    def settle_mine(self, request: HttpRequest, queryset: "QuerySet[Conflict]") -> None:
        """Write the devices' values."""
        self._settle(request, queryset, "mine")

    @admin.action(description="Resolve with the server’s values")
    def settle_theirs(self, request: HttpRequest, queryset: "QuerySet[Conflict]") -> None:
        """Keep the records as they are."""
        self._settle(request, queryset, "theirs")

    def _settle(self, request: HttpRequest, queryset: "QuerySet[Conflict]", resolution: str) -> None:
        done = 0
        for conflict in queryset.filter(state=Conflict.State.OPEN):
            try:
                result = resolve_conflict(conflict.pk, resolution, request.user.get_username())
                problem = None if result.accepted else result.message
            except MoatError as error:
                problem = error.message
            if problem:
                messages.error(request, f"{conflict}: {problem}")
            else:
                done += 1
        messages.success(request, f"{done} resolved.")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: only the engine creates conflicts."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: losing values are never deleted."""
        return False


def _value(side: dict[str, Any] | None, name: str) -> str:
    if side is None:
        return "—"
    value = side.get(name)
    return "" if value is None else str(value)[:300]
