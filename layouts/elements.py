"""Pure: the JSON Schema of a layout, with one definition per element of the JSON Forms UI schema vocabulary.

Rule conditions use a small subset of JSON Schema, so that clients in any language can evaluate them easily.
"""

from typing import Any

MAX_BYTES = 100_000
MAX_DEPTH = 16
MAX_ELEMENTS = 1000
#: Maximum nesting of anything inside a layout, including options and conditions.
MAX_JSON_DEPTH = 64

LAYOUTS = ("VerticalLayout", "HorizontalLayout", "Group", "Categorization")
ELEMENTS = (*LAYOUTS, "Label", "Control")
EFFECTS = ("HIDE", "SHOW", "ENABLE", "DISABLE")
SCOPE = r"^#/properties/[a-z][a-z0-9_]{0,39}$"

_TEXT = {"type": "string", "maxLength": 2000}
_OPTIONS = {
    "type": "object",
    "description": "Hints for the client, such as multi or readonly. Unknown options are ignored.",
}
_VALUE = {"type": ["string", "number", "boolean", "null"]}

CONDITION: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "minProperties": 1,
    "properties": {
        "const": _VALUE,
        "enum": {"type": "array", "items": _VALUE, "minItems": 1},
        "type": {"enum": ["string", "number", "integer", "boolean", "null", "array", "object"]},
        "minimum": {"type": "number"},
        "maximum": {"type": "number"},
        "exclusiveMinimum": {"type": "number"},
        "exclusiveMaximum": {"type": "number"},
        "minLength": {"type": "integer", "minimum": 0},
        "maxLength": {"type": "integer", "minimum": 0},
        "not": {"$ref": "#/$defs/condition"},
        "allOf": {"type": "array", "items": {"$ref": "#/$defs/condition"}, "minItems": 1},
        "anyOf": {"type": "array", "items": {"$ref": "#/$defs/condition"}, "minItems": 1},
    },
}

RULE: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["effect", "condition"],
    "properties": {
        "effect": {"enum": list(EFFECTS)},
        "condition": {
            "type": "object",
            "additionalProperties": False,
            "required": ["scope", "schema"],
            "properties": {
                "scope": {"type": "string", "pattern": SCOPE},
                "schema": {"$ref": "#/$defs/condition"},
                "failWhenUndefined": {"type": "boolean"},
            },
        },
    },
}


def _element(kind: str, required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["type", *required],
        "properties": {"type": {"const": kind}, "rule": {"$ref": "#/$defs/rule"}, "options": _OPTIONS, **properties},
    }


def _children(ref: str) -> dict[str, Any]:
    return {"type": "array", "items": {"$ref": f"#/$defs/{ref}"}, "maxItems": MAX_ELEMENTS}


DEFINITIONS: dict[str, dict[str, Any]] = {
    "VerticalLayout": _element("VerticalLayout", ("elements",), elements=_children("element")),
    "HorizontalLayout": _element("HorizontalLayout", ("elements",), elements=_children("element")),
    "Group": _element("Group", ("elements",), label=_TEXT, elements=_children("element")),
    "Categorization": _element("Categorization", ("elements",), label=_TEXT, elements=_children("Category")),
    "Category": _element("Category", ("label", "elements"), label=_TEXT, elements=_children("element")),
    "Label": _element("Label", ("text",), text=_TEXT),
    "Control": _element(
        "Control",
        ("scope",),
        scope={"type": "string", "pattern": SCOPE},
        label={"anyOf": [_TEXT, {"type": "boolean"}]},
    ),
}

#: The complete schema, for documentation and for clients that have a JSON Schema library.
LAYOUT_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "layout_json",
    "oneOf": [{"$ref": f"#/$defs/{name}"} for name in LAYOUTS],
    "$defs": {
        **DEFINITIONS,
        "element": {"oneOf": [{"$ref": f"#/$defs/{name}"} for name in ELEMENTS]},
        "condition": CONDITION,
        "rule": RULE,
    },
}
