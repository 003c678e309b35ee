"""Pure: the column `_versions` of a record, parsed and as text; `settle.field_versions` says what an entry means."""

from collections.abc import Mapping
from typing import Any

import orjson

Versions = dict[str, list[Any]]


def parse(text: str | None) -> Versions:
    """Read the column `_versions`."""
    if not text or text == "{}":
        return {}
    parsed: Versions = orjson.loads(text)
    return parsed


def dump(versions: Mapping[str, list[Any]]) -> str:
    """Return the text of the column `_versions`."""
    return orjson.dumps(versions).decode() if versions else "{}"
