"""What an installation sets for this app in `settings.MOAT`. `sync` reads its own knobs from the same dictionary."""

from django.conf import settings

from metadata.limits import ValueLimits


def limits_given() -> ValueLimits:
    """Return `MOAT["TEXT_LIMIT"]` and `MOAT["JSON_LIMIT"]`, or the defaults."""
    given = settings.MOAT
    default = ValueLimits()
    return ValueLimits(text=given.get("TEXT_LIMIT", default.text), json=given.get("JSON_LIMIT", default.json))


def allowed_resolvers() -> frozenset[str]:
    """Return the dotted paths an object type may name as its conflict policy: `MOAT["RESOLVERS"]`, none by default.

    Whoever edits object types is not always whoever may choose what code the server runs.
    """
    return frozenset(settings.MOAT.get("RESOLVERS", ()))
