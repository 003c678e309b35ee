"""Forms for records, built from the fields of a published object type. Values are wire values."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
from django import forms
from django.contrib.admin import widgets
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils.translation import get_language

from metadata.fieldtypes import InvalidValue, clean, decimal_places
from metadata.schema import Choice, FieldSpec, ObjectSpec
from sync.wire.patch import Patch, field_patch, same

BASE_VERSION = "_base_version"  # no field of an object type starts with an underscore
LONG_TEXT = 100
_LONG_NAMES = ("note", "notes", "description", "comment", "comments", "details", "remarks", "work_done")
_MAX_INTEGER = 2**53 - 1


class ReferenceSelect(forms.Select):
    """The admin's searchable select over one table's records. The page holds only the chosen record."""

    def __init__(self, url: str, *, label_of: str | None = None) -> None:
        super().__init__(attrs={"class": "admin-autocomplete"})
        self.url = url
        self.label = label_of

    def build_attrs(self, base_attrs: dict[str, Any], extra_attrs: dict[str, Any] | None = None) -> dict[str, Any]:
        """Add what the admin's autocomplete script reads."""
        return {
            **super().build_attrs(base_attrs, extra_attrs),
            "data-ajax--cache": "true",
            "data-ajax--delay": 250,
            "data-ajax--type": "GET",
            "data-ajax--url": self.url,
            "data-app-label": "records",
            "data-model-name": "record",
            "data-field-name": "id",
            "data-theme": "admin-autocomplete",
            "data-allow-clear": "false" if self.is_required else "true",
            "data-placeholder": "",
            "lang": get_language() or "en",
        }

    def optgroups(self, name: str, value: list[str], attrs: dict[str, Any] | None = None) -> Any:
        """Offer only the chosen record; the script fetches the others."""
        chosen = value[0] if value else ""
        self.choices = [("", ""), *([(chosen, self.label or chosen)] if chosen else [])]
        return super().optgroups(name, value, attrs)

    @property
    def media(self) -> forms.Media:
        """Return the scripts and styles of the admin's own autocomplete."""
        return forms.Media(
            js=(
                "admin/js/vendor/jquery/jquery.min.js",
                "admin/js/vendor/select2/select2.full.min.js",
                "admin/js/jquery.init.js",
                "admin/js/autocomplete.js",
            ),
            css={"screen": ("admin/css/vendor/select2/select2.min.css", "admin/css/autocomplete.css")},
        )


class PlainText(forms.CharField):
    """Unchanged text, except that browsers send every line break as CR LF."""

    def to_python(self, value: Any) -> Any:
        """Return text with plain line breaks."""
        text = super().to_python(value)
        return text.replace("\r\n", "\n") if isinstance(text, str) else text


class JsonText(forms.CharField):
    """Any JSON value in a textarea, not only objects. Empty is null."""

    widget = widgets.AdminTextareaWidget

    def prepare_value(self, value: Any) -> Any:
        """Return a value as indented JSON. Text the user typed stays as it is."""
        return value if isinstance(value, str | None) else orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()

    def to_python(self, value: Any) -> Any:
        """Parse JSON."""
        if value is None or not str(value).strip():
            return None
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise ValidationError(f"Enter valid JSON: {error}.", code="invalid") from error

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare values, not their spelling. `initial` comes parsed from the hidden copy."""
        try:
            return not same(initial, self.to_python(data))
        except ValidationError:
            return True

    def clean(self, value: Any) -> Any:
        """Skip CharField's text checks. The form checks the field's own kind."""
        found = self.to_python(value)
        if found is None and self.required:
            raise ValidationError(self.error_messages["required"], code="required")
        return found


class RecordForm(forms.Form):
    """A form over the fields of one object type.

    `spec`, `instance`, and `reference_label` come from `form_for`. Every field keeps a hidden copy of its initial
    value, so `patch()` contains only this user's changes, whatever others have changed since.
    """

    required_css_class = "required"
    spec: ObjectSpec

    def clean(self) -> dict[str, Any]:
        """Convert every value to its wire form. A value that does not fit its kind is a field error."""
        cleaned = super().clean() or {}
        for name, field in self.spec.by_name.items():
            if name not in cleaned:
                continue
            try:
                cleaned[name] = clean(field, _plain(cleaned[name]))
            except InvalidValue as error:
                self.add_error(name, error.message)
        return cleaned

    def values(self) -> dict[str, Any]:
        """Return the wire values of a new record, without nulls."""
        return {n: v for n, v in self._record().items() if v is not None}

    def patch(self) -> Patch:
        """Return this user's changes as the payload of an update."""
        changed = set(self.changed_data)
        return [
            step
            for n, value in self._record().items()
            if n in changed
            for step in field_patch(n, self._shown(n), value)
        ]

    def _shown(self, name: str) -> Any:
        """Return what a json field showed, so that a change inside it stays small. Others do not need it."""
        field = self.fields[name]
        return field.to_python(self.data.get(self[name].html_initial_name)) if isinstance(field, JsonText) else None

    def _record(self) -> dict[str, Any]:
        names = [n for n in ("object_type", "status") if n in self.fields] + list(self.spec.by_name)
        return {n: _none_if_empty(self.cleaned_data.get(n)) for n in names}


