"""Pure: validate a layout and its fit with the object type. Every problem has its JSON pointer.

Each element is validated against the definition that its `type` names. A `oneOf` over all of them would turn one typing
mistake into a page of guesses.
"""

import json
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from layouts.elements import (
    CONDITION,
    DEFINITIONS,
    ELEMENTS,
    LAYOUTS,
    MAX_BYTES,
    MAX_DEPTH,
    MAX_ELEMENTS,
    MAX_JSON_DEPTH,
    RULE,
)
from metadata.schema import ObjectSpec
from tenants.errors import Problem

#: Columns that every record has and that a control may show.
SYSTEM_FIELDS = ("object_type", "status")
MAX_PROBLEMS = 50

_DEFS = {"element": {"type": "object"}, "Category": {"type": "object"}, "condition": CONDITION, "rule": RULE}
_VALIDATORS = {name: Draft202012Validator({**definition, "$defs": _DEFS}) for name, definition in DEFINITIONS.items()}


def problems(layout: object, spec: ObjectSpec | None = None) -> list[Problem]:
    """Return up to `MAX_PROBLEMS` problems of a layout; with `spec`, also controls whose field does not exist."""
    too_big = _measure(layout)
    if too_big is not None:
        return [too_big]
    found: list[Problem] = []
    for elements, (pointer, element, allowed, depth) in enumerate(_walk(layout), start=1):
        if elements > MAX_ELEMENTS or depth > MAX_DEPTH:
            what = (
                f"more than {MAX_ELEMENTS} elements"
                if elements > MAX_ELEMENTS
                else f"elements nested deeper than {MAX_DEPTH}"
            )
            return [*found, Problem(pointer, "too_large", f"The layout has {what}.")]
        found += _element_problems(pointer, element, allowed, spec)
        if len(found) >= MAX_PROBLEMS:
            return found[:MAX_PROBLEMS]
    return found


def fields_used(layout: object) -> dict[str, list[str]]:
    """Return the fields that a valid layout's controls and rules refer to, each with its JSON pointers."""
    used: dict[str, list[str]] = {}
    for pointer, element, _, _ in _walk(layout):
        for place, name in _scopes(pointer, element):
            used.setdefault(name, []).append(place)
    return used


def _measure(layout: object) -> Problem | None:
    """Check nesting first, before anything recurses; then characters that cannot be stored; then the size."""
    level: list[object] = [layout]
    for _ in range(MAX_JSON_DEPTH):
        if any(item == "__proto__" or (isinstance(item, str) and "\x00" in item) for item in level):
            return Problem("", "bad_layout", "The layout contains a NUL character or the key __proto__.")
        level = [child for item in level for child in _inside(item)]
        if not level:
            break
    else:
        return Problem("", "too_large", f"The layout is nested more than {MAX_JSON_DEPTH} levels deep.")
    try:
        size = len(json.dumps(layout, allow_nan=False, ensure_ascii=False).encode())
    except (TypeError, ValueError):
        return Problem("", "bad_layout", "The layout is not valid JSON.")
    return (
        Problem("", "too_large", f"The layout is {size} bytes; the limit is {MAX_BYTES}.") if size > MAX_BYTES else None
    )


def _inside(item: object) -> list[object]:
    if isinstance(item, dict):
        return [*item, *item.values()]
    return list(item) if isinstance(item, list) else []


def _walk(layout: object) -> Iterator[tuple[str, object, tuple[str, ...], int]]:
    """Yield every element with its JSON pointer, the types allowed there, and its depth; top down, in reading order."""
    stack: list[tuple[str, object, tuple[str, ...], int]] = [("", layout, LAYOUTS, 1)]
    while stack:
        pointer, element, allowed, depth = stack.pop()
        yield pointer, element, allowed, depth
        children = element.get("elements") if isinstance(element, dict) else None
        if isinstance(children, list):
            inner = ("Category",) if isinstance(element, dict) and element.get("type") == "Categorization" else ELEMENTS
            stack += [
                (f"{pointer}/elements/{i}", child, inner, depth + 1) for i, child in reversed(list(enumerate(children)))
            ]


def _element_problems(
    pointer: str, element: object, allowed: tuple[str, ...], spec: ObjectSpec | None
) -> list[Problem]:
    kind = element.get("type") if isinstance(element, dict) else None
    if not isinstance(kind, str) or kind not in allowed:
        said = f"not {json.dumps(kind)[:60]}" if isinstance(element, dict) and "type" in element else "with a type"
        return [Problem(pointer, "bad_layout", f"Expected one of {', '.join(allowed)}, {said}.")]
    errors = sorted(_VALIDATORS[kind].iter_errors(element), key=lambda e: list(map(str, e.absolute_path)))
    if errors:
        return [Problem(pointer + _pointer(e), "bad_layout", _message(e)) for e in errors]
    known = None if spec is None else {*spec.by_name, *SYSTEM_FIELDS}
    return [
        Problem(place, "unknown_field", f"{spec.object_name if spec else ''} has no field {name}.")
        for place, name in _scopes(pointer, element)
        if known is not None and name not in known
    ]


def _scopes(pointer: str, element: object) -> Iterator[tuple[str, str]]:
    """Yield the fields an element itself refers to: its control's and its rule's."""
    if not isinstance(element, dict):
        return
    rule = element.get("rule")
    condition = rule.get("condition") if isinstance(rule, dict) else None
    for place, holder in ((pointer, element), (f"{pointer}/rule/condition", condition)):
        scope = holder.get("scope") if isinstance(holder, dict) else None
        if isinstance(scope, str):
            yield f"{place}/scope", scope.removeprefix("#/properties/")


def _pointer(error: ValidationError) -> str:
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in error.absolute_path)
    return "".join(f"/{part}" for part in parts)


def _message(error: ValidationError) -> str:
    if error.validator == "pattern":
        return 'A scope must be "#/properties/" followed by a field name.'
    text: Any = error.message
    return f"{text[:200]}{'…' if len(text) > 200 else ''}"
