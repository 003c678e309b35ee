"""The records of a benchmark. This module does not need Django."""

from typing import Any

from benchmarks.server import CUSTOMERS


def values(number: int) -> dict[str, Any]:
    """Return the fields of a job whose change line is about 200 bytes long."""
    return {
        "title": f"Job number {number}",
        "customer_name": f"customer-{number % CUSTOMERS}",
        "priority": number % 5,
        "price": f"{number % 900}.50",
        "scheduled_on": "2026-01-15",
        "notes": "Ring twice.",
    }
