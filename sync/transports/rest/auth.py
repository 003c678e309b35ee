"""Authentication of REST callers: device tokens, and sessions of the admin site."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth.models import User
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from metadata.access_store import Access, access_of, full_access
from sync.transports.rest.errors import RestCode, RestError
from sync.wire.codes import Code
from sync.wire.ops import Actor
from tenants.models import Device, Membership, Tenant
from tenants.second_factor import is_satisfied
from tenants.tokens import identify

if TYPE_CHECKING:
    # Django REST Framework imports this module while creating its views.
    from rest_framework.views import APIView

#: Header in which a browser session names one of its user's tenants.
TENANT_HEADER = "X-Moat-Tenant"
TENANT_PARAMETER = "tenant"


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller and their tenant.

    `device_id` is None for a session, `profile_id` None for an operator who is not a member.
    """

    tenant_id: int
    tenant: str
    user_id: int
    username: str
    role: str
    profile_id: int | None
    device_id: str | None = None

    @property
    def is_authenticated(self) -> bool:
        """True, for Django REST Framework."""
        return True

    @property
    def pk(self) -> int:
        """The user's key, for throttles."""
        return self.user_id

    @property
    def actor(self) -> Actor:
        """The author for the change log.

        Without a device: REST has no op_ids of its own, so none of its lines confirms an overlay.
        """
        return Actor(self.tenant_id, self.username, user_id=self.user_id if self.profile_id is not None else None)

    @property
    def access(self) -> Access:
        """What the caller's security profile allows. Operators who are not members may do everything."""
        return full_access(self.tenant_id) if self.profile_id is None else access_of(self.tenant_id, self.user_id)


class DeviceAuthentication(BaseAuthentication):
    """`Authorization: Bearer moat_…`."""

    def authenticate(self, request: Request) -> tuple[Caller, Caller] | None:
        """Return the token's caller. Raises `bad_token`. None without the header, so a session can apply."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        who = identify(token.strip())
        if who is None:
            raise RestError(Code.BAD_TOKEN, "The token is not valid or was revoked.")
        caller = Caller(
            who.tenant_id, who.tenant_slug, who.user_id, who.username, who.role, who.profile_id, who.device_id
        )
        return caller, caller

    def authenticate_header(self, request: Request) -> str:
        """Return the scheme for a 401."""
        return 'Bearer realm="moat"'


class TenantSessionAuthentication(SessionAuthentication):
    """A signed-in browser. Writes need the CSRF token, as everywhere in Django.

    Pages of apps use tokens; a cookie they send is ignored.
    """

    def authenticate(self, request: Request) -> tuple[User, Caller | None] | None:
        """Return the session's user and, if unambiguous, their tenant."""
        if request.headers.get("Origin") in settings.APP_ORIGINS:
            return None
        found = super().authenticate(request)
        if found is None:
            return None
        user: Any = found[0]
        if not is_satisfied(user):
            return None
        return user, session_caller(user, requested_tenant(request))


def requested_tenant(request: Request) -> str:
    """Return the slug of the tenant that a session requests, or ""."""
    return request.headers.get(TENANT_HEADER) or request.query_params.get(TENANT_PARAMETER, "")


def session_caller(user: User, slug: str) -> Caller | None:
    """Return a signed-in user as a caller in the named tenant, or in their only one.

    None if the choice is ambiguous. Raises `forbidden` for a tenant they do not belong to, in one wording whether or
    not it exists. Operators may act in any tenant.
    """
    memberships = list(Membership.objects.filter(user=user).select_related("tenant"))
    chosen = [m for m in memberships if m.tenant.slug == slug] if slug else memberships
    if len(chosen) == 1:
        member = chosen[0]
        return Caller(
            member.tenant_id, member.tenant.slug, user.pk, user.get_username(), member.role, member.profile_id
        )
    if user.is_superuser and not chosen:
        # PostgreSQL rejects text with a NUL.
        tenants = list(Tenant.objects.filter(slug=slug.replace("\x00", "?")) if slug else Tenant.objects.all()[:2])
        if len(tenants) == 1:
            return Caller(tenants[0].pk, tenants[0].slug, user.pk, user.get_username(), Membership.Role.ADMIN, None)
    if slug:
        raise RestError(Code.FORBIDDEN, "You are not a member of this tenant.")
    return None


class InTenant(BasePermission):
    """Accepts callers whose tenant is known."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        """Check the caller. Raises the error of a missing token, session, or tenant."""
        if not request.user or not request.user.is_authenticated:
            return False
        if not isinstance(request.auth, Caller):
            raise RestError(
                RestCode.NO_TENANT, f"Specify the tenant with the {TENANT_HEADER} header or ?{TENANT_PARAMETER}=."
            )
        return True


def caller_of(request: Request) -> Caller:
    """Return the caller. Only for views behind `InTenant`."""
    caller = request.auth
    if not isinstance(caller, Caller):
        raise RestError(RestCode.NO_TENANT, "Unknown tenant.")
    return caller


def device_of(caller: Caller) -> Device | None:
    """Return the device of a caller's token."""
    return Device.objects.filter(pk=caller.device_id).first() if caller.device_id else None
