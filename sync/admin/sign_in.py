"""Sign in to the admin: the throttle of every password form, and the optional second factor."""

from typing import Any

import segno
from django import forms
from django.contrib import admin, messages
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django_otp import login as mark_verified

from tenants import second_factor
from tenants.sign_out import end_sessions

WRONG_CODE = "This code isn’t valid, or it was already used. Wait for the next one and try again."


class SignInForm(AdminAuthenticationForm):
    """User name, password, and the one-time code of users who have set up a second factor."""

    code = forms.CharField(
        required=False,
        max_length=40,
        label="One-time code",
        help_text="Only if you have set up a second factor. You can also enter a recovery code.",
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code"}),
    )

    def clean(self) -> dict[str, Any]:
        """Reject attempts above the limit before the password is checked; then check the code."""
        if wait := getattr(self.request, "moat_wait", 0):
            raise forms.ValidationError(f"Too many sign-in attempts. Try again in {wait} seconds.", code="throttled")
        cleaned: dict[str, Any] = super().clean()
        user: Any = self.get_user()
        if user is not None and second_factor.is_enrolled(user):
            code = cleaned.get("code") or ""
            if not code:
                raise forms.ValidationError("Enter the code from your authenticator app.", code="code_required")
            device = second_factor.check_code(user, code)
            if device is None:
                raise forms.ValidationError(WRONG_CODE, code="wrong_code")
            user.otp_device = device  # django-otp stores it in the session
        return cleaned


@never_cache
@sensitive_post_parameters()
def second_factor_page(request: HttpRequest) -> HttpResponseBase:
    """Set up the second factor, replace the recovery codes, or turn it off. Each needs a valid code."""
    user: Any = request.user
    here = reverse("admin:second_factor")
    enrolled = second_factor.is_enrolled(user)
    if not (user.is_active and user.is_staff and (not enrolled or second_factor.is_satisfied(user))):
        return redirect_to_login(here, reverse("admin:login"))
    if request.method != "POST":
        return _page(request)
    code, wanted = request.POST.get("code", "")[:40], request.POST.get("action", "")
    if not enrolled:
        device = second_factor.enroll(user, code)
        if device is None:
            messages.error(request, WRONG_CODE)
            return HttpResponseRedirect(here)
        _end_other_sessions(request, device)
        return _page(request, second_factor.new_recovery_codes(user))
    if second_factor.check_code(user, code) is None:
        messages.error(request, WRONG_CODE)
    elif wanted == "off":
        second_factor.remove(user)
        messages.success(request, "The second factor is off.")
    elif wanted == "codes":
        return _page(request, second_factor.new_recovery_codes(user))
    return HttpResponseRedirect(here)


def _end_other_sessions(request: HttpRequest, device: Any) -> None:
    """End sessions that were started without the second factor. This one continues under a new key."""
    user: Any = request.user
    request.session.setdefault(SESSION_KEY, str(user.pk))  # load the session before its row is deleted
    end_sessions([user.pk])
    request.session.create()
    mark_verified(request, device)


def _page(request: HttpRequest, codes: list[str] | None = None) -> TemplateResponse:
    user: Any = request.user
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": "Second factor",
        "enrolled": second_factor.is_enrolled(user),
        "codes": codes,
    }
    if not context["enrolled"]:
        address = second_factor.pending_device(user).config_url
        context |= {"address": address, "qr": segno.make(address, micro=False).svg_inline(scale=4, light="white")}
    return TemplateResponse(request, "admin/second_factor.html", context)
