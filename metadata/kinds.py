"""Pure: the field kinds. `fieldtypes` defines their database types, wire values, and JSON Schema."""

from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """Field kinds, in the order the admin offers them."""

    TEXT = "text"
    INTEGER = "integer"
    REAL = "real"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"
    UUID = "uuid"
    JSON = "json"
    CHOICE = "choice"
    REFERENCE = "reference"


KINDS: Final = tuple(kind.value for kind in Kind)

LABELS: Final[dict[Kind, str]] = {
    Kind.TEXT: "Text",
    Kind.INTEGER: "Whole number",
    Kind.REAL: "Floating-point number",
    Kind.DECIMAL: "Decimal number",
    Kind.BOOLEAN: "Yes/no",
    Kind.DATE: "Date",
    Kind.DATETIME: "Date and time",
    Kind.UUID: "UUID",
    Kind.JSON: "JSON",
    Kind.CHOICE: "Choice",
    Kind.REFERENCE: "Reference",
}
"""Display names."""
