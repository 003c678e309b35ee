"""The form of one rule of a security profile, checked against what the tenant has published."""

import json
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

    def __init__(self, *, empty: Any, rows: int = 1, **kwargs: Any) -> None:
        self.empty = empty
        super().__init__(required=False, widget=forms.Textarea(attrs={"rows": rows, "cols": 60}), **kwargs)

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


class RowFilterField(forms.CharField):
    """A row filter as JSON text. What is wrong with it is said with its place: nobody should have to count braces."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            required=False, widget=forms.Textarea(attrs={"rows": 3, "cols": 60, "spellcheck": "false"}), **kwargs
        )

    def prepare_value(self, value: Any) -> Any:
        """Show a stored filter."""
        return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value

    def to_python(self, value: Any) -> Any:
        """Return the filter; an empty box lets everything through. A name that is there twice is refused: one of them would not count."""
        text = (super().to_python(value) or "").strip()
        if not text:
            return {}
        try:
            return json.loads(text, object_pairs_hook=_pairs)
        except json.JSONDecodeError as error:
            raise forms.ValidationError(_explained(text, error)) from None
        except RecursionError:
            raise forms.ValidationError(
                "This is nested too deeply: a value is a constant or a list of constants."
            ) from None

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare filters, not spellings."""
        try:
            return bool(self.to_python(data) != (initial or {}))
        except forms.ValidationError:
            return True


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    twice = sorted({name for name, _ in pairs if [n for n, _ in pairs].count(name) > 1})
    if twice:
        raise forms.ValidationError(
            f"{twice[0]} is there twice. For several values write a list: {{{json.dumps(twice[0])}: [1, 2]}}."
        )
    return dict(pairs)


def _explained(text: str, error: json.JSONDecodeError) -> str:
    where = f"Line {error.lineno}, column {error.colno}"
    around = text[max(0, error.pos - 15) : error.pos + 15].strip()
    known = {
        "'": "JSON has double quotes only",
        "“": "a typographic quote; write a plain one",
        "”": "a typographic quote; write a plain one",
    }
    why = next((reason for mark, reason in known.items() if mark in text), error.msg[0].lower() + error.msg[1:])
    return f'{where}, near {around}: {why}. A filter looks like {{"technician": "$user.username", "status": ["open", "done"]}}.'


def published(tenant_id: int) -> TenantSchema:
    """Return what a tenant has published now."""
    return schema_of(tenant_id, Tenant.objects.values_list("schema_version", flat=True).get(pk=tenant_id))


class AccessRuleForm(_RuleForm):
    """A rule; refused with a message per field where it does not fit the published object types."""

    readable_fields = NamesField(
        empty=None, rows=2, help_text="Names with commas. Empty: every field. A single - : none."
    )
    writable_fields = NamesField(
        empty=None, rows=2, help_text="May name status and object_type. Empty: every readable field. A single - : none."
    )
    row_filter = RowFilterField(
        help_text='{"FIELD": VALUE, …}: a record passes when all fit. <a href="#filter-help">What there is to compare</a>.'
    )
    subtypes = NamesField(empty=[], help_text="Empty: all.")
    statuses = NamesField(empty=[], help_text="Empty: all.")

    class Meta:
        model = AccessRule
        fields = (
            *("object_name", "can_read", "can_create", "can_update", "can_delete"),
            *("readable_fields", "writable_fields", "row_filter", "subtypes", "statuses"),
        )

    tenant_id: int | None = None
    """Set by the inline; None while the profile has no tenant yet."""

    def offer(self, schema: TenantSchema) -> None:
        """Let the object type be chosen from what is published; one that is not any more stays as it is until it is changed."""
        names = [
            (spec.object_name, f"{spec.object_name} ({spec.label_plural or spec.table_name})")
            for spec in schema.objects
        ]
        current = self.instance.object_name
        gone = [(current, f"{current} (not published)")] if current and current not in schema.by_object else []
        self.fields["object_name"].widget = forms.Select(choices=[("", "---------"), *gone, *names])

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
