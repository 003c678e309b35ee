"""Records of the demo tenant `acme`: plausible, plain, and identical in every run."""

import random
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

# One table and its records, each with its ID under "id". Parents come before children.
Table = tuple[str, list[dict[str, Any]]]

TODAY = date(2026, 11, 16)
CUSTOMERS, JOBS, LINE_ITEMS, INVOICES, ITEMS = 60, 400, 900, 200, 80

_PLACES = (
    ("Alderton", "1040", 52.21, 1.41),
    ("Brookfield", "1120", 52.24, 1.32),
    ("Castle Heath", "1180", 52.28, 1.47),
    ("Dunmere", "1210", 52.31, 1.29),
    ("Eastgate", "1260", 52.19, 1.55),
)
_STREETS = (
    "Mill Lane",
    "Oak Street",
    "Station Road",
    "Harbour Row",
    "Church Hill",
    "Orchard Close",
    "Canal Street",
    "Market Square",
)
_BUSINESSES = (
    "Bakery",
    "Dental Practice",
    "Warehouse",
    "Hotel",
    "Primary School",
    "Gym",
    "Print Works",
    "Garden Centre",
    "Cinema",
    "Laundry",
)
_TASKS = (
    ("Boiler service", 1.5, "95.00"),
    ("Replace thermostat", 1.0, "70.00"),
    ("Leak under sink", 1.0, "80.00"),
    ("Air conditioning check", 2.0, "140.00"),
    ("Install heat pump", 8.0, "980.00"),
    ("Radiator balancing", 2.5, "120.00"),
    ("Emergency: no hot water", 1.5, "160.00"),
    ("Ventilation filter change", 1.0, "65.00"),
    ("Water softener install", 3.0, "310.00"),
    ("Annual inspection", 2.0, "110.00"),
)
_PARTS = (
    ("Copper pipe 15 mm", "metre", "4.20"),
    ("Copper pipe 22 mm", "metre", "6.80"),
    ("Ball valve", "piece", "9.50"),
    ("Thermostat, wireless", "piece", "64.90"),
    ("Circulation pump", "piece", "118.00"),
    ("Expansion vessel 18 l", "piece", "46.00"),
    ("Pressure gauge", "piece", "12.40"),
    ("Inhibitor", "litre", "18.75"),
    ("Descaler", "litre", "14.10"),
    ("Filter G4", "piece", "7.30"),
    ("Filter F7", "piece", "15.60"),
    ("Pipe insulation", "metre", "2.95"),
    ("Safety valve 3 bar", "piece", "21.30"),
    ("Labour", "hour", "58.00"),
    ("Travel", "hour", "42.00"),
    ("Flexible hose", "piece", "8.15"),
)
_GRADES = ("Basic", "Standard", "Plus", "Pro", "Heavy duty")
_CHECKS = ("Arrived on site", "Isolated supply", "Tested pressure", "Cleaned up", "Explained to customer")


def tables() -> list[Table]:
    """Return every table of the demo with its records."""
    rng = random.Random(20261116)  # noqa: S311 - demo data, not a secret
    customers = list(_customers(rng))
    technicians = list(_technicians())
    items = list(_items(rng))
    jobs = list(_jobs(rng, customers))
    lines = list(_line_items(rng, jobs, items))
    return [
        ("customers", customers),
        ("technicians", technicians),
        ("inventory_items", items),
        ("jobs", jobs),
        ("line_items", lines),
        ("invoices", list(_invoices(rng, jobs, lines))),
    ]


def _customers(rng: random.Random) -> Iterator[dict[str, Any]]:
    for n in range(1, CUSTOMERS + 1):
        town, postcode, latitude, longitude = _PLACES[n % len(_PLACES)]
        street = f"{_STREETS[n % len(_STREETS)]} {2 * n - 1}"
        commercial = n % 3 == 0
        name = f"{town} {_BUSINESSES[(n // 3 + n // 33) % len(_BUSINESSES)]}" if commercial else f"Household {street}"
        yield {
            "id": f"cust-{n:04}",
            "name": name,
            "segment": "commercial" if commercial else "residential",
            "email": f"customer{n:03}@example.com",
            "phone": f"+44 1632 960{n:03}",
            "street": street,
            "city": town,
            "postcode": postcode,
            "customer_since": (TODAY - timedelta(days=rng.randint(30, 4000))).isoformat(),
            "credit_limit": f"{rng.choice((1000, 2500, 5000, 10000))}.00" if commercial else None,
            "latitude": round(latitude + rng.uniform(-0.03, 0.03), 5),
            "longitude": round(longitude + rng.uniform(-0.03, 0.03), 5),
            "notes": rng.choice((None, None, None, "Ring twice.", "Dog in the yard.", "Invoices by e-mail only.")),
        }


def _technicians() -> Iterator[dict[str, Any]]:
    crew = (
        ("tom", "Tom", ["heating", "plumbing"]),
        ("tess", "Tess", ["cooling", "ventilation"]),
        ("standby", "Night standby", ["heating"]),
    )
    for n, (key, name, skills) in enumerate(crew, start=1):
        yield {
            "id": f"tech-{key}",
            "name": name,
            "username": key if key != "standby" else None,
            "phone": f"+44 1632 9609{n:02}",
            "skills": skills,
            "hired_on": f"20{15 + n}-04-01",
            "active": True,
        }


