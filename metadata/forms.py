"""Forms for drafts: accept convenient spellings, store the canonical form, and report errors at their field."""

import json
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms.models import BaseInlineFormSet

from metadata.choices import parse_choices
from metadata.drafts import published_spec
from metadata.fieldtypes import InvalidValue, clean
from metadata.models import ObjectField, ObjectMetadata
from metadata.names import field_name_problem, object_name_problem, propose_table_name, table_name_problem
from metadata.plan_checks import MAX_DECIMAL_PLACES, POLICIES, WIDER
from metadata.publish import importable
from metadata.schema import Choice, FieldSpec

if TYPE_CHECKING:
    _ObjectForm = forms.ModelForm[ObjectMetadata]
    _FieldForm = forms.ModelForm[ObjectField]
    _FormSet = BaseInlineFormSet[ObjectField, ObjectMetadata, "ObjectFieldForm"]
else:
    _ObjectForm = _FieldForm = forms.ModelForm
    _FormSet = BaseInlineFormSet

_CHOICES_HELP = 'One per line, as "value" or "value: Label"; or a JSON list of strings or {"value", "label"} objects.'
_TYPED_AS_JSON = frozenset({"integer", "real", "json"})
_YES_NO = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class ChoicesField(forms.CharField):
    """A list of values with labels, one per line or as JSON; stored as a list of objects."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("required", False)
        kwargs.setdefault("widget", forms.Textarea(attrs={"rows": 3, "cols": 40}))
        super().__init__(**kwargs)

    def prepare_value(self, value: Any) -> Any:
        """Show a stored list as lines, or as JSON if lines cannot express it."""
        if not isinstance(value, list):
            return value
        choices, messages = parse_choices(value)
        lines = [
            choice.value if choice.label == choice.value else f"{choice.value}: {choice.label}" for choice in choices
        ]
        plain = not messages and not any(
            choice.colour or ":" in choice.value or "\n" in line for choice, line in zip(choices, lines, strict=True)
        )
        return "\n".join(lines) if plain else json.dumps(value, ensure_ascii=False)

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare the text forms."""
        return super().has_changed(self.prepare_value(initial), data)

    def clean(self, value: Any) -> Any:
        """Return the list of objects."""
        choices, messages = parse_choices(_listed(super().clean(value)))
        if messages:
            raise ValidationError(messages)
        return [choice.record() for choice in choices]


def _listed(text: str) -> Any:
    if text.lstrip().startswith(("[", "{")):
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValidationError("Enter valid JSON.") from error
    pairs = (line.partition(":") for line in text.splitlines() if line.strip())
    return [{"value": value.strip(), "label": label.strip() or value.strip()} for value, _, label in pairs]


class ObjectMetadataForm(_ObjectForm):
    """An object type's draft."""

    subtypes = ChoicesField(help_text=f"Allowed values of object_type. {_CHOICES_HELP}")
    statuses = ChoicesField(help_text=f"Allowed values of status. JSON objects can add a colour. {_CHOICES_HELP}")

    class Meta:
        model = ObjectMetadata
        fields = "__all__"
        widgets = {  # noqa: RUF012
            "conflict_policy": forms.TextInput(attrs={"list": "conflict-policies", "size": 40}),
        }

    def clean_object_name(self) -> str:
        """Validate the name."""
        return _checked(self.cleaned_data["object_name"], object_name_problem)

    def clean_table_name(self) -> str:
        """Validate the name, or propose one."""
        name = self.cleaned_data.get("table_name") or ""
        if not name and "object_name" in self.cleaned_data:
            return propose_table_name(self.cleaned_data["object_name"])
        return _checked(name, table_name_problem) if name else name

    def clean_conflict_policy(self) -> str:
        """Validate the policy."""
        policy: str = self.cleaned_data["conflict_policy"]
        if policy not in POLICIES and not importable(policy):
            raise ValidationError(f"Use {', '.join(POLICIES)}, or a resolver listed in MOAT['RESOLVERS'].")
        return policy


