"""Object types of the demo tenant `acme`: a small field-service company."""

from metadata.definitions import DraftField as F
from metadata.definitions import DraftType

TENANT = ("acme", "Acme Field Service")

CUSTOMER = DraftType(
    "customer",
    "Customer",
    "Customers",
    icon="building",
    title_field="name",
    fields=(
        F("name", label="Name", required=True, indexed=True),
        F(
            "segment",
            "choice",
            "Segment",
            choices=(("residential", "Residential"), ("commercial", "Commercial")),
            default="residential",
        ),
        F("email", label="E-mail"),
        F("phone", label="Phone"),
        F("street", label="Street"),
        F("city", label="City", indexed=True),
        F("postcode", label="Postcode"),
        F("customer_since", "date", "Customer since"),
        F("credit_limit", "decimal", "Credit limit", decimal_places=2),
        F("latitude", "real", "Latitude"),
        F("longitude", "real", "Longitude"),
        F("notes", label="Notes"),
    ),
)

TECHNICIAN = DraftType(
    "technician",
    "Technician",
    "Technicians",
    icon="user",
    title_field="name",
    fields=(
        F("name", label="Name", required=True),
        F("username", label="Log-in name", indexed=True, help_text="The user who logs in as this technician."),
        F("phone", label="Phone"),
        F("skills", "json", "Skills"),
        F("hired_on", "date", "Hired on"),
        F("active", "boolean", "Active", default=True),
    ),
)

INVENTORY_ITEM = DraftType(
    "inventory_item",
    "Inventory item",
    "Inventory items",
    icon="box",
    title_field="name",
    fields=(
        F("sku", label="SKU", required=True, unique=True),
        F("name", label="Name", required=True),
        F(
            "unit",
            "choice",
            "Unit",
            choices=(("piece", "Piece"), ("metre", "Metre"), ("litre", "Litre"), ("hour", "Hour")),
            default="piece",
        ),
        F("unit_price", "decimal", "Unit price", decimal_places=2, required=True),
        F("stock", "integer", "In stock", default=0),
        F("reorder_level", "integer", "Reorder at", default=0),
        F("discontinued", "boolean", "Discontinued", default=False),
    ),
)

JOB = DraftType(
    "job",
    "Job",
    "Jobs",
    icon="wrench",
    title_field="title",
    subtypes=(("job_residential", "Residential job"), ("job_commercial", "Commercial job")),
    statuses=(
        ("new", "New", "#5b8def"),
        ("scheduled", "Scheduled", "#8e6fd8"),
        ("in_progress", "In progress", "#e0a030"),
        ("done", "Done", "#3aa76d"),
        ("cancelled", "Cancelled", "#8a8f98"),
    ),
    fields=(
        F("title", label="Title", required=True, indexed=True),
        F("customer", "reference", "Customer", required=True, reference="customer"),
        F("technician", "reference", "Technician", reference="technician"),
        F(
            "priority",
            "choice",
            "Priority",
            choices=(("low", "Low"), ("normal", "Normal"), ("high", "High")),
            default="normal",
        ),
        F("scheduled_at", "datetime", "Scheduled for", indexed=True),
        F("duration_hours", "real", "Hours planned"),
        F("address", label="Address"),
        F("gate_code", label="Gate code", help_text="How to get in, for homes."),
        F("site_contact", label="Site contact", help_text="Whom to ask for at the site."),
        F("purchase_order", label="Purchase order"),
        F("warranty", "boolean", "Under warranty", default=False),
        F("price", "decimal", "Price", decimal_places=2),
        F("work_done", label="Work done"),
        F("completed_at", "datetime", "Completed at"),
        F("checklist", "json", "Checklist"),
        F("notes", label="Notes"),
    ),
)

LINE_ITEM = DraftType(
    "line_item",
    "Line item",
    "Line items",
    icon="list",
    title_field="description",
    fields=(
        F("job", "reference", "Job", required=True, reference="job"),
        F("item", "reference", "Item", reference="inventory_item"),
        F("description", label="Description", required=True),
        F("quantity", "decimal", "Quantity", decimal_places=2, required=True, default="1.00"),
        F("unit_price", "decimal", "Unit price", decimal_places=2, required=True),
        F("amount", "decimal", "Amount", decimal_places=2),
    ),
)

INVOICE = DraftType(
    "invoice",
    "Invoice",
    "Invoices",
    icon="receipt",
    title_field="number",
    statuses=(
        ("draft", "Draft", "#8a8f98"),
        ("sent", "Sent", "#5b8def"),
        ("paid", "Paid", "#3aa76d"),
        ("void", "Void", "#c0504d"),
    ),
    fields=(
        F("number", label="Number", required=True, unique=True),
        F("customer", "reference", "Customer", required=True, reference="customer"),
        F("job", "reference", "Job", reference="job"),
        F("issued_on", "date", "Issued on", indexed=True),
        F("due_on", "date", "Due on"),
        F("paid_on", "date", "Paid on"),
        F("total", "decimal", "Total", decimal_places=2, required=True),
        F("notes", label="Notes"),
    ),
)

# Parents before children, so that every reference finds its target.
OBJECT_TYPES = (CUSTOMER, TECHNICIAN, INVENTORY_ITEM, JOB, LINE_ITEM, INVOICE)
