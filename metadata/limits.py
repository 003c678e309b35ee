"""Pure: maximum sizes of one value. At start-up, the app supplies the installation's limits."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ValueLimits:
    """`text` in characters, `json` in bytes of canonical text, `depth` in nested containers."""

    text: int = 100_000
    json: int = 262_144
    depth: int = 32


_given: Callable[[], ValueLimits] = ValueLimits


def use_limits_from(given: Callable[[], ValueLimits]) -> None:
    """Use this function as the source of the limits in force."""
    global _given
    _given = given


def value_limits() -> ValueLimits:
    """Return the limits in force: the installation's, or the defaults if none were set."""
    return _given()
