"""The form of one rule of a security profile, checked against what the tenant has published."""

from typing import TYPE_CHECKING, Any

from django import forms

from metadata.access import problems_of
from metadata.access_store import object_access
from metadata.catalog import schema_of
from metadata.models import AccessRule
from metadata.schema import TenantSchema
from tenants.models import SecurityProfile, Tenant

if TYPE_CHECKING:
    _RuleForm = forms.ModelForm[AccessRule]
else:
    _RuleForm = forms.ModelForm

_FORM_FIELDS = {"readable_fields", "writable_fields", "subtypes", "statuses", "row_filter"}


class NamesField(forms.CharField):
    """A list of names, written with commas; empty means every one."""

    def __init__(self, *, empty: Any, **kwargs: Any) -> None:
        self.empty = empty
        super().__init__(required=False, widget=forms.Textarea(attrs={"rows": 2, "cols": 28}), **kwargs)

    def prepare_value(self, value: Any) -> Any:
        """Show a stored list."""
        return ", ".join(map(str, value)) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        """Return the names as a list, or what stands for all of them."""
        if isinstance(value, list):
            return value
        text = (super().to_python(value) or "").strip()
        if text == "-":
            return []
        names = [name.strip() for name in text.replace("\n", ",").split(",")]
        return [name for name in names if name] or self.empty

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare lists, not spellings."""
        return bool(self.to_python(self.prepare_value(initial)) != self.to_python(data))


def published(tenant_id: int) -> TenantSchema:
    """Return what a tenant has published now."""
    return schema_of(tenant_id, Tenant.objects.values_list("schema_version", flat=True).get(pk=tenant_id))


class AccessRuleForm(_RuleForm):
    """A rule; refused with a message per field where it does not fit the published object types."""

    readable_fields = NamesField(empty=None, help_text="Names with commas. Empty: every field. A single - : none.")
    writable_fields = NamesField(empty=None, help_text="May name status and object_type. Empty: every readable field. A single - : none.")
    subtypes = NamesField(empty=[], help_text="Empty: all.")
    statuses = NamesField(empty=[], help_text="Empty: all.")

    class Meta:
        model = AccessRule
        fields = (
            *("object_name", "can_read", "can_create", "can_update", "can_delete"),
            *("readable_fields", "writable_fields", "row_filter", "subtypes", "statuses"),
        )
        widgets = {"row_filter": forms.Textarea(attrs={"rows": 2, "cols": 44})}  # noqa: RUF012  # Django's own style of Meta

    tenant_id: int | None = None
    """Set by the inline; None while the profile has no tenant yet."""

    def clean_row_filter(self) -> Any:
        """An empty filter lets everything through."""
        value = self.cleaned_data.get("row_filter")
        return {} if value is None else value

    def clean(self) -> dict[str, Any]:
        """Check the rule as a whole against the schema."""
        cleaned: dict[str, Any] = super().clean() or {}
        if self.errors or not cleaned or cleaned.get("DELETE"):
            return cleaned
        tenant_id = self.tenant_id or self._profile_tenant()
        if tenant_id is None:
            return cleaned
        rule = AccessRule(**{name: cleaned.get(name) for name in self.Meta.fields})
        for problem in problems_of(object_access(rule), published(tenant_id)):
            field = problem.where.rpartition(".")[2]
            self.add_error(field if field in _FORM_FIELDS else "object_name", problem.message)
        return cleaned

    def _profile_tenant(self) -> int | None:
        profile: SecurityProfile | None = getattr(self.instance, "profile", None) if self.instance.profile_id else None
        return profile.tenant_id if profile else None
