"""Scope the admin: operators (superusers) see everything, tenant admins only the rows of their tenants.

A tenant admin is an active staff user with a Membership of role `admin`. Django's model permissions do not matter for
them: the role is the permission. Other staff users see no rows.
"""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.filters import RelatedFieldListFilter
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Field, ForeignKey, Model, QuerySet
from django.forms import ModelChoiceField, ModelMultipleChoiceField
from django.http import HttpRequest

from tenants.models import Membership, Tenant

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
    _Inline = admin.TabularInline[Any, Any]
else:
    _ModelAdmin = admin.ModelAdmin
    _Inline = admin.TabularInline


def is_operator(user: User | AnonymousUser) -> bool:
    """Return whether the user operates the whole installation."""
    return bool(user.is_active and user.is_superuser)


def administered_ids(user: User | AnonymousUser) -> frozenset[int]:
    """Return the IDs of the tenants a user administers. Queried once per user object, and so once per request."""
    if not (user.is_active and user.is_staff) or user.pk is None:
        return frozenset()
    found: frozenset[int] | None = getattr(user, "_moat_administered", None)
    if found is None:
        rows = Membership.objects.filter(user_id=user.pk, role=Membership.Role.ADMIN).values_list(
            "tenant_id", flat=True
        )
        found = frozenset(rows)
        user._moat_administered = found  # type: ignore[attr-defined]
    return found


def may_administer(user: User | AnonymousUser, tenant_id: int) -> bool:
    """Return whether the user is an operator or an admin of this tenant."""
    return is_operator(user) or tenant_id in administered_ids(user)


def visible_tenants(request: HttpRequest) -> QuerySet[Tenant]:
    """Return the tenants that this request's user can see in the admin."""
    tenants = Tenant.objects.all()
    return tenants if is_operator(request.user) else tenants.filter(pk__in=administered_ids(request.user))


def scoped_rows(site: admin.AdminSite, model: type[Model], request: HttpRequest) -> "QuerySet[Any]":
    """Return the rows of any model that this request's user can see or choose; none if the model has no tenant."""
    registered = site._registry.get(model)
    if isinstance(registered, TenantScopedAdmin):
        return registered.get_queryset(request)
    rows: QuerySet[Any] = model._default_manager.all()
    if is_operator(request.user):
        return rows
    try:
        model._meta.get_field("tenant")
    except FieldDoesNotExist:
        return rows.none()
    return rows.filter(tenant__in=administered_ids(request.user))


class ScopedRelatedFilter(RelatedFieldListFilter):
    """A sidebar filter by a related row that lists only rows the user can see."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the visible rows as choices."""
        visible = scoped_rows(model_admin.admin_site, field.remote_field.model, request).order_by()
        ordering = self.field_admin_ordering(field, request, model_admin)
        choices: list[tuple[str, Any]] = field.get_choices(
            include_blank=False, ordering=ordering, limit_choices_to={"pk__in": visible.values("pk")}
        )
        return choices


class _Scope:
    """Limit related-row choices to visible rows, for scoped admins and inlines."""

    admin_site: admin.AdminSite

    def formfield_for_foreignkey(
        self, db_field: "ForeignKey[Any, Any]", request: HttpRequest, **kwargs: Any
    ) -> "ModelChoiceField[Any] | None":
        """Offer only rows the user can see. If a tenant admin has one tenant, preselect it."""
        model = db_field.remote_field.model
        kwargs.setdefault("queryset", scoped_rows(self.admin_site, model, request))
        if model is Tenant and not is_operator(request.user) and len(administered_ids(request.user)) == 1:
            kwargs.setdefault("empty_label", None)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)  # type: ignore[misc,no-any-return]

    def formfield_for_manytomany(
        self, db_field: Any, request: HttpRequest, **kwargs: Any
    ) -> "ModelMultipleChoiceField[Any] | None":
        """Offer only rows the user can see."""
        kwargs.setdefault("queryset", scoped_rows(self.admin_site, db_field.remote_field.model, request))
        return super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[misc,no-any-return]


class TenantScopedAdmin(_Scope, _ModelAdmin):
    """A ModelAdmin that shows tenant admins only the rows of their tenants. The base of every admin in Moat.

    `tenant_path` is the lookup path from the model to its tenant (`object_type__tenant`), or "" for Tenant itself. A
    subclass that narrows a permission calls `super()` first.
    """

    tenant_path = "tenant"

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        """Return the rows the user can see. List, change, delete, history, actions, and autocomplete all start here."""
        rows: QuerySet[Any] = super().get_queryset(request)
        if is_operator(request.user):
            return rows
        return rows.filter(**{f"{self.tenant_path or 'pk'}__in": administered_ids(request.user)})

    def tenant_ids(self, obj: Any) -> set[int]:
        """Return the tenants a row belongs to, by following `tenant_path`."""
        *parts, last = self.tenant_path.split("__")
        for part in parts:
            obj = getattr(obj, part)
        return {getattr(obj, f"{last}_id" if last else "pk")}

    def _may(self, request: HttpRequest, obj: Any) -> bool:
        if is_operator(request.user):
            return True
        mine = administered_ids(request.user)
        return bool(mine) if obj is None else bool(self.tenant_ids(obj) & mine)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Show the app to operators and tenant admins."""
        return self._may(request, None)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Allow rows of the user's own tenants."""
        return self._may(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Let tenant admins add rows to their own tenants."""
        return self._may(request, None)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Allow rows of the user's own tenants."""
        return self._may(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Allow rows of the user's own tenants."""
        return self._may(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[Any, ...]:
        """Make the tenant of an existing row read-only."""
        fields = tuple(super().get_readonly_fields(request, obj))
        return (
            (*fields, "tenant")
            if obj is not None and self.tenant_path == "tenant" and "tenant" not in fields
            else fields
        )

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        """Make sidebar filters by related rows list only visible rows."""
        return [self._scoped_filter(item) for item in super().get_list_filter(request)]

    def _scoped_filter(self, item: Any) -> Any:
        if not isinstance(item, str) or "__" in item:
            return item
        try:
            field = self.model._meta.get_field(item)
        except FieldDoesNotExist:
            return item
        return (item, ScopedRelatedFilter) if isinstance(field, Field) and field.is_relation else item


class TenantScopedInline(_Scope, _Inline):
    """A tabular inline of a TenantScopedAdmin, which has checked the parent. Here too, the role is the permission."""

    def _may(self, request: HttpRequest) -> bool:
        return is_operator(request.user) or bool(administered_ids(request.user))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Allow users who can see the parent."""
        return self._may(request)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Allow users who can see the parent."""
        return self._may(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Allow users who can see the parent."""
        return self._may(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Allow users who can see the parent."""
        return self._may(request)
