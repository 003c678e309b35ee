"""Layouts of the demo tenant `acme`, in the JSON Forms UI-schema vocabulary.

Jobs have different layouts for homes and companies, and another once done. The most specific layout wins.
"""

from dataclasses import dataclass
from typing import Any

Element = dict[str, Any]


@dataclass(frozen=True, slots=True)
class DemoLayout:
    """A layout and its binding; `*` matches anything."""

    label: str
    object_name: str
    object_type: str
    status: str
    layout_json: Element


def control(field: str, **options: Any) -> Element:
    """Return an input bound to a field."""
    return {"type": "Control", "scope": f"#/properties/{field}", **({"options": options} if options else {})}


def stack(*elements: Element) -> Element:
    """Return elements stacked vertically."""
    return {"type": "VerticalLayout", "elements": list(elements)}


def row(*fields: str) -> Element:
    """Return controls side by side."""
    return {"type": "HorizontalLayout", "elements": [control(f) for f in fields]}


def group(label: str, *elements: Element) -> Element:
    """Return elements in a box with a heading."""
    return {"type": "Group", "label": label, "elements": list(elements)}


def category(label: str, *elements: Element) -> Element:
    """Return one tab of `tabs`."""
    return {"type": "Category", "label": label, "elements": list(elements)}


def tabs(*categories: Element) -> Element:
    """Return categories as tabs."""
    return {"type": "Categorization", "elements": list(categories)}


def when(element: Element, field: str, value: Any, *, effect: str = "SHOW") -> Element:
    """Return the element with a rule: the effect applies while the field has the value."""
    return {
        **element,
        "rule": {"effect": effect, "condition": {"scope": f"#/properties/{field}", "schema": {"const": value}}},
    }


_WORK = category(
    "Work",
    control("checklist"),
    control("work_done", multi=True),
    when(control("completed_at"), "status", "done"),
    control("notes", multi=True),
)
_VISIT = group("Visit", row("scheduled_at", "duration_hours"), row("technician", "priority"))

JOB_ANY = tabs(
    category("Overview", row("title", "status"), row("customer", "object_type"), control("address"), _VISIT),
    _WORK,
    category("Money", row("price", "warranty"), when(control("purchase_order"), "object_type", "job_commercial")),
)
JOB_RESIDENTIAL = tabs(
    category(
        "Overview",
        row("title", "status"),
        control("customer"),
        group("At the home", control("address"), when(control("gate_code"), "status", "done", effect="HIDE")),
        _VISIT,
    ),
    _WORK,
    category("Money", row("price", "warranty")),
)
JOB_COMMERCIAL = tabs(
    category(
        "Overview",
        row("title", "status"),
        control("customer"),
        group("On site", control("address"), row("site_contact", "purchase_order")),
        _VISIT,
    ),
    _WORK,
    category("Money", row("price", "purchase_order"), control("warranty")),
)
JOB_DONE = stack(
    row("title", "status"),
    group("What was done", control("work_done", multi=True), row("completed_at", "technician"), control("checklist")),
    group("Money", row("price", "warranty")),
    control("notes", multi=True),
)
JOB_COMMERCIAL_DONE = stack(
    row("title", "status"),
    group("For the invoice", row("purchase_order", "price"), row("customer", "completed_at")),
    group("What was done", control("work_done", multi=True), control("technician")),
    control("notes", multi=True),
)
CUSTOMER = stack(
    row("name", "segment"),
    group("Reach", row("phone", "email"), control("street"), row("postcode", "city")),
    group("Account", control("customer_since"), when(control("credit_limit"), "segment", "commercial")),
    control("notes", multi=True),
)
INVOICE_ANY = stack(
    row("number", "status"),
    group("For", row("customer", "job")),
    group("Amounts", row("total", "issued_on"), row("due_on", "paid_on")),
    control("notes", multi=True),
)
INVOICE_PAID = stack(
    row("number", "status"),
    group("Paid", row("total", "paid_on")),
    when(row("customer", "job"), "status", "paid", effect="DISABLE"),
    control("notes", multi=True),
)
TECHNICIAN = stack(
    row("name", "active"), row("username", "phone"), group("Work", control("hired_on"), control("skills"))
)
INVENTORY_ITEM = stack(
    row("name", "sku"),
    group("Price", row("unit_price", "unit")),
    when(group("Stock", row("stock", "reorder_level")), "discontinued", True, effect="HIDE"),
    control("discontinued"),
)
LINE_ITEM = stack(row("job", "item"), control("description"), row("quantity", "unit_price"), control("amount"))

LAYOUTS = (
    DemoLayout("Customer", "customer", "*", "*", CUSTOMER),
    DemoLayout("Job", "job", "*", "*", JOB_ANY),
    DemoLayout("Residential job", "job", "job_residential", "*", JOB_RESIDENTIAL),
    DemoLayout("Commercial job", "job", "job_commercial", "*", JOB_COMMERCIAL),
    DemoLayout("Job, done", "job", "*", "done", JOB_DONE),
    DemoLayout("Commercial job, done", "job", "job_commercial", "done", JOB_COMMERCIAL_DONE),
    DemoLayout("Invoice", "invoice", "*", "*", INVOICE_ANY),
    DemoLayout("Invoice, paid", "invoice", "*", "paid", INVOICE_PAID),
    DemoLayout("Technician", "technician", "*", "*", TECHNICIAN),
    DemoLayout("Inventory item", "inventory_item", "*", "*", INVENTORY_ITEM),
    DemoLayout("Line item", "line_item", "*", "*", LINE_ITEM),
)
