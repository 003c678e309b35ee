"""Form of one rule of a security profile, validated against the tenant's published object types."""

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
    """A list of names, separated by commas. Empty means all."""

    def __init__(self, *, empty: Any, rows: int = 1, **kwargs: Any) -> None:
        self.empty = empty
        super().__init__(required=False, widget=forms.Textarea(attrs={"rows": rows, "cols": 60}), **kwargs)

    def prepare_value(self, value: Any) -> Any:
        """Return a stored list as text."""
        return ", ".join(map(str, value)) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        """Return the names as a list, or the value that means all."""
        if isinstance(value, list):
            return value
        text = (super().to_python(value) or "").strip()
        if text == "-":
            return []
        names = [name.strip() for name in text.replace("\n", ",").split(",")]
        return [name for name in names if name] or self.empty

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare lists, not their spelling."""
        return bool(self.to_python(self.prepare_value(initial)) != self.to_python(data))


class RowFilterField(forms.CharField):
    """A row filter as JSON text. Errors name the line and column."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            required=False, widget=forms.Textarea(attrs={"rows": 3, "cols": 60, "spellcheck": "false"}), **kwargs
        )

    def prepare_value(self, value: Any) -> Any:
        """Return a stored filter as text."""
        return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value

    def to_python(self, value: Any) -> Any:
        """Return the filter; an empty box matches everything.

        Rejects a duplicate key, because only one of its values would apply.
        """
        text = (super().to_python(value) or "").strip()
        if not text:
            return {}
        try:
            return json.loads(text, object_pairs_hook=_pairs)
        except json.JSONDecodeError as error:
            raise forms.ValidationError(_syntax_error(text, error)) from None
        except RecursionError:
            raise forms.ValidationError(
                "Nested too deeply. A value must be a constant or a list of constants."
            ) from None

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare filters, not their spelling."""
        try:
            return bool(self.to_python(data) != (initial or {}))
        except forms.ValidationError:
            return True


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    duplicates = sorted({name for name, _ in pairs if [n for n, _ in pairs].count(name) > 1})
    if duplicates:
        raise forms.ValidationError(
            f"Duplicate key {duplicates[0]}. For several values, use a list: {{{json.dumps(duplicates[0])}: [1, 2]}}."
        )
    return dict(pairs)


def _syntax_error(text: str, error: json.JSONDecodeError) -> str:
    where = f"Line {error.lineno}, column {error.colno}"
    excerpt = text[max(0, error.pos - 15) : error.pos + 15].strip()
    known = {
        "'": "JSON requires double quotes",
        "“": "use a straight quote instead of a curly one",
        "”": "use a straight quote instead of a curly one",
    }
    why = next((reason for mark, reason in known.items() if mark in text), error.msg[0].lower() + error.msg[1:])
    example = '{"technician": "$user.username", "status": ["open", "done"]}'
    return f"{where}, near {excerpt}: {why}. Example: {example}."


def published(tenant_id: int) -> TenantSchema:
    """Return the tenant's currently published schema."""
    return schema_of(tenant_id, Tenant.objects.values_list("schema_version", flat=True).get(pk=tenant_id))


class AccessRuleForm(_RuleForm):
    """A rule, rejected with a message per field that does not fit the published object types."""

    readable_fields = NamesField(
        empty=None, rows=2, help_text="Field names separated by commas. Leave empty for all fields; enter - for none."
    )
    writable_fields = NamesField(
        empty=None,
        rows=2,
        help_text="Can include status and object_type. Leave empty for all readable fields; enter - for none.",
    )
    row_filter = RowFilterField(
        help_text=(
            '{"FIELD": VALUE, …}. A record is visible when it matches every entry. <a '
            'href="#filter-help">See the available fields</a>.'
        )
    )
    subtypes = NamesField(empty=[], help_text="Leave empty for all.")
    statuses = NamesField(empty=[], help_text="Leave empty for all.")

    class Meta:
        model = AccessRule
        fields = (
            *("object_name", "can_read", "can_create", "can_update", "can_delete"),
            *("readable_fields", "writable_fields", "row_filter", "subtypes", "statuses"),
        )

    tenant_id: int | None = None
    """Set by the inline. None while the profile has no tenant."""

    def offer(self, schema: TenantSchema) -> None:
        """Offer the published object types. A type that is no longer published stays selectable."""
        names = [
            (spec.object_name, f"{spec.object_name} ({spec.label_plural or spec.table_name})")
            for spec in schema.objects
        ]
        current = self.instance.object_name
        gone = [(current, f"{current} (not published)")] if current and current not in schema.by_object else []
        self.fields["object_name"].widget = forms.Select(choices=[("", "---------"), *gone, *names])

    def clean(self) -> dict[str, Any]:
        """Validate the rule as a whole against the schema."""
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
