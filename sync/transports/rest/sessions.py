"""Sign in, sign out, and the current caller."""

from datetime import timedelta
from typing import Any

from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sync.conf import stream_settings
from sync.log.changes import newest_op_of
from sync.transports.rest.auth import Caller, device_of
from sync.transports.rest.describe import described, ref
from sync.transports.rest.errors import RestCode, RestError
from sync.transports.rest.parsers import body_object, text_of
from sync.v1.conf import v1_settings
from tenants.models import Membership
from tenants.sign_out import sign_out_everywhere
from tenants.throttles import LoginAddressThrottle, LoginThrottle
from tenants.tokens import MAX_NAME_LENGTH, IssuedDevice, issue_again, issue_device, revoke

MAX_PASSWORD = 1000
MAX_DEVICE_ID = 40


class LoginView(APIView):
    """Exchanges a user's password for a device token."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = (LoginAddressThrottle, LoginThrottle)

    @described("login", "session", 200, ref("Device"), errors=(400, 401, 403, 429), body=ref("Login"))
    def post(self, request: Request) -> Response:
        """Create a device, or restore a revoked one, and return its token.

        The token is shown only here.
        """
        body = body_object(request)
        tenant = text_of(body, "tenant", longest=40)
        username = text_of(body, "user", longest=150)
        password = text_of(body, "password", longest=MAX_PASSWORD)
        name = text_of(body, "device", longest=MAX_NAME_LENGTH, default="unnamed")
        member = self._member(request, tenant, username=username, password=password)
        issued = self._again(member, body, name) or issue_device(member.tenant, member.user, name)
        answer = {
            "device": issued.device.pk,
            "token": issued.token,
            "tenant": member.tenant.slug,
            "user": member.user.username,
        }
        return Response(answer, headers={"Cache-Control": "no-store"})

    def _again(self, member: Membership, body: dict[str, Any], name: str) -> IssuedDevice | None:
        """Reuse the replica's previous device ID, unless the replica is older than the device's last op."""
        if body.get("device_id") is None:
            return None
        device_id = text_of(body, "device_id", longest=MAX_DEVICE_ID)
        newest = body.get("last_op_id")
        if type(newest) is not int:
            raise RestError(
                RestCode.BAD_REQUEST,
                "last_op_id is required with device_id: the highest op_id this replica has used.",
                field="last_op_id",
            )
        if newest_op_of(device_id) > newest:
            return None
        closed = timedelta(seconds=2 * max(stream_settings().revocation_seconds, v1_settings().v1_ping))
        return issue_again(member.tenant, member.user, device_id, name, closed=closed)

    def _member(self, request: Request, tenant: str, *, username: str, password: str) -> Membership:
        """Return the member who signs in.

        All failures share one error and compute one password hash.
        """
        user: Any = authenticate(request._request, username=username, password=password)
        member = (
            Membership.objects.filter(user=user, tenant__slug=tenant).select_related("tenant", "user").first()
            if user
            else None
        )
        if member is None:
            raise RestError(RestCode.BAD_LOGIN, "The tenant, user name, or password is incorrect.")
        return member


class LogoutView(APIView):
    """Revokes a device's token."""

    permission_classes = (IsAuthenticated,)

    @described("logout", "session", 204, None, errors=(400, 401))
    def post(self, request: Request) -> Response:
        """Revoke the calling device. Its live connection ends; its unsent edits stay on it."""
        device = device_of(request.auth) if isinstance(request.auth, Caller) else None
        if device is None:
            raise RestError(
                RestCode.BAD_REQUEST, "This endpoint signs out devices only. Browser sessions sign out in the admin."
            )
        revoke(device)
        return Response(status=204)


class LogoutEverywhereView(APIView):
    """Signs the caller out everywhere."""

    permission_classes = (IsAuthenticated,)

    @described("logout_everywhere", "session", 204, None, errors=(401,))
    def post(self, request: Request) -> Response:
        """Revoke all of the caller's devices, in all tenants, and end all of their browser sessions.

        This includes the calling device or session. Unsent edits stay on the devices.
        """
        user_id: Any = request.auth.user_id if isinstance(request.auth, Caller) else request.user.pk
        sign_out_everywhere(user_id)
        return Response(status=204)


class MeView(APIView):
    """The current caller."""

    permission_classes = (IsAuthenticated,)

    @described("me", "session", 200, ref("Me"))
    def get(self, request: Request) -> Response:
        """Return the caller's user, tenant, role, and device, and the tenants a session can choose."""
        caller = request.auth if isinstance(request.auth, Caller) else None
        user_id: Any = caller.user_id if caller else request.user.pk
        tenants = (
            Membership.objects.filter(user_id=user_id).order_by("tenant__slug").values_list("tenant__slug", flat=True)
        )
        return Response(
            {
                "user": caller.username if caller else User.objects.get(pk=user_id).get_username(),
                "tenant": caller.tenant if caller else None,
                "role": caller.role if caller else None,
                "device": caller.device_id if caller else None,
                "tenants": [caller.tenant] if caller and caller.device_id else list(tenants),
            }
        )
