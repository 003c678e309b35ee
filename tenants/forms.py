"""Forms of the tenants admin."""

from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import password_validators_help_text_html, validate_password
from django.core.exceptions import ValidationError

from tenants.models import Membership


class NewMemberForm(forms.ModelForm):  # type: ignore[type-arg]
    """Adds a member: a user the admin can see already, or a new one.

    A tenant admin cannot pick users of other tenants; those an operator adds. User names are one space for all tenants, so that a
    name is taken, by somebody somewhere, is all that can be found out.
    """

    new_username = forms.CharField(
        required=False, max_length=150, validators=User._meta.get_field("username").validators, label="or new user name"
    )
    new_password = forms.CharField(
        required=False,
        label="Password of the new user",
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
        """Ask for exactly one person; a new one needs a free name and a sound password."""
        data: dict[str, Any] = super().clean() or self.cleaned_data
        username = data.get("new_username")
        if bool(data.get("user")) == bool(username):
            raise ValidationError({"user": "Choose a user, or name a new one."})
        if username:
            self._check_new(User(username=username), data.get("new_password") or "")
        return data

    def _check_new(self, user: User, password: str) -> None:
        if User.objects.filter(username__iexact=user.username).exists():
            self.add_error("new_username", "This user name is taken.")
        try:
            validate_password(password, user)
        except ValidationError as error:
            self.add_error("new_password", error)
