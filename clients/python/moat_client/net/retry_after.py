"""The `Retry-After` header of HTTP."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def retry_after_seconds(header: object, now: datetime | None = None) -> float | None:
    """Return the seconds to wait from a `Retry-After` value: a number of seconds or an HTTP date.

    Return None for anything else. `now` is the current time, for tests.
    """
    text = ("" if header is None else str(header)).strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    until = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (until - (now or datetime.now(UTC))).total_seconds())
