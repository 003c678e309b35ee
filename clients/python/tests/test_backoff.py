"""Delays before the next attempt."""

from datetime import UTC, datetime

import pytest

from moat_client.net.backoff import Backoff
from moat_client.net.retry_after import retry_after_seconds

NOW = datetime(2026, 11, 26, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        (5, 5.0),
        ("Thu, 26 Nov 2026 12:01:30 GMT", 90.0),
        ("Thu, 26 Nov 2026 13:00:30 +0100", 30.0),
        ("Thu, 26 Nov 2026 11:00:00 GMT", 0.0),
        ("9" * 400, 999_999_999.0),
        *(
            (nothing, None)
            for nothing in (
                None,
                "",
                "soon",
                "-5",
                "1.5",
                "\u0664",
                "Thu, 99 Nov 2026 12:00:00 GMT",
                "Fri, 01 Jan 99999 00:00:00 GMT",
            )
        ),
    ],
)
def test_retry_after_is_a_number_of_seconds_or_a_date(header: object, seconds: float | None) -> None:
    assert retry_after_seconds(header, NOW) == seconds


def test_a_wait_is_never_shorter_than_retry_after() -> None:
    for draw in (0.0, 0.999):
        backoff = Backoff(lambda draw=draw: draw)
        assert all(backoff.next(30.0) >= 30.0 for _ in range(20))


def test_a_far_retry_after_is_cut_to_about_an_hour() -> None:
    asked = retry_after_seconds("Thu, 26 Nov 2099 12:00:00 GMT", NOW)
    assert asked is not None and asked > 10 * 365 * 86400
    assert 3600.0 <= Backoff(lambda: 0.999).next(asked) <= 3660.0
