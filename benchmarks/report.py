"""Figures and their output."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number. `ratio` compares it with the bare figure named in `beside`, measured in the same run.

    `low` and `high` are the minimum and maximum of several runs, `value` their median.
    """

    name: str
    value: float
    unit: str
    target: str = ""
    met: bool | None = None
    beside: str = ""
    ratio: float | None = None
    low: float | None = None
    high: float | None = None


Bare = tuple[str, float]
Spread = tuple[float, float]


def at_least(
    name: str, value: float, unit: str, floor: float, *, bare: Bare | None = None, spread: Spread | None = None
) -> Figure:
    """Return a figure whose target is `floor` or more."""
    return _figure(name, value, unit, f"≥ {floor:,g}", value >= floor, bare, spread)


def at_most(
    name: str, value: float, unit: str, ceiling: float, *, bare: Bare | None = None, spread: Spread | None = None
) -> Figure:
    """Return a figure whose target is `ceiling` or less."""
    return _figure(name, value, unit, f"≤ {ceiling:,g}", value <= ceiling, bare, spread)


def _figure(
    name: str, value: float, unit: str, target: str, met: bool, bare: Bare | None, spread: Spread | None
) -> Figure:
    beside, ratio = (bare[0], value / bare[1]) if bare and bare[1] else ("", None)
    low, high = spread or (None, None)
    return Figure(name, value, unit, target, met, beside, ratio, low, high)


def spread(samples: Sequence[float]) -> Spread:
    """Return the minimum and maximum of several runs."""
    return min(samples), max(samples)


def percentile(samples: Sequence[float], share: float) -> float:
    """Return the value below which `share` (0 to 1) of the samples lie. `samples` must not be empty."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def median(samples: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(samples)


def as_json(figures: list[Figure], failed: dict[str, str], about: dict[str, Any]) -> dict[str, Any]:
    """Return the whole run as plain values."""
    return {"about": about, "figures": [asdict(f) for f in figures], "failed": failed}


def print_table(figures: list[Figure]) -> None:
    """Print the run as a table."""
    table = Table(title="Moat compared with the bare machine")
    table.add_column("measured")
    for heading in ("figure", "min–max", "target"):
        table.add_column(heading, justify="right")
    table.add_column("")
    table.add_column("ratio", justify="right")
    for f in figures:
        mark = "" if f.met is None else "met" if f.met else "missed"
        ratio = f"{f.ratio:.2f} × {f.beside}" if f.ratio is not None else ""
        between = f"{_short(f.low)}–{_short(f.high)}" if f.low is not None and f.high is not None else ""
        table.add_row(f.name, f"{_short(f.value)} {f.unit}", between, f.target, mark, ratio)
    Console(width=170).print(table)


def _short(value: float) -> str:
    return f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"
