"""The layout form of the admin: parses JSON strictly and reports every problem at its field."""

import json
from collections.abc import Iterable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from layouts.defaults import default_layout
from layouts.elements import MAX_BYTES
from layouts.models import ANY, LayoutDefinition
from layouts.publish import problems
from metadata.catalog import schema_of
from metadata.schema import TenantSchema
from tenants.models import Tenant

LAYOUT_HELP = (
    "JSON Forms UI schema: VerticalLayout, HorizontalLayout, Group, Categorization, Category, Label and Control "
    '(scope "#/properties/FIELD"). Leave empty to start from the default layout.'
)


class PrettyEncoder(json.JSONEncoder):
    """Encode JSON in a readable form."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "indent": 2})


class StrictDecoder(json.JSONDecoder):
    """Decode JSON strictly: no duplicate keys, no NaN, limited nesting."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs, object_pairs_hook=_once, parse_constant=_reject_constant)

    def decode(self, s: str, *args: Any) -> Any:
        """Decode; report every error as a JSONDecodeError."""
        if len(s) > 2 * MAX_BYTES:
            raise json.JSONDecodeError("too long", "", 0)
        try:
            return super().decode(s, *args)
        except RecursionError as error:
            raise json.JSONDecodeError("nested too deeply", "", 0) from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise json.JSONDecodeError("duplicate key", "", 0)
    return out


def _reject_constant(name: str) -> Any:
    raise json.JSONDecodeError(f"{name} is not valid JSON", "", 0)


class LayoutForm(forms.ModelForm):  # type: ignore[type-arg]
    """A layout, validated against what its tenant has published."""

    layout_json = forms.JSONField(
        required=False,
        encoder=PrettyEncoder,
        decoder=StrictDecoder,
        help_text=LAYOUT_HELP,
        error_messages={"invalid": "Enter valid JSON. Object keys must be unique, and NaN is not allowed."},
        widget=forms.Textarea(attrs={"rows": 28, "cols": 100, "spellcheck": "false", "data-layout": ""}),
    )

    class Meta:
        model = LayoutDefinition
        fields = ("tenant", "object_name", "object_type", "status", "label", "layout_json")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("object_name", "object_type", "status"):
            value, widget = getattr(self.instance, name), self.fields[name].widget
            # Without this, the browser would show and save a value other than the layout's.
            if isinstance(widget, forms.Select) and value and value not in _values(widget.choices):
                widget.choices = [*widget.choices, (value, f"{value} (not published)")]

    def clean(self) -> dict[str, Any]:
        """Fill in the default layout, then run the checks that saving runs."""
        data: dict[str, Any] = super().clean() or self.cleaned_data
        tenant = data.get("tenant") or (self.instance.tenant if self.instance.tenant_id else None)
        if tenant is None or self.errors:
            return data
        schema = schema_of(tenant.pk, tenant.schema_version)
        spec = schema.by_object.get(data["object_name"])
        if spec is not None and data.get("layout_json") in (None, "", {}):
            data["layout_json"] = default_layout(spec)
        self._add_problems(tenant, schema, data)
        return data

    def _add_problems(self, tenant: Tenant, schema: TenantSchema, data: dict[str, Any]) -> None:
        binding = {name: data[name] for name in ("object_name", "object_type", "status")}
        for problem in problems(LayoutDefinition(tenant=tenant, **binding, layout_json=data["layout_json"]), schema):
            field, slash, pointer = problem.where.partition("/")
            message = f"{slash}{pointer}: {problem.message}" if slash else problem.message
            self.add_error(field, ValidationError(message, code=problem.code))
        others = LayoutDefinition.objects.filter(tenant=tenant, **binding).exclude(pk=self.instance.pk)
        if others.exists():
            self.add_error(
                "object_name",
                ValidationError("A layout for this object type, subtype, and status already exists.", "duplicate"),
            )


def binding_widgets(schema: TenantSchema) -> dict[str, forms.Select]:
    """Return select boxes with the tenant's published values, for the three fields that bind a layout."""
    objects = [(spec.object_name, f"{spec.label or spec.object_name} ({spec.object_name})") for spec in schema.objects]
    types = [(spec.label or spec.object_name, [(c.value, c.label) for c in spec.subtypes]) for spec in schema.objects]
    statuses = [
        (spec.label or spec.object_name, [(c.value, c.label) for c in spec.statuses]) for spec in schema.objects
    ]
    return {
        "object_name": forms.Select(choices=[("", "---------"), *objects]),
        "object_type": forms.Select(choices=[(ANY, "Any (*)"), *_groups(types)]),
        "status": forms.Select(choices=[(ANY, "Any (*)"), *_groups(statuses)]),
    }


def _groups(groups: Iterable[tuple[str, list[tuple[str, str]]]]) -> list[tuple[str, list[tuple[str, str]]]]:
    return [(label, choices) for label, choices in groups if choices]


def _values(choices: Iterable[Any]) -> set[str]:
    values: set[str] = set()
    for value, label in choices:
        values |= _values(label) if isinstance(label, list) else {value}
    return values
