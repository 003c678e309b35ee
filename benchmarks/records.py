"""The records of a benchmark; no Django is needed for them."""

from typing import Any


def values(number: int) -> dict[str, Any]:
    """Return the fields of a job whose change line is about 200 bytes long."""
    return {
        "title": f"Job number {number}",
        "customer_name": f"Customer {number % 977}",
        "priority": number % 5,
        "price": f"{number % 900}.50",
        "scheduled_on": "2026-01-15",
        "notes": "Ring twice.",
    }
