"""Pure: parse lists of choices, subtypes, and statuses: plain strings, or objects with value and label."""

import re
from collections.abc import Iterable
from typing import Any

from metadata.cleaners import CHOICE_LENGTH, clean_text
from metadata.errors import InvalidValue
from metadata.schema import Choice

MAX_CHOICES = 1000
_COLOUR = re.compile(r"#(?:[0-9A-Fa-f]{3,4}|[0-9A-Fa-f]{6}|[0-9A-Fa-f]{8})|[A-Za-z]{3,20}")


def parse_choices(raw: Any) -> tuple[tuple[Choice, ...], list[str]]:
    """Parse a list of choices; return the valid ones, and one message for each of the others."""
    if raw in (None, ""):
        return (), []
    if not isinstance(raw, list):
        return (), ['Enter a list, such as ["red", "green"] or [{"value": "red", "label": "Red"}].']
    if len(raw) > MAX_CHOICES:
        return (), [f"Enter at most {MAX_CHOICES} choices."]
    choices: list[Choice] = []
    messages: list[str] = []
    for number, item in enumerate(raw, start=1):
        try:
            choices.append(_choice(item))
        except InvalidValue as error:
            messages.append(f"Entry {number}: {error.message}")
    messages.extend(f"{value!r} is listed more than once." for value in _repeated(choice.value for choice in choices))
    return tuple(choices), messages


def _choice(item: Any) -> Choice:
    if isinstance(item, str):
        return Choice(_value(item), item)
    if not isinstance(item, dict) or "value" not in item:
        raise InvalidValue("bad_value", 'Enter text, or an object such as {"value": "red", "label": "Red"}.')
    unknown = sorted(str(key) for key in item.keys() - {"value", "label", "colour"})
    if unknown:
        raise InvalidValue("bad_value", f"Unknown keys: {', '.join(unknown)}. Use value, label, and colour.")
    value = _value(item["value"])
    label = clean_text(item.get("label"), CHOICE_LENGTH) or value
    return Choice(value, label, _colour(item.get("colour")))


def is_colour(text: object) -> bool:
    """Return whether a text is a colour and nothing else: a hexadecimal one, or a name made of letters."""
    return isinstance(text, str) and _COLOUR.fullmatch(text) is not None


def _colour(value: Any) -> str | None:
    text = clean_text(value, CHOICE_LENGTH) or None
    if text is not None and not is_colour(text):
        raise InvalidValue("bad_value", "A colour must be #rgb, #rrggbb, #rrggbbaa, or a CSS color name such as teal.")
    return text


def _value(value: Any) -> str:
    text = clean_text(value, CHOICE_LENGTH)
    if not text or text != text.strip() or text == "*":
        raise InvalidValue("bad_value", "A value must be non-empty text without leading or trailing spaces, and not *.")
    return str(text)


def _repeated(values: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    repeated: dict[str, None] = {}
    for value in values:
        if value in seen:
            repeated[value] = None
        seen.add(value)
    return list(repeated)
