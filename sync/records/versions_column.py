"""Pure: parse and encode a record's `_versions` column. `sync.settle.field_versions` defines its entries."""

from collections.abc import Mapping
from typing import Any

import orjson

Versions = dict[str, list[Any]]


def parse(text: str | None) -> Versions:
    """Parse the text of the column `_versions`."""
    if not text or text == "{}":
        return {}
    parsed: Versions = orjson.loads(text)
    return parsed


def dump(versions: Mapping[str, list[Any]]) -> str:
    """Return the text of the column `_versions`."""
    return orjson.dumps(versions).decode() if versions else "{}"
