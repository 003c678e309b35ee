"""The knobs of the REST API, typed, from `settings.MOAT`."""

from dataclasses import dataclass

from django.conf import settings


@dataclass(frozen=True, slots=True)
class RestSettings:
    """`rest_body`: bytes a request may have. `rest_depth`: nesting of a body. `rest_page`, `rest_page_max`: records of a page
    unless told, and at most. `rest_bulk`: operations of one bulk request. `rest_filters`: filters of one list request.
    `rest_in`: values of one `__in` filter.
    """

    rest_body: int = 5_242_880
    rest_depth: int = 48
    rest_page: int = 100
    rest_page_max: int = 1000
    rest_bulk: int = 1000
    rest_filters: int = 20
    rest_in: int = 200


def rest_settings() -> RestSettings:
    """Return the knobs in force: `MOAT["REST_BODY"]` and so on, or the defaults."""
    given = settings.MOAT
    return RestSettings(
        **{name: given[name.upper()] for name in RestSettings.__dataclass_fields__ if name.upper() in given}
    )