class ObjectFieldForm(_FieldForm):
    """A field of a draft. What clients already rely on is read-only."""

    choices = ChoicesField(help_text=f"For choice fields. {_CHOICES_HELP}")
    default = forms.CharField(
        required=False, strip=False, help_text="A value such as open, 12.50, or true. For JSON fields, enter JSON."
    )

    class Meta:
        model = ObjectField
        fields = "__all__"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk is None:
            return
        self.initial["default"] = _shown(self.instance.default, self.instance.kind)
        published = self.published()
        if published is not None:
            self._fix(published)

    def published(self) -> FieldSpec | None:
        """Return what clients have of this field, or None if they never had it."""
        spec = published_spec(self.instance.object_type) if self.instance.pk else None
        retired = (
            {field["name"]: field for field in self.instance.object_type.retired_fields} if self.instance.pk else {}
        )
        found = spec.by_name.get(self.instance.name) if spec else None
        gone = retired.get(self.instance.name)
        return found or (FieldSpec.from_record(gone) if gone else None)

    def _fix(self, published: FieldSpec) -> None:
        self.fields["name"].disabled = True
        kinds = {published.kind, *WIDER.get(published.kind, ())}
        kind = self.fields["kind"]
        if isinstance(kind, forms.ChoiceField):
            kind.choices = [choice for choice in ObjectField._meta.get_field("kind").flatchoices if choice[0] in kinds]
        kind.disabled = len(kinds) == 1
        self.fields["reference"].disabled = published.kind == "reference"
        self.fields["decimal_places"].disabled = published.kind == "decimal"
        self.fields["retired"].disabled = any(
            field["name"] == published.name for field in self.instance.object_type.retired_fields
        )

    def clean_name(self) -> str:
        """Validate the name."""
        return _checked(self.cleaned_data["name"], field_name_problem)

    def clean(self) -> dict[str, Any]:
        """Validate what depends on the kind."""
        data: dict[str, Any] = super().clean() or self.cleaned_data
        kind = data.get("kind")
        if kind == "choice" and not data.get("choices") and "choices" not in self.errors:
            self.add_error("choices", "Add at least one choice.")
        if kind == "reference" and not data.get("reference") and "reference" not in self.errors:
            self.add_error("reference", "Choose the object type this field refers to.")
        if kind == "json" and (data.get("unique") or data.get("indexed")):
            self.add_error("kind", "A JSON field can’t be unique or indexed.")
        if kind == "decimal" and (data.get("decimal_places") or 0) > MAX_DECIMAL_PLACES:
            self.add_error("decimal_places", f"Use at most {MAX_DECIMAL_PLACES} decimal places.")
        elif kind and "choices" not in self.errors:
            self._clean_default(kind, data)
        return data

    def _clean_default(self, kind: str, data: dict[str, Any]) -> None:
        text = data.get("default")
        data["default"] = None
        if text in (None, ""):
            return
        if kind == "reference" or data.get("unique"):
            self.add_error("default", "Reference and unique fields can’t have a default.")
            return
        choices = tuple(Choice.from_record(choice) for choice in data.get("choices") or ())
        spec = FieldSpec(data.get("name") or "x", kind, choices=choices, decimal_places=data.get("decimal_places"))
        try:
            data["default"] = clean(spec, _typed(str(text), kind))
        except InvalidValue as error:
            self.add_error("default", error.message)


class ObjectFieldFormSet(_FormSet):
    """The fields of one draft."""

    def add_fields(self, form: "ObjectFieldForm", index: int | None) -> None:
        """Prevent deletion of fields that clients have: those are retired instead."""
        super().add_fields(form, index)
        if "DELETE" in form.fields and form.published() is not None:
            form.fields["DELETE"].disabled = True

    def clean(self) -> None:
        """Require references to stay within the tenant."""
        super().clean()
        for form in self.forms:
            target = getattr(form, "cleaned_data", {}).get("reference")
            if target is not None and target.tenant_id != self.instance.tenant_id:
                form.add_error("reference", "References an object type in another tenant.")


def _checked(name: str, check: Any) -> str:
    problem = check(name)
    if problem:
        raise ValidationError(problem)
    return name


def _shown(value: Any, kind: str) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) and kind not in _TYPED_AS_JSON else json.dumps(value, ensure_ascii=False)


def _typed(text: str, kind: str) -> Any:
    if kind == "boolean":
        return _YES_NO.get(text.strip().lower(), text)
    if kind not in _TYPED_AS_JSON:
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidValue("bad_value", "Enter valid JSON." if kind == "json" else "Enter a number.") from error
