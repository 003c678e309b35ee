"""Wire values as the admin shows them: labels instead of codes, titles instead of IDs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from django.contrib.admin.utils import quote
from django.urls import reverse
from django.utils.formats import date_format

from metadata.choices import is_colour
from metadata.schema import Choice, FieldSpec, ObjectSpec
from sync.records.rows import Row
from sync.wire.patch import same

SHOWN = 80
_COLOUR = re.compile(r"#[0-9a-fA-F]{3,8}|[a-zA-Z]{3,30}")
Titles = Mapping[tuple[str, str], str]


@dataclass(frozen=True, slots=True)
class Cell:
    """One value: its text, link, status color, or yes/no for an icon."""

    text: str
    url: str = ""
    colour: str = ""
    flag: bool | None = None
    kind: str = ""


def cell(tenant: str, spec: ObjectSpec, row: Row, name: str, titles: Titles) -> Cell:
    """Return the cell of a record's field."""
    if name == "id":
        return Cell(row.id)
    value = row.get(name)
    if name in ("object_type", "status"):
        return _choice(value, spec.subtypes if name == "object_type" else spec.statuses)
    return value_cell(tenant, spec.by_name[name], value, titles)


def value_cell(tenant: str, field: FieldSpec, value: Any, titles: Titles) -> Cell:
    """Return the cell of a wire value."""
    if value is None:
        return Cell("—", kind="empty")
    if field.kind == "boolean":
        return Cell("Yes" if value else "No", flag=bool(value))
    if field.kind == "choice":
        return _choice(value, field.choices)
    if field.kind == "reference" and field.reference_table:
        title = titles.get((field.reference_table, value), value)
        return Cell(
            _short(title), url=reverse("admin:records_change", args=[tenant, field.reference_table, quote(value)])
        )
    if field.kind == "datetime":
        return Cell(date_format(datetime.fromisoformat(value), "Y-m-d H:i"), kind="nowrap")
    kind = {"integer": "number", "real": "number", "decimal": "number", "date": "nowrap"}.get(field.kind, "")
    return Cell(_short(str(value)), kind=kind)


def shown(spec: ObjectSpec, name: str, value: Any, titles: Titles | None = None) -> str:
    """Return a value in full for history and conflicts, with labels and titles where available."""
    if value is None:
        return "—"
    field = spec.by_name.get(name)
    choices = {"object_type": spec.subtypes, "status": spec.statuses}.get(name) or (field.choices if field else ())
    label = next((c.label for c in choices if same(c.value, value)), None)
    if label is not None:
        return label
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if field and field.kind == "json":
        return orjson.dumps(value).decode()
    if field and field.kind == "datetime":
        return date_format(datetime.fromisoformat(value), "Y-m-d H:i:s")
    if field and field.reference_table and titles and (title := titles.get((field.reference_table, value))):
        return f"{title} ({value})"
    return str(value)


def _choice(value: Any, choices: tuple[Choice, ...]) -> Cell:
    if value is None:
        return Cell("—", kind="empty")
    found = next((c for c in choices if c.value == value), None)
    # A type published before colours were checked may have anything here.
    colour = found.colour if found and found.colour and is_colour(found.colour) else ""
    return Cell(found.label if found else str(value), colour=colour, kind="nowrap" if colour else "")


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
