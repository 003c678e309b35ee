"""PURE: how large one value may be. The installation's own limits come from where the app says when it starts."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ValueLimits:
    """`text` in characters, `json` in bytes of canonical text, `depth` in nested containers."""

    text: int = 100_000
    json: int = 262_144
    depth: int = 32


_given: Callable[[], ValueLimits] = ValueLimits


def take_limits_from(given: Callable[[], ValueLimits]) -> None:
    """Ask this for the limits in force from now on."""
    global _given
    _given = given


def value_limits() -> ValueLimits:
    """Return the limits in force: the installation's, or the defaults where none has started."""
    return _given()
