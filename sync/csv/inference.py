"""Pure: infer a column's kind from all its values, without ever losing information.

So `007`, `+49 30`, and integers beyond 2^53 stay text. A column is decimal only if its values have a fixed number of
decimal places, as money does.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

MAX_INTEGER = 2**53 - 1
MAX_DIGITS = 15
KNOWN = 20_000  # a column stops remembering values beyond this; until then, repeated ones cost nothing

BOOLEAN, INTEGER, DECIMAL, REAL, DATE, DATETIME, UUID, TEXT = (1 << n for n in range(8))
NUMBERS = INTEGER | DECIMAL | REAL
_ORDER = (
    (BOOLEAN, "boolean"),
    (INTEGER, "integer"),
    (DECIMAL, "decimal"),
    (REAL, "real"),
    (DATE, "date"),
    (DATETIME, "datetime"),
    (UUID, "uuid"),
)

_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)\.([0-9]+)")
_REAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATETIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
# Single letters stay text: a column with only F or N is rarely a yes/no question.
_BOOLEANS = frozenset({"true", "false", "yes", "no"})


@dataclass(slots=True)
class ColumnGuess:
    """The kinds that a column's values so far allow. Feed it every value, then read `kind`."""

    allowed: int = BOOLEAN | NUMBERS | DATE | DATETIME | UUID | TEXT
    places: set[int] = field(default_factory=set)
    ends_in_zero: bool = False
    spoiler: tuple[int, str] | None = None  # line and value that ended a numeric column, if the value has no digit
    _known: set[str] = field(default_factory=set)

    def feed(self, cells: Sequence[str], lines: Sequence[int], nulls: frozenset[str]) -> None:
        """Add cells and their line numbers. Only new values cost time."""
        if self.allowed == TEXT:
            return
        new = set(cells) - self._known - nulls
        for value in new:
            self._take(value)
        if len(self._known) < KNOWN:
            self._known |= new
        if self.spoiler and not self.spoiler[0]:
            self.spoiler = (lines[cells.index(self.spoiler[1])], self.spoiler[1])

    def _take(self, value: str) -> None:
        stripped = value.strip()
        shape = shape_of(stripped)
        if (
            self.spoiler is None
            and self.allowed & NUMBERS
            and not shape & NUMBERS
            and not any(c.isdigit() for c in value)
        ):
            self.spoiler = (0, value)
        self.allowed &= shape
        if self.allowed & DECIMAL and shape & DECIMAL:
            _, _, fraction = stripped.partition(".")
            self.places.add(len(fraction))
            self.ends_in_zero = self.ends_in_zero or fraction.endswith("0")

    @property
    def filled(self) -> bool:
        """Whether any value was not null."""
        return bool(self._known)

    @property
    def decimal_places(self) -> int | None:
        """The number of decimal places of every value, if it looks intended.

        That is two places, or more with trailing zeros. One place does not count: programs write the real number 10
        as `10.0`.
        """
        if len(self.places) != 1:
            return None
        (places,) = self.places
        return places if places == 2 or (places > 2 and self.ends_in_zero) else None

    @property
    def kind(self) -> str:
        """The narrowest kind that holds every value exactly. A column without values is text."""
        if not self.filled:
            return "text"
        for flag, name in _ORDER:
            if self.allowed & flag and (flag != DECIMAL or self.decimal_places):
                return name
        return "text"


def shape_of(value: str) -> int:
    """Return the flags of all kinds that can hold this value."""
    if not value or len(value) > 64:
        return TEXT
    first = value[0]
    if first.isascii() and (first.isdigit() or first == "-"):
        return TEXT | _number_shape(value) | _moment_shape(value) | (UUID if _UUID.fullmatch(value) else 0)
    if value.lower() in _BOOLEANS:
        return TEXT | BOOLEAN
    return TEXT | (UUID if _UUID.fullmatch(value) else 0)


def _number_shape(value: str) -> int:
    if _INTEGER.fullmatch(value):
        # Beyond 2^53 it is an identifier: as a number it would lose digits.
        return NUMBERS if abs(int(value)) <= MAX_INTEGER else 0
    if match := _DECIMAL.fullmatch(value):
        digits = len(match[1].lstrip("0")) + len(match[2])
        return REAL | (DECIMAL if digits <= MAX_DIGITS else 0)
    return REAL if _REAL.fullmatch(value) else 0


def _moment_shape(value: str) -> int:
    try:
        if _DATE.fullmatch(value):
            date.fromisoformat(value)
            return DATE
        if _DATETIME.fullmatch(value):
            datetime.fromisoformat(value)
            return DATETIME
    except ValueError:
        pass
    return 0


def guess(values: Sequence[str], *, nulls: frozenset[str] = frozenset({""})) -> ColumnGuess:
    """Feed a whole column, with lines counted from 2, and return the guess."""
    column = ColumnGuess()
    column.feed(values, range(2, len(values) + 2), nulls)
    return column
