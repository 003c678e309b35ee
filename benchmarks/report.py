"""Figures, and how they are printed."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number. `ratio` compares it with the bare figure named in `beside`, measured in the same run."""

    name: str
    value: float
    unit: str
    target: str = ""
    met: bool | None = None
    beside: str = ""
    ratio: float | None = None


def at_least(name: str, value: float, unit: str, floor: float, *, bare: tuple[str, float] | None = None) -> Figure:
    """Return a figure that should be `floor` or more."""
    return _figure(name, value, unit, f"≥ {floor:,g}", value >= floor, bare)


def at_most(name: str, value: float, unit: str, ceiling: float, *, bare: tuple[str, float] | None = None) -> Figure:
    """Return a figure that should be `ceiling` or less."""
    return _figure(name, value, unit, f"≤ {ceiling:,g}", value <= ceiling, bare)


def _figure(name: str, value: float, unit: str, target: str, met: bool, bare: tuple[str, float] | None) -> Figure:
    return Figure(name, value, unit, target, met, bare[0] if bare else "", value / bare[1] if bare and bare[1] else None)


def percentile(samples: Sequence[float], share: float) -> float:
    """Return the value below which `share` (0 to 1) of the samples lie; `samples` must not be empty."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def median(samples: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(samples)


def as_json(figures: list[Figure], about: dict[str, Any]) -> dict[str, Any]:
    """Return the whole run as plain values."""
    return {"about": about, "figures": [asdict(f) for f in figures]}


def print_table(figures: list[Figure]) -> None:
    """Print the run for a person."""
    table = Table(title="Moat beside the bare machine")
    for heading, justify in (("measured", "left"), ("figure", "right"), ("target", "right"), ("", "left"), ("ratio to bare", "right")):
        table.add_column(heading, justify="right" if justify == "right" else "left")
    for f in figures:
        mark = "" if f.met is None else "met" if f.met else "missed"
        ratio = f"{f.ratio:.2f} × {f.beside}" if f.ratio is not None else ""
        table.add_row(f.name, f"{f.value:,.3g} {f.unit}" if f.value < 1000 else f"{f.value:,.0f} {f.unit}", f.target, mark, ratio)
    Console(width=150).print(table)
