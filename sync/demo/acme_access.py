"""What the demo tenant's technicians may see and do. The office has full access.

A technician sees own jobs, their customers, line items and invoices (without what they come to), the stock and the
colleagues' names; and may change a job's status and notes, and its line items.
"""

from typing import Any

PROFILE = "Technicians"
MINE = "$membership.technician"

#: Who has the profile, and which technician they are.
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
