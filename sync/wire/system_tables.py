"""Pure: the tables every replica has whatever an admin publishes; their rows describe the others."""

from typing import Final

OBJECT_METADATA: Final = "object_metadata"
LAYOUT_DEFINITION: Final = "layout_definition"
SYSTEM_TABLES: Final = (OBJECT_METADATA, LAYOUT_DEFINITION)
