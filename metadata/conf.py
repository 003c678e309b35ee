"""Limits on values, from `settings.MOAT`. `sync` reads its own knobs from the same dictionary."""

from dataclasses import dataclass

from django.conf import settings


@dataclass(frozen=True, slots=True)
class ValueLimits:
    """How large one value may be: `text` in characters, `json` in bytes of canonical text, `depth` in nested containers."""

    text: int = 100_000
    json: int = 262_144
    depth: int = 32


def value_limits() -> ValueLimits:
    """Return the limits in force: `MOAT["TEXT_LIMIT"]`, `MOAT["JSON_LIMIT"]`, or the defaults."""
    given = settings.MOAT
    default = ValueLimits()
    return ValueLimits(text=given.get("TEXT_LIMIT", default.text), json=given.get("JSON_LIMIT", default.json))


def allowed_resolvers() -> frozenset[str]:
    """Return the dotted paths an object type may name as its conflict policy: `MOAT["RESOLVERS"]`, none by default.

    Whoever edits object types is not always whoever may choose what code the server runs.
    """
    return frozenset(settings.MOAT.get("RESOLVERS", ()))
