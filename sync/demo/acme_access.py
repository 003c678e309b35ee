"""Access of the demo tenant's technicians. The office has full access.

A technician sees only their own jobs, with customers, line items, and invoices (without amounts), plus the stock and
the colleagues' names. They can change a job's status and notes, and its line items.
"""

from typing import Any

PROFILE = "Technicians"
MINE = "$membership.technician"

#: Members with the profile, and the technician each of them is.
MEMBERS = {"tom": "tech-tom", "tess": "tech-tess"}

RULES: dict[str, dict[str, Any]] = {
    "job": {"can_update": True, "writable_fields": ["status", "notes"], "row_filter": {"technician": MINE}},
    "line_item": {"can_create": True, "can_update": True, "can_delete": True, "row_filter": {"job.technician": MINE}},
    "customer": {"row_filter": {"<job.customer.technician": MINE}},
    "invoice": {
        "readable_fields": ["number", "customer", "job", "issued_on", "due_on", "paid_on", "notes"],
        "row_filter": {"job.technician": MINE},
    },
    "inventory_item": {},
    "technician": {"readable_fields": ["name", "phone", "active"]},
}
