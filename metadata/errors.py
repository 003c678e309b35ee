"""Pure: errors of definitions and values."""

from tenants.errors import MoatError


class InvalidValue(MoatError):
    """A value does not fit its field. `code` is `bad_value` or `too_large`; the caller knows the field."""


class DdlFailed(MoatError):
    """The database rejected a publish statement; everything was rolled back. `code`: `ddl_failed` or `busy` (retry)."""
