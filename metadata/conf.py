"""This app's settings in `settings.MOAT`. `sync` reads its own settings from the same dictionary."""

from django.conf import settings

from metadata.limits import ValueLimits


def configured_limits() -> ValueLimits:
    """Return `MOAT["TEXT_LIMIT"]` and `MOAT["JSON_LIMIT"]`, or the defaults."""
    given = settings.MOAT
    default = ValueLimits()
    return ValueLimits(text=given.get("TEXT_LIMIT", default.text), json=given.get("JSON_LIMIT", default.json))


def allowed_resolvers() -> frozenset[str]:
    """Return the dotted paths allowed as conflict policies: `MOAT["RESOLVERS"]`, by default none.

    An admin who edits object types may not choose what code the server runs.
    """
    return frozenset(settings.MOAT.get("RESOLVERS", ()))
