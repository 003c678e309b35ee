"""The conflict inbox: what nobody decided yet, with both sides, who and when. Settled ones stay readable."""

from collections.abc import Iterator
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import quote
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from metadata.catalog import schema_of
from sync.models import Conflict
from sync.settle.push import resolve_conflict
from tenants.errors import MoatError
from tenants.scoping import TenantScopedAdmin


class StateFilter(admin.SimpleListFilter):
    """Open conflicts unless asked otherwise: the inbox is what is left to do."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the settled ones and all of them."""
        return [("settled", "Settled"), ("all", "All")]

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Name the default."""
        first, *rest = super().choices(changelist)
        yield {**first, "display": "Open"}
        yield from rest

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Conflict]") -> "QuerySet[Conflict]":
        """Narrow the list."""
        if self.value() == "all":
            return queryset
        return queryset.filter(state=Conflict.State.SETTLED if self.value() == "settled" else Conflict.State.OPEN)


class ConflictAdmin(TenantScopedAdmin):
    """Read-only, but for settling: one at a time on the record's own page, or many with an action."""

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

    @admin.display(description="record", ordering="record_id")
    def record(self, obj: Conflict) -> SafeString | str:
        """Lead to the page where it is decided, as long as the table is published."""
        name = f"{obj.table_name} / {obj.record_id}"
        schema = schema_of(obj.tenant_id, obj.tenant.schema_version)
        if obj.table_name not in schema.by_table:
            return f"{name} (retired)"
        where = reverse("admin:records_conflict", args=[obj.tenant.slug, obj.table_name, quote(obj.record_id), obj.pk])
        return format_html('<a href="{}">{}</a>', where, name)

    @admin.display(description="fields")
    def what(self, obj: Conflict) -> str:
        """Name the fields both sides changed."""
        return ", ".join(obj.fields) or "the whole record"

    @admin.display(description="outcome", ordering="state")
    def outcome(self, obj: Conflict) -> str:
        """Say how it ended."""
        if obj.state == Conflict.State.OPEN:
            return "open"
        return f"{obj.resolution}, {obj.settled_by}" if obj.settled_by else obj.resolution

    @admin.display(description="base → device | server")
    def sides(self, obj: Conflict) -> SafeString:
        """Show the three sides of every field the device set."""
        names = sorted({*(obj.mine or {}), *obj.fields})
        rows = [(name, *(_value(side, name) for side in (obj.base, obj.mine, obj.theirs))) for name in names]
        body = format_html_join("", "<tr><th>{}</th><td>{}</td><td>{}</td><td>{}</td></tr>", rows)
        return format_html(
            "<table><thead><tr><th>Field</th><th>Both started from</th><th>Device</th><th>Server</th></tr></thead><tbody>{}</tbody></table>",
            body,
        )

    @admin.action(description="Settle with the device's values")
    def settle_mine(self, request: HttpRequest, queryset: "QuerySet[Conflict]") -> None:
        """Write what the devices wanted."""
        self._settle(request, queryset, "mine")

    @admin.action(description="Settle and keep the server's values")
    def settle_theirs(self, request: HttpRequest, queryset: "QuerySet[Conflict]") -> None:
        """Leave the records as they are."""
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
        messages.success(request, f"{done} settled.")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Conflicts are made by the engine alone."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nothing that lost is thrown away."""
        return False


def _value(side: dict[str, Any] | None, name: str) -> str:
    if side is None:
        return "—"
    value = side.get(name)
    return "" if value is None else str(value)[:300]
