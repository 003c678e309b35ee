"""The kinds a field can have. What a kind means in a database, on the wire and in JSON Schema is in `fieldtypes`."""

from django.db.models import TextChoices


class Kind(TextChoices):
    """Field kinds, in the order the admin offers them."""

    TEXT = "text", "Text"
    INTEGER = "integer", "Whole number"
    REAL = "real", "Real number"
    DECIMAL = "decimal", "Decimal number"
    BOOLEAN = "boolean", "Yes / no"
    DATE = "date", "Date"
    DATETIME = "datetime", "Date and time"
    UUID = "uuid", "UUID"
    JSON = "json", "JSON"
    CHOICE = "choice", "Choice"
    REFERENCE = "reference", "Reference"
