"""The clock, in wire form."""

from datetime import UTC, datetime

from moat_client.wire.values import datetime_text


def now_text() -> str:
    """Return the current time in wire form."""
    return datetime_text(datetime.now(UTC))