def _items(rng: random.Random) -> Iterator[dict[str, Any]]:
    for n in range(ITEMS):
        name, unit, price = _PARTS[n % len(_PARTS)]
        grade = n // len(_PARTS)
        yield {
            "id": f"item-{n + 1:03}",
            "sku": f"{name[:2].upper()}-{n + 1:03}-{grade}",
            "name": f"{name}, {_GRADES[grade].lower()}",
            "unit": unit,
            "unit_price": _money(Decimal(price) * (100 + 12 * grade) / 100),
            "stock": 0 if unit == "hour" else rng.randint(0, 240),
            "reorder_level": 0 if unit == "hour" else rng.choice((5, 10, 20)),
            "discontinued": n % 19 == 18,
        }


def _jobs(rng: random.Random, customers: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for n in range(1, JOBS + 1):
        customer = rng.choice(customers)
        task, hours, price = _TASKS[rng.randrange(len(_TASKS))]
        commercial = customer["segment"] == "commercial"
        day = TODAY + timedelta(days=rng.randint(-150, 30))
        start = datetime(day.year, day.month, day.day, rng.randint(7, 16), rng.choice((0, 30)))
        status = _status(rng, day)
        done = status == "done"
        yield {
            "id": f"job-{n:04}",
            "object_type": "job_commercial" if commercial else "job_residential",
            "status": status,
            "title": f"{task}, {customer['city']}",
            "customer": customer["id"],
            "technician": None
            if status == "new"
            else rng.choice(("tech-tom", "tech-tess", "tech-tess", "tech-tom", "tech-standby")),
            "priority": "high" if task.startswith("Emergency") else rng.choice(("low", "normal", "normal", "normal")),
            "scheduled_at": None if status == "new" else _moment(start),
            "duration_hours": hours,
            "address": f"{customer['street']}, {customer['postcode']} {customer['city']}",
            "gate_code": None if commercial or n % 4 else f"{rng.randint(0, 9999):04}",
            "site_contact": rng.choice(("Reception", "Facility desk", "Gatehouse")) if commercial else None,
            "purchase_order": f"PO-{rng.randint(10000, 99999)}" if commercial else None,
            "warranty": n % 11 == 0,
            "price": _money(Decimal(price) * rng.choice((90, 100, 100, 110)) / 100),
            "work_done": f"{task}: done and tested." if done else None,
            "completed_at": _moment(start + timedelta(hours=hours)) if done else None,
            "checklist": [{"id": i, "text": text, "done": done} for i, text in enumerate(_CHECKS, start=1)],
            "notes": rng.choice((None, None, None, "Customer asks for a call before.", "Second visit.")),
        }


def _status(rng: random.Random, day: date) -> str:
    if day < TODAY:
        return rng.choices(("done", "cancelled", "in_progress"), (90, 7, 3))[0]
    if day == TODAY:
        return "in_progress"
    return rng.choices(("scheduled", "new", "cancelled"), (70, 25, 5))[0]


def _line_items(
    rng: random.Random, jobs: list[dict[str, Any]], items: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    worked = [j for j in jobs if j["status"] in ("done", "in_progress")]
    for n in range(1, LINE_ITEMS + 1):
        item = rng.choice(items)
        quantity = (
            Decimal(rng.choice(("0.50", "1.00", "1.50", "2.00")))
            if item["unit"] == "hour"
            else Decimal(rng.randint(1, 6))
        )
        yield {
            "id": f"line-{n:05}",
            "job": worked[n % len(worked)]["id"],
            "item": item["id"],
            "description": item["name"],
            "quantity": _money(quantity),
            "unit_price": item["unit_price"],
            "amount": _money(quantity * Decimal(item["unit_price"])),
        }


def _invoices(rng: random.Random, jobs: list[dict[str, Any]], lines: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    amounts: dict[str, Decimal] = {}
    for line in lines:
        amounts[line["job"]] = amounts.get(line["job"], Decimal(0)) + Decimal(line["amount"])
    done = sorted((j for j in jobs if j["status"] == "done"), key=lambda j: str(j["completed_at"]))
    for n, job in enumerate(done[:INVOICES], start=1):
        issued = date.fromisoformat(str(job["completed_at"])[:10]) + timedelta(days=rng.randint(1, 5))
        status = rng.choices(("paid", "sent", "void", "draft"), (75, 17, 2, 6))[0]
        yield {
            "id": f"inv-{n:04}",
            "status": status,
            "number": f"2026-{n:04}",
            "customer": job["customer"],
            "job": job["id"],
            "issued_on": None if status == "draft" else issued.isoformat(),
            "due_on": None if status == "draft" else (issued + timedelta(days=30)).isoformat(),
            "paid_on": (issued + timedelta(days=rng.randint(3, 40))).isoformat() if status == "paid" else None,
            "total": _money(Decimal(job["price"]) + amounts.get(job["id"], Decimal(0))),
            "notes": None,
        }


def _money(amount: Decimal) -> str:
    return str(amount.quantize(Decimal("0.01")))


def _moment(when: datetime) -> str:
    return when.isoformat(timespec="microseconds") + "Z"
