"""Pure: names of the system tables. Every replica has them; their rows describe the published tables."""

from typing import Final

OBJECT_METADATA: Final = "object_metadata"
LAYOUT_DEFINITION: Final = "layout_definition"
SYSTEM_TABLES: Final = (OBJECT_METADATA, LAYOUT_DEFINITION)
