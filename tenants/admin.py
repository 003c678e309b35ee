"""Admin of tenants, members, profiles, devices, and users. Every admin of Moat builds on `TenantScopedAdmin`."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from tenants import second_factor, tokens
from tenants.forms import NewMemberForm, ResetPasswordForm
from tenants.members import is_only_in, open_admin
from tenants.models import Device, Membership, SecurityProfile, Tenant
from tenants.scoping import (
    ScopedRelatedFilter,
    TenantScopedAdmin,
    TenantScopedInline,
    administered_ids,
    is_operator,
    may_administer,
    scoped_rows,
    visible_tenants,
)
from tenants.sign_out import end_sessions, sign_out_everywhere

__all__ = [
    "ScopedRelatedFilter",
    "TenantScopedAdmin",
    "TenantScopedInline",
    "administered_ids",
    "is_operator",
    "may_administer",
    "scoped_rows",
    "visible_tenants",
]

if TYPE_CHECKING:
    _UserAdmin = UserAdmin[User]
    _Form = ModelForm[Any]
else:
    _UserAdmin = UserAdmin
    _Form = ModelForm

admin.site.site_header = "Moat"
admin.site.site_title = "Moat"
admin.site.unregister(User)
# Their own pages would show operators the secrets. `tenants.second_factor` manages these rows.
admin.site.unregister([TOTPDevice, StaticDevice])


def signed_out(devices: int, sessions: int) -> str:
    """Return the message after *Sign out everywhere*."""
    return (
        f"Signed out {devices} device{'' if devices == 1 else 's'} and "
        f"{sessions} browser session{'' if sessions == 1 else 's'}."
    )


@admin.register(Tenant)
class TenantAdmin(TenantScopedAdmin):
    """Operators create tenants; tenant admins see their own and can rename it.

    A tenant cannot be deleted here: that would orphan its type tables.
    """

    tenant_path = ""
    list_display = ("slug", "name", "schema_version", "cursor", "created_at")
    search_fields = ("slug", "name")
    fields = ("slug", "name", "schema_version", "cursor", "pruned_cursor", "server_epoch", "created_at")
    readonly_fields = ("schema_version", "cursor", "pruned_cursor", "server_epoch", "created_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[Any, ...]:
        """Make the slug read-only once the tenant exists: its chain starts from the slug."""
        fields = super().get_readonly_fields(request, obj)
        return (*fields, "slug") if obj is not None else fields

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Allow only operators to create tenants."""
        return is_operator(request.user)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never allow deleting a tenant."""
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: _Form, change: bool) -> None:
        """Give a new tenant a full-access profile. Of an existing one, save only the name: the lock guards the rest."""
        if change:
            obj.save(update_fields=["name"])
            return
        super().save_model(request, obj, form, change)
        SecurityProfile.objects.create(tenant=obj, name="Full access", full_access=True)


@admin.register(SecurityProfile)
class SecurityProfileAdmin(TenantScopedAdmin):
    """What members can see. `sync.admin.profiles` adds the rules per object type, where object types are known."""

    list_display = ("name", "tenant", "full_access", "revision")
    list_filter = ("tenant",)
    search_fields = ("name",)
    readonly_fields = ("revision",)


@admin.register(Membership)
class MembershipAdmin(TenantScopedAdmin):
    """Members of a tenant. A tenant admin can add new users here, and never sees users of other tenants."""

    list_display = ("user", "tenant", "role", "profile")
    list_filter = ("tenant", "role")
    list_select_related = ("user", "tenant", "profile")
    search_fields = ("user__username", "user__first_name", "user__last_name")
    actions = ("sign_out",)

    @admin.action(description="Sign out everywhere", permissions=["change"])
    def sign_out(self, request: HttpRequest, queryset: "QuerySet[Membership]") -> None:
        """Revoke the members' devices in this tenant. End their sessions if the account is the tenant's own."""
        members = list(queryset.select_related("user"))
        devices = sum(tokens.revoke_all(member.user_id, member.tenant_id) for member in members)
        mine = administered_ids(request.user)
        own = [m.user_id for m in members if is_operator(request.user) or is_only_in(m.user, mine)]
        sessions = end_sessions(own)
        self.message_user(request, signed_out(devices, sessions), messages.SUCCESS)
        if len(own) < len(members):
            self.message_user(
                request,
                "Some of these users also belong to other tenants. Their browser sessions continue.",
                messages.WARNING,
            )

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> type[_Form]:
        """Offer to create a user on the add page."""
        if obj is None:
            kwargs["form"] = NewMemberForm
        form: type[_Form] = super().get_form(request, obj, change=change, **kwargs)
        return form

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[Any, ...]:
        """Make the user of an existing membership read-only."""
        fields = super().get_readonly_fields(request, obj)
        return (*fields, "user") if obj is not None else fields

    def save_model(self, request: HttpRequest, obj: Any, form: _Form, change: bool) -> None:
        """Create the new user first, and give a tenant admin access to this site."""
        if not change and form.cleaned_data.get("new_username"):
            obj.user = User.objects.create_user(
                form.cleaned_data["new_username"], password=form.cleaned_data["new_password"]
            )
        super().save_model(request, obj, form, change)
        open_admin(obj)


@admin.register(Device)
class DeviceAdmin(TenantScopedAdmin):
    """Client installations. Adding one shows its token once. Devices are revoked, not deleted: the log names them."""

    list_display = ("name", "id", "user", "tenant", "created_at", "last_seen_at", "last_cursor", "active")
    list_filter = ("tenant", ("revoked_at", admin.EmptyFieldListFilter))
    list_select_related = ("user", "tenant")
    search_fields = ("id", "name", "user__username")
    readonly_fields = ("id", "created_at", "last_seen_at", "last_cursor", "revoked_at")
    actions = ("revoke",)

    @admin.display(boolean=True, ordering="revoked_at")
    def active(self, obj: Device) -> bool:
        """Return whether the device's token works."""
        return obj.revoked_at is None

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Show only the fields that can be entered when adding a device."""
        return ("tenant", "user", "name", *self.readonly_fields) if obj is not None else ("tenant", "user", "name")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[Any, ...]:
        """Make the owner of an existing device read-only."""
        fields = super().get_readonly_fields(request, obj)
        return (*fields, "user") if obj is not None else fields

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never allow deletion: devices are revoked instead."""
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: _Form, change: bool) -> None:
        """Seal a new device; its token exists only in this request. For an existing one, save only the name."""
        if change:
            obj.save(update_fields=["name"])
            return
        request.moat_token = tokens.seal(obj)  # type: ignore[attr-defined]
        super().save_model(request, obj, form, change)

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        """Show the token in this response: it is never stored, not even in a message or session."""
        context = {
            **self.admin_site.each_context(request),
            "title": "Device created",
            "device": obj,
            "token": request.moat_token,  # type: ignore[attr-defined]
            "opts": self.opts,
        }
        response = TemplateResponse(request, "admin/tenants/device/token.html", context)
        response["Cache-Control"] = "no-store"
        return response

    @admin.action(description="Revoke selected devices", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: "QuerySet[Device]") -> None:
        """Revoke each selected device, which closes its live connections."""
        revoked = sum(tokens.revoke(device) for device in queryset)
        self.message_user(request, f"{revoked} device{'' if revoked == 1 else 's'} revoked.", messages.SUCCESS)