def form_for(
    spec: ObjectSpec, tenant: str, *, labels: Mapping[str, str] | None = None, record: Mapping[str, Any] | None = None
) -> type[RecordForm]:
    """Return the form class for an object type. `labels` names the records that references point at."""
    fields: dict[str, forms.Field] = {BASE_VERSION: forms.IntegerField(widget=forms.HiddenInput, required=False)}
    if record is None:
        fields["id"] = forms.CharField(
            label="ID",
            required=False,
            max_length=128,
            widget=widgets.AdminTextInputWidget,
            help_text="Leave empty to generate one.",
        )
    for name, label, choices in (("object_type", "Type", spec.subtypes), ("status", "Status", spec.statuses)):
        if choices:
            fields[name] = _choice_field(label, choices, required=True)
    for field in spec.fields:
        fields[field.name] = _form_field(field, tenant, (labels or {}).get(field.name), (record or {}).get(field.name))
    for name, made in fields.items():
        made.show_hidden_initial = record is not None and name != BASE_VERSION
    form: type[RecordForm] = type(f"{spec.object_name}_form", (RecordForm,), fields)
    form.spec = spec
    return form


def initial_of(spec: ObjectSpec, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record's wire values as the form's initial values."""
    initial = dict(record)
    for field in spec.fields:
        value = record.get(field.name)
        if field.kind == "datetime" and value:
            initial[field.name] = datetime.fromisoformat(value)
        if field.kind == "json" and value is not None:
            initial[field.name] = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    return initial


def defaults_of(spec: ObjectSpec) -> dict[str, Any]:
    """Return the initial values of a new record."""
    return initial_of(spec, {f.name: f.default for f in spec.fields if f.default is not None})


def _form_field(field: FieldSpec, tenant: str, label_of: str | None, value: Any) -> forms.Field:
    common: dict[str, Any] = {
        "label": field.label or field.name,
        "required": field.required,
        "help_text": field.help_text,
    }
    match field.kind:
        case "integer":
            return forms.IntegerField(
                min_value=-_MAX_INTEGER, max_value=_MAX_INTEGER, widget=widgets.AdminBigIntegerFieldWidget, **common
            )
        case "real":
            return forms.FloatField(widget=forms.NumberInput(attrs={"step": "any", "class": "vTextField"}), **common)
        case "decimal":
            return forms.DecimalField(
                max_digits=15,
                decimal_places=decimal_places(field),
                widget=forms.NumberInput(attrs={"class": "vTextField"}),
                **common,
            )
        case "boolean":
            return forms.TypedChoiceField(
                choices=[("", "Unknown"), ("True", "Yes"), ("False", "No")],
                coerce=lambda v: v in ("True", True),
                empty_value=None,
                **common,
            )
        case "date":
            return forms.DateField(widget=widgets.AdminDateWidget, **common)
        case "datetime":
            return forms.SplitDateTimeField(widget=widgets.AdminSplitDateTime, **common)
        case "uuid":
            return forms.UUIDField(widget=widgets.AdminUUIDInputWidget, **common)
        case "json":
            return JsonText(**common)
        case "choice":
            return _choice_field(common.pop("label"), field.choices, **common)
        case "reference":
            url = reverse("admin:records_autocomplete", args=[tenant, field.reference_table])
            return forms.CharField(widget=ReferenceSelect(url, label_of=label_of), max_length=128, **common)
    return PlainText(widget=_text_widget(field, value), strip=False, **common)


def _choice_field(label: str, choices: tuple[Choice, ...], *, required: bool, help_text: str = "") -> forms.ChoiceField:
    offered = [(c.value, c.label) for c in choices]
    return forms.ChoiceField(
        choices=offered if required else [("", "---------"), *offered],
        label=label,
        required=required,
        help_text=help_text,
    )


def _text_widget(field: FieldSpec, value: Any) -> forms.Widget:
    long = isinstance(value, str) and (len(value) > LONG_TEXT or "\n" in value)
    if long or (field.name.rpartition("_")[2] in _LONG_NAMES or field.name in _LONG_NAMES):
        return widgets.AdminTextareaWidget(attrs={"rows": 4})
    return widgets.AdminTextInputWidget()


def _plain(value: Any) -> Any:
    """Return a form's value in a form that `clean` accepts."""
    value = _none_if_empty(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    if isinstance(value, bool | int | float | dict | list | None):
        return value
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _none_if_empty(value: Any) -> Any:
    return None if isinstance(value, str) and not value else value
