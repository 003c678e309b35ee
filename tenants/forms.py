"""Forms of the tenants admin."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.auth.forms import AdminPasswordChangeForm, PasswordChangeForm
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import password_validators_help_text_html, validate_password
from django.core.exceptions import ValidationError

from tenants.models import Membership
from tenants.receivers import keep_devices

if TYPE_CHECKING:
    _ResetForm = AdminPasswordChangeForm[User]
else:
    _ResetForm = AdminPasswordChangeForm


class NewMemberForm(forms.ModelForm):  # type: ignore[type-arg]
    """Add a member: an existing user the admin can see, or a new one.

    A tenant admin cannot pick users of other tenants; an operator adds those. User names are shared by all tenants, so
    the form reveals that a name is taken, but nothing else.
    """

    new_username = forms.CharField(
        required=False,
        max_length=150,
        validators=User._meta.get_field("username").validators,
        label="Or a new user name",
    )
    new_password = forms.CharField(
        required=False,
        label="New user’s password",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=password_validators_help_text_html(),
    )

    class Meta:
        model = Membership
        fields = ("tenant", "user", "new_username", "new_password", "role", "profile")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["user"].required = False

    def clean(self) -> dict[str, Any]:
        """Require exactly one user. A new one needs an unused name and a valid password."""
        data: dict[str, Any] = super().clean() or self.cleaned_data
        username = data.get("new_username")
        if bool(data.get("user")) == bool(username):
            raise ValidationError({"user": "Choose an existing user or enter a new user name."})
        if username:
            self._check_new(User(username=username), data.get("new_password") or "")
        return data

    def _check_new(self, user: User, password: str) -> None:
        if User.objects.filter(username__iexact=user.username).exists():
            self.add_error("new_username", "This user name is already taken.")
        try:
            validate_password(password, user)
        except ValidationError as error:
            self.add_error("new_password", error)


class ResetPasswordForm(_ResetForm):
    """Set another user's password, which signs out their devices unless the admin keeps them."""

    keep_devices = forms.BooleanField(required=False, label="Keep devices signed in")

    def save(self, commit: bool = True) -> User:
        """Save the password, and revoke the devices."""
        if self.cleaned_data["keep_devices"]:
            keep_devices(self.user)
        return super().save(commit)


class OwnPasswordForm(PasswordChangeForm):
    """Change one's own password, after deciding about one's devices."""

    devices = forms.ChoiceField(
        choices=[
            ("sign_out", "Sign them out: someone else may have a device or know the password"),
            ("keep", "Keep them signed in"),
        ],
        widget=forms.RadioSelect,
        label="My devices",
    )

    def save(self, commit: bool = True) -> User:
        """Save the password, and revoke the devices if the user chose so."""
        if self.cleaned_data["devices"] == "keep":
            keep_devices(self.user)
        return super().save(commit)
