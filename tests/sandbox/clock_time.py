"""Dates of the tests of subscriptions, and advancing a test clock."""

from datetime import UTC, datetime
from typing import Any

NOVEMBER = int(datetime(2026, 11, 1, 12, tzinfo=UTC).timestamp())
DAY = 86400


def instant(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> int:
    """The Unix seconds of a date and time in UTC."""
    return int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp())


def advance(v1: Any, subscription: Any, to: int) -> Any:
    """Advance the subscription's test clock; return the subscription with its latest invoice."""
    v1.test_helpers.test_clocks.advance(subscription.test_clock, {"frozen_time": to})
    return v1.subscriptions.retrieve(subscription.id, {"expand": ["latest_invoice"]})
