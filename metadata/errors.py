"""Pure: what can go wrong with definitions and values."""

from tenants.errors import MoatError


class ValueRefused(MoatError):
    """A value does not fit its field. `code` is `bad_value` or `too_large`; the caller knows which field it was."""


class DdlFailed(MoatError):
    """The database refused a statement of a publish; everything was rolled back. `code` is `ddl_failed` or `busy` (try again)."""