@admin.register(User)
class ScopedUserAdmin(TenantScopedAdmin, _UserAdmin):
    """User accounts. Tenant admins see their members and can edit accounts that belong solely to their tenants."""

    tenant_path = "memberships__tenant"
    actions = ("sign_out", "remove_second_factor")
    change_password_form = ResetPasswordForm
    change_user_password_template = "admin/tenants/user/change_password.html"  # noqa: S105
    plain_fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Personal info", {"fields": ("first_name", "last_name", "email")}),
        ("Access", {"fields": ("is_active",)}),
    )

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        """Return the members of the admin's tenants, each once."""
        users = User.objects.order_by("username")
        if is_operator(request.user):
            return users
        return users.filter(pk__in=Membership.objects.filter(tenant__in=administered_ids(request.user)).values("user"))

    def tenant_ids(self, obj: Any) -> set[int]:
        """Return every tenant the user is a member of."""
        return set(obj.memberships.values_list("tenant_id", flat=True))

    @admin.action(description="Sign out everywhere", permissions=["change"])
    def sign_out(self, request: HttpRequest, queryset: "QuerySet[User]") -> None:
        """Revoke the users' devices and end their sessions. Skip accounts that the admin may not edit."""
        done = [sign_out_everywhere(user.pk) for user in queryset if self.has_change_permission(request, user)]
        self.message_user(request, signed_out(sum(d for d, _ in done), sum(s for _, s in done)), messages.SUCCESS)
        if len(done) < len(queryset):
            self.message_user(
                request,
                "Accounts that also belong to other tenants were skipped. Sign them out under Memberships.",
                messages.WARNING,
            )

    @admin.action(description="Remove second factor", permissions=["change"])
    def remove_second_factor(self, request: HttpRequest, queryset: "QuerySet[User]") -> None:
        """Turn off the second factor of users who lost theirs. Skip accounts that the admin may not edit."""
        removed = sum(second_factor.remove(user) for user in queryset if self.has_change_permission(request, user))
        self.message_user(request, f"Removed {removed} second factor{'' if removed == 1 else 's'}.", messages.SUCCESS)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Allow only operators: tenant admins add users as members."""
        return is_operator(request.user)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let tenant admins edit only accounts that belong solely to their tenants."""
        if not super().has_change_permission(request, obj):
            return False
        return obj is None or is_operator(request.user) or is_only_in(obj, administered_ids(request.user))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Allow only operators: tenant admins end a membership or deactivate an account instead."""
        return is_operator(request.user)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Hide site-wide permissions from tenant admins."""
        return super().get_fieldsets(request, obj) if is_operator(request.user) else self.plain_fieldsets

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        """Hide the group filters from tenant admins: groups are site-wide."""
        return super().get_list_filter(request) if is_operator(request.user) else ["is_active"]

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        """List accounts by name; show site-wide permissions to operators only."""
        columns = ("username", "email", "first_name", "last_name", "is_active")
        return (*columns, "is_staff", "is_superuser") if is_operator(request.user) else columns
