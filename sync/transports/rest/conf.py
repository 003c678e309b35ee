"""Typed settings of the REST API, from `settings.MOAT`."""

from dataclasses import dataclass

from django.conf import settings

from sync.wire import limits


@dataclass(frozen=True, slots=True)
class RestSettings:
    """Limits of the REST API.

    `rest_body`: bytes per request. `rest_items`: values and keys of a body. `rest_depth`: nesting of a body.
    `rest_page`, `rest_page_max`: default and maximum records per page. `rest_bulk`: operations per bulk request.
    `rest_filters`: filters per list request. `rest_in`: values of one `__in` filter.
    """

    rest_body: int = limits.REST_BODY
    rest_items: int = limits.MESSAGE_ITEMS
    rest_depth: int = limits.REST_DEPTH
    rest_page: int = 100
    rest_page_max: int = 1000
    rest_bulk: int = 1000
    rest_filters: int = 20
    rest_in: int = 200


def rest_settings() -> RestSettings:
    """Return the current settings: `MOAT["REST_BODY"]` and so on, or the defaults."""
    given = settings.MOAT
    return RestSettings(
        **{name: given[name.upper()] for name in RestSettings.__dataclass_fields__ if name.upper() in given}
    )
